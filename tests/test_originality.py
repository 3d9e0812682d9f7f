"""Copied runs: the same as an obvious search finds, in any key, at any time, on any grid; and named."""

from __future__ import annotations

import gc
import math
import random
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

from seqgan_music.music.metrics.originality import CopiedRun, Index, copied_share, copy_limit, novelty
from seqgan_music.music.notes import Meter, Note, Piece


def slow_links(piece: Piece) -> list[tuple[int, int, int]]:
    notes = sorted(piece.notes)
    return [(one.duration, other.pitch - one.pitch, other.onset - one.onset) for one, other in pairwise(notes)]


def slow_runs(piece: Piece, training: list[Piece]) -> list[int]:
    """The longest run from each note on: every start against every start, link by link."""
    runs = []
    links = slow_links(piece)
    for start in range(len(piece.notes)):
        longest = 0
        for other in map(slow_links, training):
            for place in range(len(other)):
                length = 0
                while start + length < len(links) and other[place + length : place + length + 1] == [
                    links[start + length]
                ]:
                    length += 1
                longest = max(longest, length)
        runs.append(longest + 1)
    return runs


def tune(seed: int, notes: int = 40, *, chords: bool = False) -> Piece:
    """Notes at random, of many pitches, waits and durations; tunes of different seeds share no run of 4."""
    dice = random.Random(seed)
    onset, made = 0, []
    for _ in range(notes):
        made.append(Note(onset, dice.randint(40, 90), dice.randint(1, 12)))
        onset += dice.choice([0, 3, 5]) if chords else dice.randint(1, 12)
    return Piece(tuple(sorted(made)), name=f"tune {seed}")


def joined(*parts: Piece) -> Piece:
    """The parts one after the other, a rest of a prime number of ticks between."""
    notes: list[Note] = []
    for part in parts:
        start = max((note.onset for note in notes), default=-101) + 101
        notes += [replace(note, onset=start + note.onset) for note in part.notes]
    return Piece(tuple(notes))


def part(piece: Piece, start: int, stop: int) -> Piece:
    """Notes `start` to `stop`, the first at tick 0."""
    notes = piece.notes[start:stop]
    return Piece(tuple(replace(note, onset=note.onset - notes[0].onset) for note in notes))


# Two pitches, two waits, two durations: repetition, chords and copies of every length.
narrow = st.lists(
    st.tuples(st.integers(60, 61), st.integers(0, 1), st.integers(1, 2)), min_size=0, max_size=12
).map(
    lambda moves: Piece(
        tuple(sorted(Note(sum(wait for _, wait, _ in moves[:i]), p, d) for i, (p, _, d) in enumerate(moves)))
    )
)


@given(st.lists(narrow, min_size=1, max_size=6), st.lists(narrow, max_size=3))
def test_runs_are_those_of_an_obvious_search(training: list[Piece], written: list[Piece]) -> None:
    index = Index(training)
    expected = [slow_runs(piece, training) for piece in written]
    if len(index):
        assert [runs.tolist() for runs in index.runs(written)] == expected
        for most in (2, 3, 5):
            capped = [[min(run, most) for run in runs] for runs in expected]
            assert [np.minimum(runs, most).tolist() for runs in index.runs(written, most)] == capped


@given(st.lists(narrow, min_size=1, max_size=6), narrow)
def test_the_named_place_holds_the_run(training: list[Piece], piece: Piece) -> None:
    run = Index(training, ["a", "b", "c", "d", "e", "f"]).longest_run(piece)
    longest = max(slow_runs(piece, training), default=0)
    if run is None:
        assert longest < 2 or not any(source.notes for source in training)
        return
    assert (run.notes, run.source) == (longest, "abcdef"[run.source_piece])
    copied = slow_links(piece)[run.start_note : run.start_note + run.notes - 1]
    holds = [
        any(slow_links(other)[place:][: len(copied)] == copied for place in range(len(other.notes)))
        for other in training
    ]
    assert holds.index(True) == run.source_piece
    assert slow_runs(piece, training).index(longest) == run.start_note


@given(st.lists(narrow, max_size=8), st.lists(narrow, max_size=3), st.integers(1, 30))
def test_a_set_in_parts_says_the_same_as_in_one(training: list[Piece], written: list[Piece], most: int) -> None:
    whole = Index(training)
    parts = Index(iter(training), ticks_per_beat=whole.ticks_per_beat, together=most)
    assert len(parts) == len(whole)
    assert [runs.tolist() for runs in parts.runs(written)] == [runs.tolist() for runs in whole.runs(written)]
    assert parts.longest_runs(written) == whole.longest_runs(written)


