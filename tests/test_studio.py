"""The studio as its page meets it, and as strangers do: settings, refusals, uploads, parallel use, ranges."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import soundfile
from flask.testing import FlaskClient
from report_run import HOSTILE, make_run
from tunes import midi, tune

from seqgan_music.compose import BUNDLED, Composer, Controls
from seqgan_music.music.formats.midi import midi_bytes
from seqgan_music.preference import ratings
from seqgan_music.preference.ranking import Ranking
from seqgan_music.studio import asking, guard, rendering, workshop
from seqgan_music.studio.app import MOST_JSON_BYTES, create_app
from seqgan_music.studio.candidates import score_of_sound
from seqgan_music.studio.runs import Runs
from seqgan_music.studio.workshop import Workshop

PORT = 8123
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, which has a critic and a hostile name."""
    folder = tmp_path_factory.mktemp("studio")
    made = make_run(folder)
    (folder / "runs").mkdir()
    made.rename(folder / "runs" / made.name)
    return folder / "runs"


@pytest.fixture
def uncritical(runs: Path) -> Iterator[str]:
    """The name of a run that has no critic, there for one test."""
    copy = shutil.copytree(runs / f"run {HOSTILE}", runs / "uncritical")
    for file in (copy / "checkpoints").glob("critic*"):
        file.unlink()
    yield copy.name
    shutil.rmtree(copy)


@pytest.fixture(scope="module")
def studio(runs: Path) -> Iterator[Workshop]:
    made = Workshop(Runs(runs))
    yield made
    folder = Path(made._folder.name)
    made.close()
    assert not folder.exists()


class Browser(FlaskClient):
    """Sends requests to the studio's own address."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        return super().open(*arguments, **{"base_url": HERE, **options})


KEY = guard.Key()


def stranger(studio: Workshop, *, keeps_cookies: bool = True) -> FlaskClient:
    """Somebody on this machine who has not seen the terminal."""
    app = create_app(studio, PORT, KEY)
    app.test_client_class = Browser
    return app.test_client(use_cookies=keeps_cookies)


def client(studio: Workshop) -> FlaskClient:
    """Who has opened the page by its whole address."""
    made = stranger(studio)
    assert made.get("/", query_string={"token": KEY.token}).status_code == 200
    return made


@pytest.fixture
def page(studio: Workshop) -> FlaskClient:
    """The page's own requests."""
    return client(studio)


def done(page: FlaskClient, answer: Any) -> dict[str, Any]:
    """Wait for the job that was taken, and return its last state."""
    assert answer.status_code == 202, answer.get_data(as_text=True)
    job = answer.get_json()
    end = time.monotonic() + 300
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
        job = page.get(f"/api/jobs/{job['id']}").get_json()
    return job  # type: ignore[no-any-return]


def written(page: FlaskClient, **settings: Any) -> dict[str, Any]:
    """Write a piece and return its candidate."""
    job = done(page, page.post("/api/compose", json={"run": "bundled", "bars": 2, "seed": 3, **settings}))
    assert job["state"] == "done", job["error"]
    return page.get(f"/api/candidates/{job['candidates'][0]}").get_json()  # type: ignore[no-any-return]


def upload(page: FlaskClient, data: bytes, name: str = "tune.mid", run: str = "bundled") -> Any:
    query = {"name": name, "run": run}
    return page.post("/api/primers", query_string=query, data=data, content_type="application/octet-stream")


def test_it_offers_the_runs_of_the_folder_and_the_one_that_comes_along(page: FlaskClient) -> None:
    offered = page.get("/api/studio").get_json()
    assert offered["runs"] == [{"name": f"run {HOSTILE}"}, {"name": "bundled"}]
    assert offered["programs"][73] == "Flute"
    assert ".abc" in offered["primers"]
    own = page.get("/api/run", query_string={"name": f"run {HOSTILE}"}).get_json()
    assert (own["tempo"], own["no_ratings"], own["no_copies"]) == (120, "", "")
    bundled = page.get("/api/run?name=bundled").get_json()
    assert "without the music" in bundled["no_copies"]
    assert "came along with the program" in bundled["no_ratings"]


