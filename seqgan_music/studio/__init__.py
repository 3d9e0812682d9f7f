"""The studio: a page on this machine alone to make music with a run, hear it, see it, steer it.

`server.serve` binds it to 127.0.0.1 and ends it cleanly; `app.create_app` has what it answers; everything musical
goes through `workshop.Workshop`, one job at a time. Nothing here knows a file by a name that came from the page.
"""
