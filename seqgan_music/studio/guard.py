"""Whom the studio answers: this machine's own page, and nobody that sends requests through its reader's browser.

Any web page can make a browser send requests to 127.0.0.1, and one whose name is pointed there later can even read
the answers (DNS rebinding). So Host must be this server's, Origin and Sec-Fetch-Site must be its own page's, and
what changes anything comes as JSON or as bytes, which a foreign form cannot send. It does not keep out other users
of the same machine: they are on 127.0.0.1, too.
"""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden, LengthRequired

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but the studio's own files runs or is loaded; not even a mistake in escaping could do harm."""
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; font-src data:; sandbox"
"""For scores, pictures that carry their own style and font."""


def protect(app: Flask, port: int) -> None:
    """Refuse strangers with 403, and say with every answer what the page may do."""
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
    if port == 80:
        hosts |= {"127.0.0.1", "localhost"}
    origins = {f"http://{host}" for host in hosts}

    @app.before_request
    def refuse_strangers() -> None:
        if request.headers.get("Host", "").lower() not in hosts:
            raise Forbidden("The studio answers only under its own address, which the terminal shows.")
        if "Transfer-Encoding" in request.headers:
            raise LengthRequired("Say the length of what you send.")  # what has no length is cut off, not refused
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in origins:
            raise Forbidden("The studio answers only its own page.")
        # A link may lead to the page; everything else comes from the page or from no page at all.
        arrival = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and not arrival:
            raise Forbidden("The studio answers only its own page.")

    @app.after_request
    def say_what_may_be(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response