def test_a_seed_writes_what_it_writes_elsewhere(page: FlaskClient) -> None:
    settings = {"key": "D dorian", "temperature": 0.9, "tempo": 90, "program": 73, "bars": 3, "seed": 5}
    found = written(page, **settings)
    controls = Controls(0.9, bars=3, tempo=90, program=73, key=asking.Key.parse("D dorian"))
    (same,) = Composer.open(BUNDLED).compose(controls, seed=5)
    ticks = same.piece.ticks_per_beat
    notes = [[n.onset / ticks, n.duration / ticks, n.pitch, n.velocity] for n in same.piece.notes]
    assert found["notes"] == [[pytest.approx(value, abs=1e-4) for value in note] for note in notes]
    assert len(found["bars"]) == 3
    assert found["line"] == (
        "seqgan-music sample --run bundled --temperature 0.9 --bars 3 --tempo 90.0 --program 73"
        " --key 'D dorian' --seed 5"
    )
    file = page.get(f"/api/candidates/{found['id']}/piece.mid?save=1")
    assert file.headers["Content-Disposition"] == "attachment; filename=bundled-5.mid"
    assert file.data.startswith(b"MThd")
    assert b"--seed 5" in file.data


def test_the_critic_judges_every_bar_where_there_is_one(page: FlaskClient, uncritical: str) -> None:
    found = written(page, run=f"run {HOSTILE}", bars=4)
    assert len(found["heat"]) == len(found["bars"]) == 4
    assert all(0 <= value <= 1 for value in found["heat"])
    assert 0 <= found["rank"] <= 1
    assert written(page, run=uncritical)["heat"] == []
    assert page.get(f"/api/run?name={uncritical}").get_json()["no_critic"]
    assert len(written(page)["heat"]) == 2  # the critic that came along


def test_several_candidates_have_seeds_of_their_own(page: FlaskClient) -> None:
    job = done(page, page.post("/api/compose", json={"run": "bundled", "bars": 1, "seed": 7, "count": 3}))
    found = [page.get(f"/api/candidates/{name}").get_json() for name in job["candidates"]]
    assert [one["seed"] for one in found] == [7, 8, 9]