def test_a_set_in_parts_keeps_none_of_its_pieces(tmp_path: Path) -> None:
    class Watched(Piece):  # a Piece has no room for weak references
        pass

    alive: list[weakref.ref[Watched]] = []

    def music() -> Iterator[Piece]:
        for seed in range(30):
            piece = Watched(tune(seed).notes, name=f"tune {seed}")
            gc.collect()
            assert not any(one() for one in alive[:-1])
            alive.append(weakref.ref(piece))
            yield piece

    index = Index(music(), ticks_per_beat=12, together=100, folder=tmp_path)
    assert (len(index), index.names[29]) == (30 * 40, "tune 29")
    run = index.longest_run(joined(tune(100, 10), part(tune(17), 5, 20)))
    assert run is not None
    assert (run.notes, run.source_piece) == (15, 17)
    assert not list(tmp_path.iterdir())


@given(pieces(most=20).map(lambda piece: piece.tuned), st.integers(-12, 12), st.integers(0, 1000))
def test_a_piece_is_a_copy_of_itself_in_any_key_at_any_time(piece: Piece, semitones: int, later: int) -> None:
    moved = tuple(replace(note, onset=note.onset + later) for note in piece.transposed(semitones).notes)
    (runs,) = Index([piece]).runs([replace(piece, notes=moved)])
    assert runs.tolist() == list(range(len(piece.notes), 0, -1))


@pytest.mark.parametrize("chords", [False, True])
def test_planted_copies_are_found_to_the_note(chords: bool) -> None:
    training = [tune(seed, chords=chords) for seed in range(20)]
    index = Index(training)
    for seed, (start, length, semitones) in enumerate([(0, 8, 0), (5, 20, 7), (25, 15, -11), (0, 40, 3)]):
        planted = part(training[3 + seed], start, start + length).transposed(semitones)
        piece = joined(tune(100 + seed, 10), planted, tune(200 + seed, 10))
        run = index.longest_run(piece)
        assert run is not None
        assert (run.notes, run.start_note, run.source) == (length, 10, f"tune {3 + seed}")
        assert (run.source_piece, run.transposed) == (3 + seed, semitones)


def test_a_copy_on_a_finer_grid_is_found_and_half_the_speed_is_none() -> None:
    index = Index([tune(1), tune(2)])

    def at(factor: int, ticks_per_beat: int) -> Piece:
        notes = tuple(Note(factor * n.onset, n.pitch, factor * n.duration) for n in tune(1).notes)
        return Piece(notes, ticks_per_beat)

    assert index.runs([at(40, 480)])[0].max() == 40
    assert index.runs([at(2, 12)])[0].max() < 4
    # A performance a few ticks off the beat is the same music on the grid.
    late = tuple(replace(n, onset=n.onset + 7 + n.pitch % 10, duration=n.duration - 5) for n in at(40, 480).notes)
    assert index.runs([Piece(late, 480)])[0].max() == 40


