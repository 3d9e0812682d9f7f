"""The studio's process: it says where it is, answers over real connections, and ends without a trace."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import ROOT, Run


@dataclass(frozen=True)
class Door:
    """Where a studio answers, and the Cookie header that its token was exchanged for."""

    port: int
    token: str
    cookie: str


def begin(folder: Path, *options: str) -> tuple[subprocess.Popen[str], Door]:
    """Start the studio with its temporary files under `folder`; return it and where it answers."""
    line = [
        sys.executable,
        "-m",
        "seqgan_music",
        "studio",
        "--no-browser",
        "--runs",
        str(folder / "runs"),
        *options,
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*line, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.fullmatch(r"Studio: http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43})\n", said)
    assert found, process.communicate()
    door = Door(int(found[1]), found[2], "")
    (cookie,) = re.findall(rb"Set-Cookie: (.*?);", raw(door.port, head(door, f"GET /?token={door.token}")))
    return process, replace(door, cookie=cookie.decode())


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> str:
    """Stop the studio and return what it said on stderr."""
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    process, opened = begin(tmp_path_factory.mktemp("server"))
    yield opened
    assert end(process) == "Ctrl-C ends it.\nThe studio has ended.\n"


def raw(port: int, request: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def head(door: Door, path: str, *lines: str) -> bytes:
    own = (f"Host: 127.0.0.1:{door.port}", f"Cookie: {door.cookie}", "Connection: close")
    return "\r\n".join([f"{path} HTTP/1.1", *own, *lines, "", ""]).encode()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_the_middle_of_work_without_a_trace(tmp_path: Path, how: signal.Signals) -> None:
    process, door = begin(tmp_path)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=120)
    own = {"Cookie": door.cookie}
    body = json.dumps({"run": "bundled", "bars": 128, "count": 12})
    connection.request("POST", "/api/compose", body, {"Content-Type": "application/json", **own})
    job = json.loads(connection.getresponse().read())
    while job["progress"] == 0:
        time.sleep(0.05)
        connection.request("GET", f"/api/jobs/{job['id']}", headers=own)
        job = json.loads(connection.getresponse().read())
    (page,) = tmp_path.rglob("studio.html")
    assert f"127.0.0.1:{door.port}/?token={door.token}" in page.read_text()
    if os.name == "posix":
        assert page.parent.stat().st_mode & 0o077 == 0  # for this user alone
    assert "Traceback" not in end(process, how)
    connection.close()
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told(run: Run, door: Door) -> None:
    done = run("studio", "--no-browser", "--port", str(door.port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"seqgan-music: Port {door.port} is taken, or not yours to have. Leave --port out to get a free one.\n"
    )


def test_a_run_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, told in (("nowhere", "nowhere is not a run"), ("empty", "empty is not a run")):
        done = run("studio", "--no-browser", "--run", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"seqgan-music: {told}")


def test_it_listens_on_this_machine_alone(door: Door) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", door.port), timeout=5)


@pytest.mark.parametrize(
    "path",
    ["GET /../../etc/passwd", "GET //etc/passwd", "GET /static/../../../etc/passwd", "GET /static/%2e%2e/app.py"],
)
def test_paths_lead_nowhere(door: Door, path: str) -> None:
    answer = raw(door.port, head(door, path))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 50,
        b"GET " + b"/" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
    ids=lambda request_: repr(request_[:20]),
)  # fmt: skip
def test_what_is_no_request_does_no_harm(door: Door, request_: bytes) -> None:
    answer = raw(door.port, request_)
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert raw(door.port, head(door, "GET /api/studio")).startswith(b"HTTP/1.1 200 ")


def test_a_server_says_nothing_of_what_it_is_made_with(door: Door) -> None:
    answer = raw(door.port, head(door, "GET /"))
    assert b"\r\nServer: seqgan-music\r\n" in answer
    assert b"Werkzeug" not in answer
    assert b"Python" not in answer


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/compose", "application/json"), ("/api/primers?name=a.mid&run=bundled", "application/octet-stream")],
)
def test_bodies_without_an_honest_length_are_bounded(door: Door, path: str, kind: str) -> None:
    lying = head(door, f"POST {path}", f"Content-Type: {kind}", "Content-Length: 99999999999")
    assert raw(door.port, lying + b"x" * 1000).startswith(b"HTTP/1.1 413 ")
    chunked = head(door, f"POST {path}", f"Content-Type: {kind}", "Transfer-Encoding: chunked")
    assert raw(door.port, chunked + b"4\r\nMThd\r\n0\r\n\r\n").startswith(b"HTTP/1.1 411 ")


def test_connections_that_say_nothing_keep_nobody_waiting(door: Door) -> None:
    silent = [socket.create_connection(("127.0.0.1", door.port), timeout=120) for _ in range(60)]
    try:
        for connection in silent[::2]:
            connection.sendall(b"POST /api/compose HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert raw(door.port, head(door, "GET /api/studio")).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in silent:
            connection.close()


def test_forty_at_once_get_answers(door: Door) -> None:
    body = json.dumps({"run": "bundled", "bars": 1}).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(raw(door.port, head(door, "POST /api/compose", *lines) + body))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 202 "] * 40