@pytest.mark.parametrize(("suffix", "kind"), [("flac", "audio/flac"), ("mp3", "audio/mpeg")])
def test_sound_is_given_in_ranges_so_that_players_can_seek(page: FlaskClient, suffix: str, kind: str) -> None:
    address = f"/api/candidates/{written(page)['id']}/piece.{suffix}"
    whole = page.get(address)
    assert (whole.status_code, whole.mimetype, whole.headers["Accept-Ranges"]) == (200, kind, "bytes")
    part = page.get(address, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.data) == (206, whole.data[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.data)}"
    assert page.get(address, headers={"Range": f"bytes={len(whole.data)}-"}).status_code == 416
    assert page.get(address, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    sound, _ = soundfile.read(BytesIO(whole.data))
    assert float((sound**2).mean()) > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bars": 0}, "bars must be a whole number from 1 to 128."),
        ({"bars": 2.5}, "bars must be a whole number from 1 to 128."),
        ({"bars": "4"}, "bars must be a whole number from 1 to 128."),
        ({"bars": True}, "bars must be a whole number from 1 to 128."),
        ({"bars": 10**400}, "bars must be a whole number from 1 to 128."),
        ({"count": 13}, "count must be a whole number from 1 to 12."),
        ({"seed": -1}, "seed must be a whole number from 0 to 1e+09."),
        ({"temperature": 0}, "temperature must be from 0.1 to 3."),
        ({"temperature": [1]}, "temperature must be from 0.1 to 3."),
        ({"tempo": 1e300}, "tempo must be from 20 to 400."),
        ({"top_p": 0}, "top-p must be from 0.05 to 1."),
        ({"key": "H major"}, "'H major' is not a key."),
        ({"key": "C" * 300}, "key must be a text of at most 200 characters."),
        ({"key": 3}, "key must be a text of at most 200 characters."),
        ({"keep_primer": 1}, "keep-primer must be true or false."),
        ({"bar": 4}, "There is no setting 'bar'. Did you mean 'bars'?"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    page: FlaskClient, settings: dict[str, Any], message: str
) -> None:
    answer = page.post("/api/compose", json={"run": "bundled", **settings})
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith(message)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"null", b'{"bars": NaN}', b'{"bars": Infinity}', b"[" * 60_000, b"\xff\xfe", b"9" * 6000],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_settings_is_refused(page: FlaskClient, body: bytes) -> None:
    answer = page.post("/api/compose", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_could_send_is_refused(page: FlaskClient, kind: str) -> None:
    for path in ("/api/compose", "/api/primers?name=a.mid&run=bundled"):
        answer = page.post(path, data=b'{"bars": 1}', content_type=kind)
        assert answer.status_code == 415
        assert answer.get_json()["error"].startswith("Send the ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{PORT}"},
        {"Host": f"127.0.0.1:{PORT + 1}"},
        {"Host": "127.0.0.1"},
        {"Host": f"127.0.0.1:{PORT}.evil.example"},
        {"Host": f"0.0.0.0:{PORT}"},
        {"Host": "<script>"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Origin": f"http://127.0.0.1:{PORT + 1}"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_strangers_are_refused_everywhere(page: FlaskClient, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/"), ("GET", "/api/studio"), ("POST", "/api/compose"), ("DELETE", "/api/jobs/x")):
        answer = page.open(path, method=method, headers=headers, json={} if method == "POST" else None)
        assert answer.status_code == 403
        assert "answers only" in answer.get_json()["error"]


def test_its_own_page_and_a_link_to_it_are_welcome(page: FlaskClient, studio: Workshop) -> None:
    own = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    assert page.get("/api/studio", headers=own).status_code == 200
    elsewhere = {"Host": f"localhost:{PORT}", "Cookie": f"seqgan-music-{PORT}={KEY.cookie}"}
    assert stranger(studio, keeps_cookies=False).get("/api/studio", headers=elsewhere).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.get("/", headers=link).status_code == 200
    assert page.post("/api/compose", json={}, headers=link).status_code == 403


def test_without_the_token_every_route_is_refused_in_a_sentence(studio: Workshop) -> None:
    app = create_app(studio, PORT, KEY)
    rules = [rule.rule.replace("<name>", "x").replace("<suffix>", "mid") for rule in app.url_map.iter_rules()]
    assert len(rules) > 10
    page = stranger(studio, keeps_cookies=False)  # so that it sends what it is told to
    assert page.get("/api/studio", headers={"Cookie": f"seqgan-music-{PORT}={KEY.cookie}"}).status_code == 200
    for cookie in (None, "", KEY.token, KEY.cookie[:-1], "\N{SNOWMAN}".encode().decode("latin-1")):
        for method, path in [
            (method, path) for path in (*rules, "/nothing") for method in ("GET", "POST", "DELETE")
        ]:
            headers = {} if cookie is None else {"Cookie": f"seqgan-music-{PORT}={cookie}"}
            answer = page.open(path, method=method, headers=headers)
            assert (answer.status_code, list(answer.get_json())) == (403, ["error"]), path
            assert answer.get_json()["error"].startswith("Open the studio by the whole address")
            assert "Set-Cookie" not in answer.headers


def test_the_token_opens_the_page_alone_and_is_exchanged_for_a_cookie(studio: Workshop) -> None:
    page = stranger(studio)
    for wrong in ("", "x", KEY.cookie, KEY.token + "x", "\N{SNOWMAN}"):
        assert page.get("/", query_string={"token": wrong}).status_code == 403
    assert page.get("/api/studio", query_string={"token": KEY.token}).status_code == 403
    assert page.post("/", query_string={"token": KEY.token}).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}  # as from a file that leads there
    cookie = page.get("/", query_string={"token": KEY.token}, headers=link).headers["Set-Cookie"]
    name, *attributes = cookie.split("; ")
    assert name == f"seqgan-music-{PORT}={KEY.cookie}"
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert KEY.token not in cookie
    assert page.get("/").status_code == page.get("/api/studio").status_code == 200
    assert len({guard.Key().token, guard.Key().token, guard.Key().cookie, KEY.token}) == 4
    assert len(KEY.token) == len(KEY.cookie) == 43
    assert KEY.token not in repr(KEY)


def test_every_answer_says_what_the_page_may_do(page: FlaskClient) -> None:
    for path in ("/", "/static/studio.js", "/api/studio", "/nothing"):
        headers = page.get(path).headers
        assert headers["Content-Security-Policy"] == guard.POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
    assert "unsafe" not in guard.POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/..%5capp.py", "/static/",
        "/static//etc/passwd", "/static/index.html%00.js", "/etc/passwd", "/api/candidates/..%2f..%2fetc%2fpasswd",
        "/api/candidates/x/piece.mid", "/api/candidates/x", "/api/jobs/x", "/api/run?name=../../etc",
        "/api/run?name=/etc", "/api/run", "/api/", "/%ff%fe",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_there(page: FlaskClient, path: str) -> None:
    answer = page.get(path)
    assert answer.status_code == 404
    assert answer.get_json()["error"]


def test_an_unknown_suffix_or_method_is_refused(page: FlaskClient) -> None:
    name = written(page)["id"]
    assert page.get(f"/api/candidates/{name}/piece.exe").status_code == 404
    assert page.get(f"/api/candidates/{name}/piece.mid/../../x").status_code == 404
    answer = page.put("/api/compose")
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"OPTIONS", "POST"})
    assert answer.get_json()["error"]
    for path in ("/api/like", "/api/rewrite"):
        answer = page.post(path, json={"candidate": "../etc"})
        assert (answer.status_code, answer.get_json()["error"].split(":")[0]) == (
            404,
            "This piece is not here, or no longer",
        )


