"""Composer.rewrite, infill and vary, and wishes bar by bar, with a generator of random weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from random_run import make_run, teach

from seqgan_music.compose import Composer, Composition, Controls, Density, Key, PitchRange, Primer, bars_of
from seqgan_music.compose import composer as composing
from seqgan_music.compose.rewriting import changed_share, varied
from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import Meter, Note, Piece, Tempo

TOKENIZERS = ["note_event", "pitch_grid"]
FEW = 8
# Eight bars of 4/4, two of 3/4 and two of 4/4 again; loudness rises, the tempo changes once.
METERS = (Meter(0, 4, 4), Meter(384, 3, 4), Meter(456, 4, 4))
TUNE = Piece(
    tuple(Note(12 * beat, 60 + (5 * beat) % 12, 12, 20 + beat) for beat in range(46)),
    meters=METERS,
    tempos=(Tempo(0, 100.0), Tempo(100, 80.0)),
    program=7,
    name="tune",
)


@pytest.fixture(scope="module")
def composers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Composer]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: Composer.open(make_run(folder / name, name)) for name in TOKENIZERS}


@pytest.fixture(scope="module")
def composer(composers: dict[str, Composer]) -> Composer:
    return composers["note_event"]


def of_bars(piece: Piece, numbers: Sequence[int], whole: Piece = TUNE) -> list[Note]:
    spans = [bars_of(whole)[number - 1] for number in numbers]
    return [note for note in piece.notes if any(bar.start <= note.onset < bar.end for bar in spans)]


# Kept bars


@pytest.mark.parametrize("bars", [[1], [5, 6], [12], [1, 3, 5, 12], [8, 9, 10, 11], list(range(1, 13))])
def test_bars_that_are_not_written_anew_keep_their_notes_and_all_keep_their_place(
    composer: Composer, bars: list[int]
) -> None:
    made = composer.rewrite(TUNE, bars=bars, seed=1, candidates=FEW)
    rest = [number for number in range(1, 13) if number not in bars]
    assert of_bars(made.piece, rest) == of_bars(TUNE, rest)
    for number in bars:  # none is silent
        bar = bars_of(TUNE)[number - 1]
        assert any(note.onset < bar.end and note.end > bar.start for note in made.piece.notes)
    assert [bar.meter for bar in bars_of(made.piece)] == [bar.meter for bar in bars_of(TUNE)]
    assert (made.piece.tempos, made.piece.program, made.piece.name) == (TUNE.tempos, 7, "tune")
    assert made.changed == changed_share(TUNE, made.piece)
    assert made == composer.rewrite(TUNE, bars=bars, seed=1, candidates=FEW)


def test_new_notes_are_as_loud_as_the_median_of_what_is_kept(composer: Composer, tmp_path: Path) -> None:
    made = composer.rewrite(TUNE, bars=[3, 4], seed=2, candidates=FEW)
    kept = sorted(note.velocity for note in of_bars(TUNE, [1, 2, *range(5, 13)]))
    assert {note.velocity for note in of_bars(made.piece, [3, 4])} == {kept[(len(kept) - 1) // 2]}


def test_notes_held_over_the_edges(composer: Composer) -> None:
    """A kept note sounds on under new ones; a note of the gap goes with it; new ones stop where the kept begin."""
    held = Piece(
        (
            *(Note(12 * beat, 72, 12) for beat in range(3)),
            Note(36, 48, 60),  # from bar 1 to the end of bar 2, which is written anew
            Note(60, 60, 96),  # of bar 2, and sounds on into bar 4
            *(Note(120 + 12 * beat, 74, 12) for beat in range(6)),  # bar 3 from its third beat on
        )
    )

    def liking_for_notes(pieces: Sequence[Piece]) -> list[float]:
        return [100.0 * len(piece.notes) for piece in pieces]

    new: set[Note] = set()
    for seed in range(8):
        made = composer.rewrite(held, bars=[2], seed=seed, candidates=FEW, score=liking_for_notes).piece
        new |= set(made.notes) - set(held.notes)
        assert set(held.notes) - set(made.notes) == {Note(60, 60, 96)}
    assert len(new) > 8
    assert all(48 <= note.onset < 96 and note.end <= 120 for note in new)
    assert max(note.end for note in new) > 96
    assert 48 not in {note.pitch for note in new}  # it would cut the kept one


def test_a_grid_keeps_its_steps_and_a_held_note_its_length(composers: dict[str, Composer]) -> None:
    composer = composers["pitch_grid"]
    tune = composer.compose(Controls(bars=8), seed=5)[0].piece
    held = Primer.of(tune, composer.tokenizer)
    assert held is not None
    for bars in ([3], [4, 5], [1, 8]):
        made = composer.rewrite(tune, bars=bars, seed=1, candidates=FEW).piece
        rest = [number for number in range(1, 9) if number not in bars]
        assert of_bars(made, rest, held.piece) == of_bars(held.piece, rest, held.piece)
        assert made.end <= 8 * 48
        assert made.tempos == held.piece.tempos


def test_loudness_that_the_tokenizer_holds_is_written(tmp_path: Path) -> None:
    composer = Composer.open(make_run(tmp_path / "loud", options={"velocity_bins": 4}))
    made = composer.rewrite(TUNE, bars=[2, 3, 4], seed=1, candidates=FEW)
    assert of_bars(made.piece, [1, *range(5, 13)]) == of_bars(TUNE, [1, *range(5, 13)])
    assert {note.velocity for note in of_bars(made.piece, [2, 3, 4])} <= {16, 48, 80, 112}


# Controls and scores


@pytest.mark.parametrize("name", TOKENIZERS)
def test_key_and_range_bind_new_notes_alone(composers: dict[str, Composer], name: str) -> None:
    controls = Controls(key=Key.parse("C# major"), pitch_range=PitchRange.parse("C5-C6"), tempo=77.0, program=3)
    tune = composers[name].compose(Controls(bars=6), seed=1)[0].piece
    made = composers[name].rewrite(tune, bars=[2, 3], seed=1, controls=controls, candidates=FEW).piece
    new = set(made.notes) - set(tune.notes)
    assert {note.pitch % 12 for note in new} <= {1, 3, 5, 6, 8, 10, 0}
    assert all(72 <= note.pitch <= 84 for note in new)
    assert (made.tempos, made.program) == ((Tempo(0, 77.0),), 3)


def test_a_score_of_whole_pieces_takes_part_in_the_choice(composer: Composer) -> None:
    shown: list[Sequence[Piece]] = []

    def liking_for_a(pieces: Sequence[Piece]) -> list[float]:
        shown.append(pieces)
        return [1000.0 * sum(note.pitch % 12 == 9 for note in of_bars(piece, [3])) for piece in pieces]

    made = composer.rewrite(TUNE, bars=[3], seed=1, candidates=FEW, score=liking_for_a)
    (pieces,) = shown
    assert len(pieces) == FEW
    assert made.piece in pieces
    assert all(of_bars(piece, [1, 2, 4, 12]) == of_bars(TUNE, [1, 2, 4, 12]) for piece in pieces)
    counts = [score / 1000 for score in liking_for_a(pieces)]
    assert sum(note.pitch % 12 == 9 for note in of_bars(made.piece, [3])) == max(counts)


def test_far_behind_a_gap_the_choice_is_made_and_later_gaps_are_shown_as_they_were(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqgan_music.compose import particles

    monkeypatch.setattr(particles, "HORIZON", 6)
    shown: list[Sequence[Piece]] = []

    def score(pieces: Sequence[Piece]) -> list[float]:
        shown.append(pieces)
        return [0.0] * len(pieces)

    made = composer.rewrite(TUNE, bars=[2, 9], seed=1, candidates=FEW, score=score)
    first, second = shown
    assert all(of_bars(piece, range(3, 13)) == of_bars(TUNE, range(3, 13)) for piece in first)
    assert len({tuple(of_bars(piece, [2])) for piece in first}) > 1
    assert {tuple(of_bars(piece, [2])) for piece in second} == {tuple(of_bars(made.piece, [2]))}
    assert tuple(of_bars(made.piece, [2])) in {tuple(of_bars(piece, [2])) for piece in first}


def test_candidates_that_copy_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "copier")
    free = Composer.open(run).rewrite(TUNE, bars=[3, 4, 5], seed=1, candidates=FEW)
    teach(run, Composer.open(run).tokenizer.encode(free.piece), ["tune.mid"])
    composer = Composer.open(run)
    made = composer.rewrite(TUNE, bars=[3, 4, 5], seed=1, candidates=FEW, controls=Controls(max_copy=4))
    assert made.piece != free.piece
    assert made.copied is None or made.copied.notes <= 4


def test_what_is_told_may_stop_the_work(composer: Composer) -> None:
    class CancelledError(Exception):
        pass

    def cancel() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        composer.rewrite(TUNE, bars=[3], seed=1, on_token=cancel)


def test_what_cannot_be_is_one_line(composer: Composer) -> None:
    for arguments, message in (
        ({"bars": [13]}, "There is no bar 13: tune has 12 bars."),
        ({"bars": [0]}, "There is no bar 0"),
        ({"seed": -1}, "seed must be"),
        ({"candidates": 0}, "candidates must be 1 to 4096, not 0."),
        ({"controls": Controls(bars=3)}, "Leave bars out"),
        ({"controls": Controls(keep_primer=False)}, "Leave --no-primer out"),
    ):
        with pytest.raises(ConfigError) as caught:
            composer.rewrite(TUNE, **({"bars": [2], "seed": 1} | arguments))  # type: ignore[arg-type]
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="has no notes"):
        composer.rewrite(Piece(()), bars=[1], seed=1)


# Variations


def test_a_distance_of_none_is_the_piece_and_more_changes_more(composer: Composer) -> None:
    primer = Primer.of(TUNE, composer.tokenizer)
    assert primer is not None
    made = [composer.vary(primer, distance=d, seed=3, candidates=2) for d in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert made[0].piece == TUNE
    changed = [one.changed for one in made]
    assert changed[0] == 0
    assert changed == sorted(changed)  # type: ignore[type-var]
    assert changed[-1] is not None
    assert changed[-1] > 0.8
    with pytest.raises(ConfigError, match=r"distance must be 0 to 1, not 1\.1"):
        composer.vary(primer, distance=1.1, seed=1)


@pytest.mark.parametrize("count", [1, 2, 7, 16, 100])
def test_a_larger_distance_keeps_some_of_the_bars_of_a_smaller_one(count: int) -> None:
    for seed in range(5):
        kept = [varied(count, distance / 20, seed) for distance in range(21)]
        assert all(more <= fewer for fewer, more in pairwise(kept))
        for distance, bars in enumerate(kept):
            assert abs(len(bars) - count * (1 - distance / 20)) <= 0.5
            assert bars <= set(range(1, count + 1))
    if count > 2:
        assert len({tuple(sorted(varied(count, 0.5, seed))) for seed in range(20)}) > 1


def test_the_changed_share_by_hand() -> None:
    one = Piece((Note(0, 60, 12), Note(12, 62, 12), Note(24, 64, 12)))
    assert changed_share(one, one) == 0
    assert changed_share(one, replace(one, notes=one.notes[:2])) == pytest.approx(1 - 4 / 5)
    assert changed_share(one, one.transposed(1)) == 1
    longer = replace(one, notes=(*one.notes[:2], Note(24, 64, 24)))
    assert changed_share(one, longer) == pytest.approx(1 / 3)
    assert math.isnan(changed_share(Piece(()), Piece(())))


# Wishes bar by bar


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "CANDIDATES", 16)


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("4", ((4, 4),)),
        ("3-6", ((3, 6),)),
        ("4, 4,8,2-3", ((4, 4), (4, 4), (8, 8), (2, 3))),
        ("0.5", ((0.5, 0.5),)),
    ],
)
def test_densities_as_people_write_them(text: str, bars: tuple[tuple[float, float], ...]) -> None:
    density = Density.parse(text)
    assert density.bars == bars
    assert density.log_weight(1 + len(bars), 200) == density.log_weight(1, 200) < density.log_weight(1, 100)
    assert density.log_weight(1, math.ceil(bars[0][0])) >= -1


@pytest.mark.parametrize(
    ("text", "bars"),
    [("C4-G5", ((60, 79),)), ("a0-c8", ((21, 108),)), ("60-62, Bb3-F#4", ((60, 62), (58, 66)))],
)
def test_ranges_as_people_write_them(text: str, bars: tuple[tuple[int, int], ...]) -> None:
    assert PitchRange.parse(text).bars == bars
    assert PitchRange.parse(text).pitches(1) == frozenset(range(bars[0][0], bars[0][1] + 1))


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.usefixtures("few_candidates")
def test_bars_have_the_density_and_the_range_that_is_asked_for_each(
    composers: dict[str, Composer], name: str
) -> None:
    ranges = Controls(bars=4, pitch_range=PitchRange.parse("C4-C5,C6-C7"))

    def notes(made: Composition) -> list[list[int]]:
        bars = bars_of(made.piece)
        assert len(bars) == 4
        own = [[n.pitch for n in made.piece.notes if bar.start <= n.onset < bar.end] for bar in bars]
        assert set(own[0] + own[2]) <= set(range(60, 73))
        assert set(own[1] + own[3]) <= set(range(84, 97))
        return own

    def means(density: str) -> list[float]:
        controls = replace(ranges, density=Density.parse(density))
        made = composers[name].compose(controls, seed=1, count=3)
        assert made[-1] == composers[name].compose(controls, seed=3)[0]
        return np.mean([[len(own) for own in notes(one)] for one in made], axis=0).tolist()  # type: ignore[no-any-return]

    ask, few, many = ("{},{}", *((1, 4) if name == "note_event" else (4, 8)))
    one, other = means(ask.format(few, many)), means(ask.format(many, few))
    assert one[1] + one[3] - one[0] - one[2] > other[1] + other[3] - other[0] - other[2] + 2


@pytest.mark.usefixtures("few_candidates")
def test_wishes_for_bars_count_from_the_end_of_a_primer(composer: Composer) -> None:
    primer = Primer.of(replace(TUNE, notes=TUNE.notes[:10]), composer.tokenizer)  # two bars and a half
    controls = Controls(bars=3, pitch_range=PitchRange.parse("C4-C5,C6-C7,C2-C3"))
    (whole,) = composer.compose(controls, seed=1, primer=primer)
    assert whole.piece.notes[:10] == TUNE.notes[:10]
    assert {note.velocity for note in whole.piece.notes[10:]} == {24}  # their median
    pitches = [{n.pitch for n in whole.piece.notes[10:] if n.onset // 48 == bar} for bar in range(6)]
    assert pitches[2] <= set(range(60, 73))
    assert pitches[3] <= set(range(84, 97))
    assert pitches[4] <= set(range(36, 49))
    assert len(bars_of(whole.piece)) == 5
    (new,) = composer.compose(replace(controls, keep_primer=False), seed=1, primer=primer)
    assert len(bars_of(new.piece)) == 3


def test_one_range_for_all_bars_binds_every_new_note(composer: Composer) -> None:
    for made in composer.compose(Controls(bars=8, pitch_range=PitchRange.parse("C5-G5")), seed=1, count=3):
        assert {note.pitch for note in made.piece.notes} <= set(range(72, 80))


@pytest.mark.usefixtures("few_candidates")
def test_seconds_are_kept_where_bars_have_wishes(composer: Composer) -> None:
    (made,) = composer.compose(Controls(seconds=7.0, tempo=120.0, density=Density.parse("3")), seed=1)
    assert 5 < made.piece.seconds_at(made.piece.end) <= 7
