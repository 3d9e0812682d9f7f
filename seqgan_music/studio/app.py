"""What the studio answers: its page, and the page's requests as JSON. A refusal is a sentence in JSON, too."""

from __future__ import annotations

import logging
from functools import cache
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, send_file
from werkzeug.exceptions import HTTPException, NotFound, UnsupportedMediaType

from seqgan_music import __version__, choices
from seqgan_music.compose import BUNDLED
from seqgan_music.errors import SeqganMusicError
from seqgan_music.evaluate import result
from seqgan_music.music import objectives
from seqgan_music.pages import shared
from seqgan_music.preference.ranking import CRITIC, LIKED
from seqgan_music.studio import asking, guard, rendering, workshop
from seqgan_music.studio.candidates import Candidate, score_of_sound
from seqgan_music.studio.jobs import Job, QueueFullError
from seqgan_music.studio.workshop import BusyError, GoneError, OpenRun, Workshop

MOST_JSON_BYTES = 64 * 1024
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOREVER = "private, max-age=86400, immutable"
"""A candidate never changes; what is made of it neither."""

log = logging.getLogger(__name__)


def create_app(studio: Workshop, port: int, key: guard.Key) -> Flask:
    """Return the application for a server on 127.0.0.1 and `port`, for who has the key."""
    app = Flask("seqgan-music studio", static_folder=None, template_folder=None, root_path="/")
    app.config["MAX_CONTENT_LENGTH"] = MOST_JSON_BYTES
    guard.protect(app, port, key)
    _add_errors(app)
    _add_page(app)
    _add_requests(app, studio)
    _add_downloads(app, studio)
    return app


def _add_errors(app: Flask) -> None:
    def answer(status: int, message: str) -> tuple[Response, int]:
        return jsonify(error=message), status

    @app.errorhandler(SeqganMusicError)
    def cannot_be(error: SeqganMusicError) -> tuple[Response, int]:
        return answer(400, str(error))

    @app.errorhandler(GoneError)
    def gone(error: GoneError) -> tuple[Response, int]:
        return answer(404, str(error))

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> tuple[Response, int]:
        return answer(429, str(error))

    @app.errorhandler(QueueFullError)
    def full(_: QueueFullError) -> tuple[Response, int]:
        return answer(429, "Too much is waiting already. Try again when some of it is done, or cancel some.")

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[Response, int]:
        messages = {
            404: "There is nothing here.",
            405: "That cannot be done here.",
            413: "That is too large for the studio.",
        }
        code = error.code or 500
        described = error.description if code in (403, 411, 415) else None
        response, status = answer(code, described or messages.get(code) or error.name)
        if code == 405 and (allowed := error.get_headers()):
            response.headers.extend([pair for pair in allowed if pair[0] == "Allow"])
        return response, status

    @app.errorhandler(Exception)
    def mistake(error: Exception) -> tuple[Response, int]:
        log.error("The studio made a mistake", exc_info=error)
        return answer(500, "Something went wrong in the studio; the terminal says what.")


def _add_page(app: Flask) -> None:
    @app.get("/")
    def page() -> Response:
        return _file("index.html")

    @app.get("/favicon.ico")
    def icon() -> Response:
        return _file("icon.svg")

    @app.get("/static/<name>")
    def part_of_page(name: str) -> Response:
        return _file(name)


def _add_requests(app: Flask, studio: Workshop) -> None:
    @app.get("/api/studio")
    def about() -> Response:
        return jsonify(
            version=__version__,
            runs=[{"name": name} for name in studio.runs.found()],
            programs=_programs(),
            primers=_suffixes(),
            downloads=[suffix for suffix in rendering.DOWNLOADS if not rendering.missing(suffix)],
            no_notation=rendering.missing("svg"),
            preferences=[CRITIC, LIKED, *choices.names(objectives.__name__)],
            most_best_of=asking.MOST_BEST_OF,
            most_bars=asking.MOST_BARS,
            most_candidates=asking.MOST_CANDIDATES,
            most_primer_bytes=workshop.MOST_PRIMER_BYTES,
        )

    @app.get("/api/run")
    def run() -> Response:
        return jsonify(_run(studio.open_run(request.args.get("name", ""))))

    @app.post("/api/compose")
    def compose() -> tuple[Response, int]:
        return _taken(studio, studio.compose(_settings()))

    @app.post("/api/like")
    def like() -> tuple[Response, int]:
        return _taken(studio, studio.like(_settings()))

    @app.post("/api/rewrite")
    def rewrite() -> tuple[Response, int]:
        return _taken(studio, studio.rewrite(_settings()))

    @app.post("/api/candidates/<name>/rating")
    def rate(name: str) -> Response:
        return jsonify(studio.rate(name, _settings()))

    @app.post("/api/primers")
    def primer() -> tuple[Response, int]:
        if request.mimetype != "application/octet-stream":
            raise UnsupportedMediaType("Send the file's bytes as application/octet-stream.")
        request.max_content_length = workshop.MOST_PRIMER_BYTES
        name = workshop.checked_name(request.args.get("name", ""))
        identity, uploaded, held = studio.upload(request.args.get("run", ""), name, request.get_data())
        changes = {reason.replace("_", " "): count for reason, count in held.changes.items()}
        told = {"id": identity, "name": uploaded.name, "changes": changes, "others": held.others}
        return jsonify({**told, **score_of_sound(held.piece)}), 201

    @app.get("/api/jobs/<name>")
    def job(name: str) -> Response:
        return jsonify(_job(studio, _found(studio, name)))

    @app.delete("/api/jobs/<name>")
    def cancel(name: str) -> Response:
        found = _found(studio, name)
        studio.jobs.cancel(found)
        return jsonify(_job(studio, found))

    @app.get("/api/candidates/<name>")
    def candidate(name: str) -> Response:
        return jsonify(_candidate(studio.find(name)))