def test_bodies_past_the_limits_are_refused(page: FlaskClient) -> None:
    huge = b'{"key": "' + b"x" * MOST_JSON_BYTES + b'"}'
    assert page.post("/api/compose", data=huge, content_type="application/json").status_code == 413
    answer = upload(page, bytes(workshop.MOST_PRIMER_BYTES + 1))
    assert (answer.status_code, answer.get_json()["error"]) == (413, "That is too large for the studio.")


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "a.mid", "a.mid cannot be used: "),
        (b"MThd", "a.mid", "a.mid cannot be used: "),
        (b"\x00" * 5000, "a.kar", "a.kar cannot be used: "),
        (b"not xml <", "a.musicxml", "a.musicxml cannot be used: "),
        (midi([]), "empty.mid", "empty.mid cannot be used: no notes"),
        (b"MThd", "a.exe", "a.exe is of no known kind. Kinds: .abc"),
        (b"MThd", "mid", "mid is of no known kind."),
        (b"MThd", "../../etc/x.mid", "x.mid cannot be used: "),
        (b"MThd", "..\\..\\x.mid", "x.mid cannot be used: "),
        (b"MThd", "a\n\x1b[31m.mid", "a��[31m.mid cannot be used: "),
        (b"MThd", "n" * 401, "Say the file's name"),
        (b"MThd", "", "Say the file's name"),
    ],
)
def test_a_bad_upload_is_told_and_leaves_nothing(
    page: FlaskClient, studio: Workshop, data: bytes, name: str, message: str
) -> None:
    answer = upload(page, data, name)
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith(message)
    assert studio._folder.name not in answer.get_json()["error"]
    assert list(Path(studio._folder.name).iterdir()) == []


