"""ratings.jsonl: what was rated comes back, whatever a killed process or another program left in the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from strategies import pieces

from seqgan_music.errors import InputError, RunError
from seqgan_music.music.notes import Note, Piece, Tempo
from seqgan_music.preference import ratings

HIGH = Piece((Note(0, 80, 6), Note(6, 84, 6)))
LOW = Piece((Note(0, 40, 6), Note(6, 43, 6)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").touch()
    return tmp_path


@given(piece=pieces())
def test_a_rated_piece_comes_back_with_every_note(tmp_path_factory: pytest.TempPathFactory, piece: Piece) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "config.toml").touch()
    if not piece.notes:
        with pytest.raises(InputError, match="no note"):
            ratings.add(run, piece, liked=True)
        return
    ratings.add(run, piece, liked=True)
    (rating,) = ratings.load(run)
    back = rating.piece
    assert (back.notes, back.ticks_per_beat, back.program) == (piece.notes, piece.ticks_per_beat, piece.program)
    assert back.meters == piece.meters
    assert back.tempos == (Tempo(0, piece.tempos[0].qpm),)


def test_the_later_of_two_ratings_of_the_same_notes_counts(run: Path) -> None:
    for piece, liked in [(HIGH, True), (LOW, True), (HIGH, False)]:
        ratings.add(run, piece, liked)
    assert [(r.piece, r.liked) for r in ratings.load(run)] == [(LOW, True), (HIGH, False)]
    assert len((run / ratings.FILE).read_bytes().splitlines()) == 3  # only ever added to


def test_what_is_taken_back_is_gone_and_can_be_said_again(run: Path) -> None:
    for piece, liked in [(HIGH, True), (LOW, True), (HIGH, None)]:
        ratings.add(run, piece, liked)
    before = (run / ratings.FILE).read_bytes()
    assert [(r.piece, r.liked) for r in ratings.load(run)] == [(LOW, True)]
    ratings.add(run, HIGH, liked=False)
    assert [(r.piece, r.liked) for r in ratings.load(run)] == [(LOW, True), (HIGH, False)]
    after = (run / ratings.FILE).read_bytes()
    assert after.startswith(before)  # only ever added to
    # A line that was left unfinished takes nothing back.
    ratings.add(run, LOW, liked=None)
    (run / ratings.FILE).write_bytes((run / ratings.FILE).read_bytes()[:-20])
    assert [(r.piece, r.liked) for r in ratings.load(run)] == [(LOW, True), (HIGH, False)]


def test_an_unfinished_line_costs_no_other_rating(run: Path) -> None:
    ratings.add(run, HIGH, liked=True)
    whole = (run / ratings.FILE).read_bytes()
    with (run / ratings.FILE).open("ab") as file:
        file.write(whole[:-20])
    ratings.add(run, LOW, liked=False)
    assert [(r.piece, r.liked) for r in ratings.load(run)] == [(HIGH, True), (LOW, False)]


NOTE = [0, 60, 1, 80]
GOOD = {"ticks_per_beat": 12, "meters": [[0, 4, 4]], "qpm": 120.0, "program": 0, "notes": [NOTE]}


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"liked": true}',
        b"null",
        *(
            json.dumps({"liked": liked, "piece": {**GOOD, **change}}).encode()
            for liked, change in [
                ("yes", {}),
                (True, {"notes": []}),
                (True, {"notes": [[0, 128, 1, 80]]}),
                (True, {"notes": [[-1, 60, 1, 80]]}),
                (True, {"notes": [[0, 60, 10**30, 80]]}),
                (True, {"notes": [[0.5, 60, 1, 80]]}),
                (True, {"notes": 3}),
                (True, {"meters": []}),
                (True, {"meters": [[0, 4, 0]]}),
                (True, {"qpm": float("nan")}),
                (True, {"qpm": 0}),
                (True, {"ticks_per_beat": 0}),
            ]
        ),
    ],
)
def test_a_line_that_is_no_rating_is_passed_over(run: Path, line: bytes) -> None:
    (run / ratings.FILE).write_bytes(line + b"\n")
    ratings.add(run, LOW, liked=False)
    assert [r.piece for r in ratings.load(run)] == [LOW]


def test_the_good_line_of_these_tests_is_one(run: Path) -> None:
    (run / ratings.FILE).write_text(json.dumps({"liked": True, "piece": GOOD}))
    assert ratings.load(run) == [ratings.Rating(Piece((Note(*NOTE),)), True)]


def test_what_cannot_be_rated_or_read_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        ratings.add(tmp_path / "nothing", HIGH, liked=True)
    with pytest.raises(InputError, match="too long to rate"):
        ratings.add(run, Piece(HIGH.notes * 30_000), liked=True)
    with pytest.raises(InputError, match="beats"):
        ratings.add(run, Piece((Note(10**9, 60, 1),)), liked=True)
    assert ratings.load(run) == []
    (run / ratings.FILE).mkdir()
    with pytest.raises(RunError, match="cannot be read"):
        ratings.load(run)
