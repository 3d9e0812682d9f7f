"""Requests to the studio, damaged: methods, paths, queries, headers, forms, settings, uploads."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import mutations
from fuzz_reader import READ, REFUSED, Reader
from fuzz_readers import a_run
from tunes import midi, tune

PORT = 8123
HERE = f"http://127.0.0.1:{PORT}"
_STEPS = 40
"""Tokens that a job may write before it is cancelled."""
_HEADERS = (
    "Host",
    "Origin",
    "Sec-Fetch-Site",
    "Content-Type",
    "Content-Length",
    "Range",
    "If-None-Match",
    "Accept",
    "Cookie",
)
_HEADER_VALUES = (
    *("", "null", "evil.example", HERE, "application/json", "text/plain", "multipart/form-data; boundary=x"),
    *(
        "bytes=0-0",
        "bytes=9-1",
        "bytes=-",
        "bytes=0-99999999999999999999",
        "-1",
        "1e9",
        "same-origin",
        "cross-site",
    ),
    *("application/x-www-form-urlencoded", "application/json; charset=utf-7", "é", "a" * 5000, "%00"),
)


class Studio(Reader):
    """The studio behind its application, without a socket; jobs run at once, and not for long."""

    name = "studio"

    @cached_property
    def seeds(self) -> list[bytes]:
        song = midi(tune(1, 12)).decode("latin-1")
        settings: dict[str, Any] = {
            "run": "run",
            "count": 1,
            "seed": 3,
            "bars": 2,
            "temperature": 0.9,
            "top_k": 5,
            "top_p": 0.9,
            "key": "D dorian",
            "tempo": 90,
            "program": 73,
            "density": "3,5",
            "pitch_range": "C4-G5",
            "keep_primer": True,
            "max_copy": 8,
            "best_of": 2,
            "prefer": "key=1,liked=2",
        }
        wanted: list[tuple[str, str, Any]] = [
            ("GET", "/", None),
            ("GET", "/static/api.js", None),
            ("GET", "/api/studio", None),
            ("GET", "/api/run?name=run", None),
            ("POST", "/api/compose", settings),
            ("POST", "/api/compose", {"run": "run"}),
            ("POST", "/api/like", {"candidate": "C", "count": 1, "seed": 1, "distance": 0.4, "temperature": 1.0}),
            ("POST", "/api/rewrite", {"candidate": "C", "bars": [0], "seed": 1, "temperature": 1.2}),
            ("POST", "/api/candidates/C/rating", {"liked": True}),
            ("POST", "/api/candidates/C/rating", {"liked": None}),
            ("GET", "/api/jobs/J", None),
            ("DELETE", "/api/jobs/J", None),
            ("GET", "/api/candidates/C", None),
            ("GET", "/api/candidates/C/piece.mid?save=1", None),
            ("GET", "/api/candidates/C/piece.musicxml", None),
            ("POST", "/api/primers?name=a.mid&run=run", song),
        ]
        made = []
        for method, path, body in wanted:
            kind = "application/octet-stream" if isinstance(body, str) else "application/json"
            headers = {"Host": HERE[7:], "Content-Type": kind} if body is not None else {"Host": HERE[7:]}
            made.append({"method": method, "path": path, "headers": headers, "body": body})
        return [json.dumps(one).encode() for one in made]

    def case(self, dice: Random) -> bytes:
        document = json.loads(dice.choice(self.seeds))
        for _ in range(dice.choice((1, 1, 2, 3))):
            match dice.randrange(6):
                case 0:
                    document["method"] = dice.choice(
                        ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "é")
                    )
                case 1:
                    path = mutations.damaged(document["path"].encode(), dice)[:3000].decode("latin-1")
                    document["path"] = dice.choice((path, document["path"] + "/../../etc/passwd", "//etc/passwd"))
                case 2:
                    document["headers"][dice.choice(_HEADERS)] = dice.choice(_HEADER_VALUES)
                case 3 if isinstance(document["body"], str):
                    if dice.random() < 0.1:  # each costs a process
                        damaged = mutations.damaged(document["body"].encode("latin-1"), dice)
                        document["body"] = damaged.decode("latin-1")
                    else:
                        document["path"] = dice.choice(
                            ("/api/primers?name=a.exe&run=run", "/api/primers?name=a.mid")
                        )
                case 4 if document["body"] is not None and dice.random() < 0.3:
                    with suppress(RecursionError):
                        data = mutations.damaged(json.dumps(document["body"]).encode(), dice)
                        document["body"] = data.decode("latin-1")
                case _ if isinstance(document["body"], dict):
                    with suppress(RecursionError):
                        document["body"] = mutations.odd_document(document["body"], dice)
        try:
            return json.dumps(document).encode()
        except RecursionError:
            return self.case(dice)

    @cached_property
    def _page(self) -> tuple[Any, Any, str]:
        """The studio, its client, and the name of a piece that is there."""
        from seqgan_music.studio import guard, jobs
        from seqgan_music.studio.app import create_app
        from seqgan_music.studio.runs import Runs
        from seqgan_music.studio.workshop import Workshop

        studio = Workshop(Runs(a_run().parent))
        studio.runs = Runs(a_run().parent, a_run())
        self.jobs: list[Any] = []

        def add(job: Any) -> Any:
            step = job.step

            def counted() -> None:
                if job.steps >= _STEPS:
                    job._cancelled.set()
                step()

            job.step = counted
            with suppress(jobs.Cancelled):
                self._work(job)
            self.jobs.append(job)
            return job

        studio.jobs.add = add  # type: ignore[method-assign]
        studio.jobs.find = lambda name: self.jobs[-1] if name == "J" and self.jobs else None  # type: ignore[method-assign]
        key = guard.Key()
        page = create_app(studio, PORT, key).test_client()
        page.get("/", base_url=HERE, query_string={"token": key.token})  # from here on it has the cookie
        made = page.post("/api/compose", base_url=HERE, json={"run": "run", "bars": 1, "seed": 1})
        assert made.status_code == 202, made.get_data(as_text=True)
        (candidate,) = self.jobs[-1].results
        return studio, page, candidate

    @staticmethod
    def _work(job: Any) -> None:
        from seqgan_music.errors import SeqganMusicError

        job.state = "running"
        try:
            job.work(job)
            job.state = "done"
        except SeqganMusicError as error:
            job.state, job.error = "failed", str(error)

    def prepare(self, place: Path, data: bytes) -> Path:
        path = place / "request.json"
        path.write_bytes(data)
        _ = self._page
        return path

    def try_(self, path: Path) -> str:
        _, page, candidate = self._page
        asked = json.loads(path.read_bytes())
        body = asked["body"]
        if not isinstance(body, str | None):
            body = json.dumps(body)
            for place in ('"C"',):
                body = body.replace(place, json.dumps(candidate))
        data = None if body is None else body.encode("latin-1", "replace")
        where = str(asked["path"]).replace("/C", f"/{candidate}")
        headers = {key: value for key, value in asked["headers"].items() if value.isascii()}
        try:
            answer = page.open(where, method=str(asked["method"]), base_url=HERE, headers=headers, data=data)
            told = answer.get_data()
        except (ValueError, UnicodeError):
            return REFUSED  # the client's own library does not send it
        assert answer.status_code < 500, f"{answer.status_code}: {told[:300]!r}"
        assert b"root:" not in told
        assert "Content-Security-Policy" in answer.headers
        if answer.status_code >= 400:
            if answer.content_type == "application/json" and asked["method"] != "HEAD":
                error = json.loads(told)["error"]
                assert error.strip()
                assert "\n" not in error, error[:200]
                assert len(error) <= 1000
            return REFUSED
        return READ
