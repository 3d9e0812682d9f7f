"""Whom the studio answers: its reader's own page, and nobody that sends requests through the reader's browser.

Any web page can make a browser send requests to 127.0.0.1, and one whose name is pointed there later can even read
the answers (DNS rebinding). So Host must be this server's, Origin and Sec-Fetch-Site must be its own page's, and
what changes anything comes as JSON or as bytes, which a foreign form cannot send.

Other users of the same machine are on 127.0.0.1, too. They lack the token: a random one of each start, in the
address that the terminal shows, exchanged for a cookie by the page's first request (as Jupyter does). The cookie is
another random value, which no page's script can read. There is no way to switch this off: the browser is opened
with it, and who types the address can copy it. What it does not stop: a cookie belongs to a host, not to a port, so
a browser shows it to other servers of 127.0.0.1 that its reader goes to.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from flask import Flask, Response, g, request
from werkzeug.exceptions import Forbidden, LengthRequired

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but the studio's own files runs or is loaded; not even a mistake in escaping could do harm."""
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; font-src data:; sandbox"
"""For scores, pictures that carry their own style and font."""


@dataclass(frozen=True)
class Key:
    """What lets a reader in: `token` in the address of the page, then `cookie`."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


def protect(app: Flask, port: int, key: Key) -> None:
    """Refuse strangers with 403, and say with every answer what the page may do."""
    named = f"seqgan-music-{port}"  # studios on several ports share a browser's cookies
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
        arrives = request.method == "GET" and request.path == "/" and _same(request.args.get("token"), key.token)
        if not arrives and not _same(request.cookies.get(named), key.cookie):
            raise Forbidden("Open the studio by the whole address that the terminal shows, its token included.")
        g.arrives = arrives

    @app.after_request
    def say_what_may_be(response: Response) -> Response:
        headers = response.headers
        if g.get("arrives"):
            response.set_cookie(named, key.cookie, httponly=True, samesite="Strict", path="/")
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response


def _same(given: str | None, known: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