def test_new_music_goes_on_from_an_uploaded_file(page: FlaskClient, studio: Workshop) -> None:
    tune_ = b"X:1\nT:x\nM:4/4\nL:1/4\nK:D\nDEFG|ABcd|\n"
    answer = upload(page, tune_, "my tune.abc")
    assert answer.status_code == 201
    primer = answer.get_json()
    assert (primer["name"], [note[2] for note in primer["notes"]]) == (
        "my tune.abc",
        [62, 64, 66, 67, 69, 71, 73, 74],
    )
    found = written(page, primer=primer["id"], bars=2)
    assert found["notes"][:8] == primer["notes"]
    assert (found["primed"], len(found["bars"]), found["new_bars"]) == (2, 4, [2, 3])
    alone = written(page, primer=primer["id"], bars=2, keep_primer=False)
    assert (alone["primed"], len(alone["bars"])) == (0, 2)
    # Another run has another tokenizer: the file is read again for it.
    other = written(page, primer=primer["id"], run=f"run {HOSTILE}")
    assert [note[2] for note in other["notes"][:8]] == [note[2] for note in primer["notes"]]
    assert page.post("/api/compose", json={"run": "bundled", "primer": "x"}).status_code == 404
    assert list(Path(studio._folder.name).iterdir()) == []


def test_a_file_longer_than_a_song_is_refused(page: FlaskClient) -> None:
    answer = upload(page, midi(tune(1, 1200)), "long.mid")
    assert answer.status_code == 400
    assert re.fullmatch(r"long\.mid has \d+ bars; the studio continues up to 128\.", answer.get_json()["error"])


