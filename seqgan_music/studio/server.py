"""The studio's server: bound to 127.0.0.1, one thread a request, ended by Ctrl-C without a trace."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from seqgan_music.errors import ConfigError
from seqgan_music.studio.app import create_app
from seqgan_music.studio.guard import Key
from seqgan_music.studio.runs import Runs
from seqgan_music.studio.workshop import Workshop

HOST = "127.0.0.1"
PORT = 8765
_SILENT_SECONDS = 30
"""A connection that says nothing for so long is closed."""
_DOOR = """<!doctype html>
<meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>seqgan-music studio</title><a href="{address}">To the studio</a>
"""


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request, and nothing of what it is made with."""

    timeout = _SILENT_SECONDS
    server_version, sys_version = "seqgan-music", ""

    def log(self, type: str, message: str, *args: object) -> None:
        """Keep the terminal for what a reader wants to know."""

    def version_string(self) -> str:
        """Return what the Server header says."""
        return self.server_version


def serve(runs: Path, run: Path | None, port: int | None, ready: Callable[[str, Path], None]) -> None:
    """Answer until KeyboardInterrupt. `ready` is told the address once it answers, and a file that leads there.

    A browser is to be opened by that file, which nobody else can read: the command that opens it can be read by all
    users of the machine, and the address holds the token. Without a `port` it is 8765, or any free one where that
    is taken. Raises ConfigError where it cannot be had.
    """
    studio = Workshop(Runs(runs, run))
    try:
        key = Key()
        server = _bound(studio, port, key)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            address = f"http://{HOST}:{server.port}/?token={key.token}"
            ready(address, studio.keep("studio.html", _DOOR.format(address=address)))
            studio.warm_up()
            while thread.is_alive():
                thread.join(0.5)  # a signal that another thread was given is seen when this one wakes
        finally:
            server.shutdown()
            server.server_close()
    finally:
        studio.close()


def _bound(studio: Workshop, port: int | None, key: Key) -> BaseWSGIServer:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with _listening(port) as listening:
        number = listening.getsockname()[1]
        app = create_app(studio, number, key)
        # Bound by us: where a port is taken, Werkzeug prints advice of its own and ends the process.
        return make_server(HOST, number, app, threaded=True, request_handler=_Quiet, fd=listening.fileno())


def _listening(port: int | None) -> socket.socket:
    """Return a socket bound to a port of this machine. Raises ConfigError."""
    for number in (PORT, 0) if port is None else (port,):
        with suppress(OSError):
            return socket.create_server((HOST, number), backlog=128)
    taken = f"Port {port} is taken, or not yours to have." if port else "No port is free on 127.0.0.1."
    raise ConfigError(f"{taken} Leave --port out to get a free one.")