def test_bars_are_counted_from_one_in_each_pieces_own_meter_and_grid() -> None:
    waltz = Piece(
        tuple(Note(480 * i, 60 + i * i % 11, 480) for i in range(24)), 480, (Meter(0, 3, 4),), name="waltz"
    )
    run = Index([waltz]).longest_run(
        Piece((Note(0, 40, 7), *(Note(99 + n.onset // 40, n.pitch, 12) for n in waltz.notes[9:20])))
    )
    assert run == CopiedRun(11, 1, 5, "waltz", 0, 4, 0)
    assert str(run) == "11 notes from bar 5 on are those of waltz from bar 4 on"
    assert str(replace(run, transposed=-1)).endswith(", 1 semitone lower")
    assert str(replace(run, transposed=2)).endswith(", 2 semitones higher")


def test_no_run_leads_from_one_piece_into_the_next() -> None:
    whole = tune(1)
    halves = [part(whole, 0, 20), part(whole, 20, 40)]
    assert Index([whole]).runs([whole])[0].max() == 40
    assert Index(halves).runs([whole])[0].tolist() == [*range(20, 0, -1)] * 2


def test_a_verse_sung_ten_times_is_no_longer_than_what_is_sung_of_it() -> None:
    verse = tune(1, 8)
    song = joined(*[verse] * 10)
    index = Index([song, tune(2)])
    assert index.runs([verse])[0].tolist() == list(range(8, 0, -1))
    run = index.longest_run(joined(tune(3, 8), verse, verse))
    assert run is not None
    assert (run.notes, run.start_note, run.source_bar) == (16, 8, 1)


def test_rhythm_counts_and_the_last_duration_does_not() -> None:
    index = Index([tune(1)])
    first, *rest = tune(1).notes
    longer = [replace(note, duration=note.duration + 1) for note in (first, *rest)]
    assert index.runs([Piece((longer[0], *rest))])[0].tolist() == [1, *range(39, 0, -1)]
    assert index.runs([Piece((first, *rest[:-1], longer[-1]))])[0].tolist() == list(range(40, 0, -1))
    late = tuple(replace(note, onset=note.onset + (i >= 20)) for i, note in enumerate(tune(1).notes))
    assert index.runs([Piece(late)])[0].max() == 20


def test_names_are_given_or_the_pieces_own_or_numbers() -> None:
    some = [tune(1), replace(tune(2), name=""), tune(3)]
    assert Index(some).names == ["tune 1", "training piece 2", "tune 3"]
    assert Index(some, ["x.mid", "y.mid"]).names == ["x.mid", "y.mid", "tune 3"]


def test_without_notes_there_is_no_run() -> None:
    for training in ([], [Piece(())]):
        index = Index(training)
        assert len(index) == 0
        assert index.longest_runs([tune(1), Piece(())]) == [None, None]
        assert index.runs([tune(1, 3), Piece(())])[0].tolist() == [0, 0, 0]
    index = Index([tune(1), Piece(())])
    assert len(index) == 40
    assert index.runs([Piece(()), part(tune(1), 0, 2)])[1].tolist() == [2, 1]
    assert index.longest_run(Piece((Note(0, 60, 1),))) is None
    assert index.runs([]) == index.longest_runs([]) == []


def test_novelty_counts_the_runs_of_n_notes_that_are_not_in_the_set() -> None:
    index = Index([tune(1)])
    assert [novelty(index.runs([tune(1)]), n) for n in (4, 8, 12)] == [0.0, 0.0, 0.0]
    assert [novelty(index.runs([tune(2)]), n) for n in (4, 8, 12)] == [1.0, 1.0, 1.0]
    # 10 of 40 notes: runs of 4 begin at 37 notes, at 7 of them they are copied.
    half = index.runs([joined(tune(3, 20), part(tune(1), 5, 15), tune(4, 10))])
    assert novelty(half, 4) == 30 / 37
    assert novelty(half, 11) == 1.0
    assert novelty([*half, *index.runs([tune(1)])], 4) == 30 / 74
    assert math.isnan(novelty(index.runs([part(tune(1), 0, 7)]), 8))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_at_most_a_twentieth_of_real_windows_are_above_the_limit(longest: list[int]) -> None:
    limit = copy_limit(longest)
    assert limit in longest
    assert copied_share(longest, limit) <= 0.05
    assert copied_share(longest, limit - 1) > 0.05


def test_copied_share_of_the_cheater_is_one() -> None:
    training = [tune(seed, 30) for seed in range(30)]
    index = Index(training)
    real = [int(runs.max()) for runs in index.runs([tune(seed, 30) for seed in range(100, 140)])]
    limit = copy_limit(real)
    assert limit < 4
    assert copied_share([int(runs.max()) for runs in index.runs(training)], limit) == 1.0
    assert (copy_limit([]), math.isnan(copied_share([], 3))) == (0, True)


def test_a_large_repetitive_set_is_sorted_like_any_other() -> None:
    # Long repeats need many doublings: one note 20,000 times, and a tune ten times over.
    drone = Piece(tuple(Note(3 * i, 60, 3) for i in range(20_000)))
    index = Index([drone, *[tune(1, 2_000)] * 10])
    assert len(index) == 40_000
    assert index.runs([drone])[0].tolist() == list(range(20_000, 0, -1))
    assert index.runs([tune(1, 2_000)])[0].max() == 2_000
    run = index.longest_run(tune(1, 2_000))
    assert run is not None
    assert (run.source_piece, run.start_note, run.source_bar) == (1, 0, 1)