def test_forty_at_once_are_all_written_in_turn(page: FlaskClient, studio: Workshop) -> None:
    answers: list[Any] = []
    # Made here: routes are compiled, and in Python 3.11 threads that compile at once can disturb each other.
    clients = [client(studio) for _ in range(40)]

    def ask(number: int) -> None:
        answers.append(clients[number].post("/api/compose", json={"run": "bundled", "bars": 1, "seed": number}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = [done(page, answer) for answer in answers]
    assert [job["state"] for job in jobs] == ["done"] * 40
    found = {page.get(f"/api/candidates/{job['candidates'][0]}").get_json()["seed"] for job in jobs}
    assert found == set(range(40))


def test_more_than_may_wait_are_told_to_come_later(page: FlaskClient) -> None:
    long = {"run": "bundled", "bars": 128, "count": 12}
    answers = [page.post("/api/compose", json=long) for _ in range(70)]
    refused = [answer for answer in answers if answer.status_code != 202]
    for answer in answers:
        if answer.status_code == 202:
            page.delete(f"/api/jobs/{answer.get_json()['id']}")
    assert 5 <= len(refused) <= 6  # one may have begun
    assert {(answer.status_code, answer.get_json()["error"][:25]) for answer in refused} == {
        (429, "Too much is waiting alrea")
    }
    assert written(page)["notes"]


def test_a_job_that_is_cancelled_ends_and_the_next_begins(page: FlaskClient) -> None:
    job = page.post("/api/compose", json={"run": "bundled", "bars": 128, "count": 12}).get_json()
    while page.get(f"/api/jobs/{job['id']}").get_json()["state"] == "waiting":
        time.sleep(0.01)
    page.delete(f"/api/jobs/{job['id']}")
    assert written(page)["notes"]
    assert page.get(f"/api/jobs/{job['id']}").get_json()["state"] == "cancelled"


def test_a_thumb_is_kept_with_the_run(page: FlaskClient, runs: Path) -> None:
    name = f"run {HOSTILE}"
    pieces = [written(page, run=name, bars=4, seed=seed) for seed in range(4)]
    for number, piece in enumerate(pieces):
        answer = page.post(f"/api/candidates/{piece['id']}/rating", json={"liked": number < 2})
        assert answer.status_code == 200
    known = answer.get_json()
    assert known["told"].startswith("Taste learnt from 2 up and 2 down")
    assert {piece["id"] for piece in pieces} <= known["liking"].keys()
    assert [rating.liked for rating in ratings.load(runs / name)] == [True, True, False, False]
    for piece in pieces[2:]:  # without them nothing is known of the taste
        answer = page.post(f"/api/candidates/{piece['id']}/rating", json={"liked": None})
    assert (answer.status_code, answer.get_json()["liked"]) == (200, None)
    assert set(answer.get_json()["liking"].values()) == {None}
    assert [rating.liked for rating in ratings.load(runs / name)] == [True, True]
    assert page.post(f"/api/candidates/{pieces[0]['id']}/rating", json={}).status_code == 400
    bundled = written(page)
    answer = page.post(f"/api/candidates/{bundled['id']}/rating", json={"liked": True})
    assert (answer.status_code, answer.get_json()["error"].partition(":")[0]) == (400, "Not rated")
    assert not (BUNDLED / ratings.FILE).exists()
    for body in ({}, {"liked": None}, {"liked": 1}, {"up": True}):
        assert page.post(f"/api/candidates/{bundled['id']}/rating", json=body).status_code == 400


def test_a_damaged_run_is_told_and_does_no_harm(page: FlaskClient, runs: Path) -> None:
    broken = runs / "broken"
    (broken / "checkpoints").mkdir(parents=True)
    (broken / "config.toml").write_text("[[phase]]\nmethod = 'mle'\n")
    (broken / "checkpoints" / "best.json").write_text("{")
    (broken / "vocabulary.json").write_text("[]")
    try:
        assert {"name": "broken"} in page.get("/api/studio").get_json()["runs"]
        answer = page.post("/api/compose", json={"run": "broken"})
        assert (answer.status_code, "vocabulary.json" in answer.get_json()["error"]) == (400, True)
        (broken / "vocabulary.json").write_bytes((BUNDLED / "vocabulary.json").read_bytes())
        job = done(page, page.post("/api/compose", json={"run": "broken"}))
        assert (job["state"], "checkpoint" in job["error"]) == ("failed", True)
    finally:
        for file in sorted(broken.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        broken.rmdir()
    assert written(page)["notes"]


def test_a_download_is_what_is_heard(page: FlaskClient, studio: Workshop) -> None:
    found = written(page)
    candidate = studio.find(found["id"])
    comment = page.get(f"/api/candidates/{found['id']}/piece.mid").data
    assert midi_bytes(candidate.piece)[:14] == comment[:14]
    again = upload(page, comment, "again.mid").get_json()
    assert again["notes"] == found["notes"]


def test_a_bar_is_written_anew_and_the_others_stay(page: FlaskClient) -> None:
    source = written(page, bars=6, seed=11, tempo=100, program=40)
    settings = {"candidate": source["id"], "bars": [2, 3], "seed": 1}
    job = done(page, page.post("/api/rewrite", json=settings))
    assert job["state"] == "done", job["error"]
    found = page.get(f"/api/candidates/{job['candidates'][0]}").get_json()

    def begun(piece: dict[str, Any], bar: int) -> list[Any]:
        start, end = piece["bars"][bar]
        return [note for note in piece["notes"] if start <= note[0] < end]

    assert found["bars"] == source["bars"]
    assert found["new_bars"]
    assert set(found["new_bars"]) <= {2, 3}
    for bar in (0, 1, 4, 5):
        # What sounded on out of a bar that is gone cannot have stayed; what begins in a kept bar has.
        assert begun(found, bar) == begun(source, bar)
    assert (found["parent"], found["tempo"], found["program"]) == (source["id"], 100, 40)
    again = done(page, page.post("/api/rewrite", json=settings))
    assert page.get(f"/api/candidates/{again['candidates'][0]}").get_json()["notes"] == found["notes"]


def test_more_like_one_keeps_part_of_it(page: FlaskClient) -> None:
    source = written(page, bars=8, seed=12)
    job = done(
        page, page.post("/api/like", json={"candidate": source["id"], "count": 2, "seed": 5, "distance": 0.5})
    )
    found = [page.get(f"/api/candidates/{name}").get_json() for name in job["candidates"]]
    assert [one["seed"] for one in found] == [5, 6]
    for one in found:
        assert one["bars"] == source["bars"]
        assert len(one["new_bars"]) <= 4
        assert one["parent"] == source["id"]


@pytest.mark.parametrize("bars", [[], [8], [-1], [True], ["1"], 3, None, [0] * 500, [0, 10**30]])
def test_bars_that_are_not_there_are_refused(page: FlaskClient, bars: Any) -> None:
    source = written(page, bars=2)
    answer = page.post("/api/rewrite", json={"candidate": source["id"], "bars": bars})
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith("bars must be a list of numbers from 0 to ")


def test_the_best_of_several_is_what_is_preferred(
    page: FlaskClient, studio: Workshop, runs: Path, uncritical: str
) -> None:
    ranking = Ranking.open("ending=1,key=2", runs / f"run {HOSTILE}", 4)
    settings = {"run": f"run {HOSTILE}", "bars": 4, "seed": 21, "prefer": "ending=1,key=2"}
    one = ranking.scores([studio.find(written(page, **settings)["id"]).piece])
    best = written(page, **settings, best_of=6)
    assert best["title"] == "best of 6"
    assert ranking.scores([studio.find(best["id"]).piece]) >= one
    several = [written(page, **{**settings, "seed": 21 + 1_000_003 * n, "prefer": None})["id"] for n in range(4)]
    own = [studio.find(name).own_rank or 0.0 for name in several]
    chosen = written(page, **{**settings, "prefer": "critic=1"}, best_of=4)
    assert chosen["notes"] == score_of_sound(studio.find(several[own.index(max(own))]).piece)["notes"]
    without = {"run": uncritical, "bars": 1, "prefer": "critic=1", "best_of": 2}
    answer = page.post("/api/compose", json=without)
    assert (answer.status_code, "critic" in answer.get_json()["error"]) == (400, True)
    # The seed that it tells makes it again.
    assert written(page, run=f"run {HOSTILE}", bars=4, seed=best["seed"])["notes"] == best["notes"]
    answer = page.post("/api/compose", json={"run": "bundled", "prefer": "keys=1", "best_of": 2})
    assert (answer.status_code, "Did you mean 'key'" in answer.get_json()["error"]) == (400, True)
    needs_music = page.post("/api/compose", json={"run": "bundled", "prefer": "range=1", "best_of": 2})
    assert "came without its music" in needs_music.get_json()["error"]


BEGINNINGS = {"mid": b"MThd", "mp3": b"", "flac": b"fLaC", "musicxml": b"<?xml", "svg": b"<"}


@pytest.mark.parametrize("suffix", rendering.KINDS)
def test_every_kind_of_file_is_made_or_it_is_said_why_not(page: FlaskClient, studio: Workshop, suffix: str) -> None:
    answer = page.get(f"/api/candidates/{written(page)['id']}/piece.{suffix}")
    if missing := rendering.missing(suffix):
        assert (answer.status_code, bool(answer.get_json()["error"])) == (400, True)
        pytest.skip(missing)
    assert (answer.status_code, answer.mimetype) == (200, rendering.KINDS[suffix])
    assert answer.data.startswith(BEGINNINGS[suffix])
    if suffix in rendering.SHOWN:
        assert answer.headers["Content-Security-Policy"] == guard.PICTURE_POLICY
    assert list(Path(studio._folder.name).iterdir()) == []