def _add_downloads(app: Flask, studio: Workshop) -> None:
    @app.get("/api/candidates/<name>/piece.<suffix>")
    def download(name: str, suffix: str) -> Response:
        found = studio.find(name)
        kind = rendering.KINDS.get(suffix)
        if kind is None:
            raise NotFound
        data = studio.rendered(found, suffix)
        named = f"{found.run.replace('/', '-')}-{found.seed}.{suffix}"
        response = send_file(
            BytesIO(data),
            mimetype=kind,
            as_attachment="save" in request.args,
            download_name=named,
            conditional=True,  # players seek by asking for ranges
            etag=f"{name}-{suffix}",
        )
        response.headers["Cache-Control"] = _FOREVER
        if suffix in rendering.SHOWN:
            response.headers["Content-Security-Policy"] = guard.PICTURE_POLICY
        return response


def _settings() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the settings as application/json.")
    return asking.document(request.get_data())


def _taken(studio: Workshop, job: Job) -> tuple[Response, int]:
    return jsonify(_job(studio, studio.jobs.add(job))), 202


def _found(studio: Workshop, name: str) -> Job:
    job = studio.jobs.find(name)
    if job is None:
        raise GoneError("There is no such job, or it was over long ago.")
    return job


def _job(studio: Workshop, job: Job) -> dict[str, Any]:
    left = job.seconds_left
    return {
        "id": job.id,
        "state": job.state,
        "progress": round(job.progress, 3),
        "seconds_left": None if left is None else round(left, 1),
        "ahead": studio.jobs.ahead_of(job),
        "candidates": list(job.results),
        "error": job.error,
    }


def _run(opened: OpenRun) -> dict[str, Any]:
    composer = opened.composer
    return {
        "name": opened.name,
        "tempo": composer.qpm,
        "program": composer.program,
        "chosen": composer.chosen.name,
        "why": composer.chosen.why,
        "about": _about(opened.folder),
        "no_critic": opened.no_critic,
        "no_ratings": workshop.no_ratings(opened),
        "no_copies": "" if (opened.folder / "tokens.npz").exists() else "it came without the music it learnt from",
    }


def _about(folder: Path) -> str:
    """Say what music a run has learnt from, where its scan says it."""
    if folder == BUNDLED:
        return "comes with the program"
    totals = (result.read_object(folder / "scan.json") or {}).get("totals")
    if not isinstance(totals, dict) or not all(isinstance(totals.get(key), int) for key in ("pieces", "notes")):
        return ""
    return f"has learnt from {totals['pieces']:,} pieces with {totals['notes']:,} notes"


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "run": candidate.run,
        "seed": candidate.seed,
        "title": candidate.title,
        "key": candidate.controls.key.name if candidate.controls.key else None,
        "copied": candidate.copied,
        "line": candidate.line,
        "heat": [round(value, 4) for value in candidate.heat],
        "rank": candidate.rank,
        "own_rank": candidate.own_rank,
        "liking": candidate.liking,
        "new_bars": list(candidate.new_bars),
        "primed": candidate.primed,
        "parent": candidate.parent,
        "warnings": list(candidate.warnings),
        **score_of_sound(candidate.piece),
    }


@cache
def _parts() -> dict[str, bytes]:
    """The page's own files, by name: a path cannot be made of a name that has to be one of these."""
    folder = files(__package__) / "static"
    own = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}
    return own | {name: shared(name).encode("utf-8") for name in ("base.css", "roll.js")}


def _file(name: str) -> Response:
    data = _parts().get(name)
    if data is None:
        raise NotFound
    response = Response(data, content_type=f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(sha256(data).hexdigest())
    response.make_conditional(request)
    return response


@cache
def _programs() -> list[str]:
    import pretty_midi

    return [pretty_midi.program_to_instrument_name(number) for number in range(128)]


def _suffixes() -> list[str]:
    from seqgan_music.music.reading import SUFFIXES

    return sorted(SUFFIXES)
