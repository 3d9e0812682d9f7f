"""Objectives: laws that all keep, each docstring's example, and measures that other code here finds as well."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import pieces

from seqgan_music import choices
from seqgan_music.errors import ConfigError
from seqgan_music.music import note_tables, objectives
from seqgan_music.music.metrics.arrays import arrays
from seqgan_music.music.metrics.features import NAMES, features
from seqgan_music.music.metrics.structure import returning_share
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.objectives import Mix

NAMES_OF_ALL = objectives.names()


def made(name: str, **options: Any) -> objectives.Objective:
    """One objective, with a target where it takes one."""
    cls = choices.load(objectives.__name__, name, "objective")
    takes_target = "target" in {field.name for field in fields(cls.Options)}
    return objectives.create(name, {"target": 0.3, **options} if takes_target else options)


def measure(name: str, piece: Piece, **options: Any) -> float:
    return float(made(name, **options).measure(note_tables.of_pieces([piece]))[0])


def score(name: str, piece: Piece, **options: Any) -> float:
    one = made(name, **options)
    return float(one.score(one.measure(note_tables.of_pieces([piece])))[0])


def tune(*pitches: int, ticks: int = 12) -> Piece:
    return Piece(tuple(Note(index * ticks, pitch, ticks) for index, pitch in enumerate(pitches)))


# Laws of all.


def test_there_are_six() -> None:
    assert NAMES_OF_ALL == ["density", "ending", "key", "range", "repetition", "steps"]


@given(some=st.lists(pieces(lowest=40, highest=90), min_size=1, max_size=4), semitones=st.integers(-12, 12))
def test_scores_lie_between_0_and_1_and_a_row_is_measured_as_if_it_were_alone_in_any_key(
    some: list[Piece], semitones: int
) -> None:
    some = [replace(piece, ticks_per_beat=some[0].ticks_per_beat) for piece in some]
    table = note_tables.of_pieces(some)
    for name in NAMES_OF_ALL:
        one = made(name)
        found = one.measure(table)
        scores = one.score(found)
        assert (np.isnan(scores) == np.isnan(found)).all()
        assert np.isnan(scores[table.counts == 0]).all()
        assert ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all()
        np.testing.assert_array_equal(found, [measure(name, piece) for piece in some])
        if name != "ending":  # where pitch classes are equally common, the tonic is a matter of taste
            moved = note_tables.of_pieces([piece.transposed(semitones) for piece in some])
            np.testing.assert_array_equal(found, one.measure(moved))


@pytest.mark.parametrize("name", NAMES_OF_ALL)
def test_each_file_opens_with_formula_range_source_and_what_fools_it(name: str) -> None:
    cls = choices.load(objectives.__name__, name, "objective")
    text = __import__(cls.__module__, fromlist=[""]).__doc__
    for part in ("measure = ", "score   = ", "Source: ", "What fools it: ", "Example: "):
        assert part in text, f"{name} does not say '{part.strip()}'"


# Each docstring's example.


def test_key() -> None:
    assert measure("key", tune(60, 62, 64, 66, 67)) == 1.0
    chromatic = tune(60, 61, 62, 63, 64, 65)
    assert measure("key", chromatic) == pytest.approx(4 / 6)
    assert score("key", chromatic, target=1.0, half=0.1) == pytest.approx(0.099, abs=5e-4)
    assert measure("key", tune(57, 60, 64, 68)) == 1.0  # A harmonic minor
    assert measure("key", tune(60, 62, 64, 66, 67), key="C major") == 0.8
    with pytest.raises(ConfigError, match="'H' is not a key"):
        made("key", key="H")


def test_steps() -> None:
    piece = tune(60, 62, 64, 67, 64)
    assert measure("steps", piece) == 0.5
    assert score("steps", piece, target=0.65) == pytest.approx(0.5)
    with_bass = Piece(tuple(sorted([*piece.notes, *(Note(n.onset, 40, 3) for n in piece.notes)])))
    assert measure("steps", with_bass) == 0.5
    assert math.isnan(measure("steps", tune(60, 60, 60)))


def test_repetition() -> None:
    a, b, c = [60, 62, 64, 65], [67, 65, 64, 62], [60, 64, 67, 72]
    piece = tune(*a, *b, *a, *c)
    assert measure("repetition", piece) == 0.25
    assert score("repetition", piece, target=0.45) == pytest.approx(0.5)
    assert measure("repetition", tune(*a * 8)) == 7 / 8
    late = tune(*a, *a)
    moved = [Note(n.onset + (n.onset == 48), n.pitch, n.duration) for n in late.notes]
    assert measure("repetition", Piece(tuple(moved))) == 0.0


def test_range() -> None:
    assert measure("range", tune(60, 79, 67)) == 19
    assert score("range", tune(60, 79, 67), target=13) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="target must be 0 to 87"):
        made("range", target=88)


def test_density() -> None:
    piece = tune(*[60] * 24, ticks=8)  # 24 notes in 16 beats
    assert measure("density", piece) == 1.5
    assert score("density", piece, target=2) == pytest.approx(0.5)


def test_ending() -> None:
    assert measure("ending", tune(60, 62, 64, 65, 67, 64, 62, 60)) == 1.0
    assert measure("ending", tune(60, 62, 64, 65, 67, 64, 62)) == 0.0
    chord = Piece((*tune(60, 62, 64, 65, 67, 64, 62).notes, Note(84, 48, 12), Note(84, 55, 12)))
    assert measure("ending", chord) == 1.0
    for semitones in range(-6, 6):
        assert measure("ending", chord.transposed(semitones)) == 1.0
    cut = note_tables.of_pieces([tune(60, 62, 64, 60)], [False])
    assert math.isnan(made("ending").measure(cut)[0])


# The same by other code.


@given(piece=pieces())
def test_range_steps_and_repetition_agree_with_the_metrics(piece: Piece) -> None:
    piece = piece.tuned  # neither hears drums
    assume(piece.notes)
    assert measure("repetition", piece) == pytest.approx(returning_share(arrays(piece)))
    found = dict(zip(NAMES, features(piece), strict=True))
    assert measure("range", piece) == found["pitch_range"]
    moving = 1 - found["repeated_share"]
    if moving and len(set(arrays(piece).onset)) > 1:
        assert measure("steps", piece) == pytest.approx(found["step_share"] / moving)
    assert measure("key", piece) >= found["scale_consistency"] - 1e-12  # harmonic minor beside the diatonic scales


# Mixes.

HIGH, LOW = tune(60, 79, 67), tune(60, 62, 64)


def test_a_mix_is_weights_or_tables_and_says_all_that_it_is() -> None:
    mix = Mix.of({"key": 0.5, "range": {"weight": 1, "target": 13}, "steps": 0})
    assert mix.document() == {
        "key": {"weight": 0.5, "target": None, "half": 0.1, "key": ""},
        "range": {"weight": 1.0, "target": 13.0, "half": 6.0},
    }
    assert Mix.of(mix.document()).document() == mix.document()
    assert mix.without_target == ["key"]


def test_targets_are_the_median_of_the_examples() -> None:
    mix = Mix.of({"range": 1, "ending": 1}).aimed(note_tables.of_pieces([HIGH, LOW, tune(60, 65), Piece(())]))
    assert mix.document()["range"]["target"] == 5.0
    assert mix.without_target == []


def test_rewards_are_weight_times_score_and_silence_gets_none() -> None:
    mix = Mix.of({"range": {"weight": 2, "target": 19}, "density": {"weight": 1, "target": 1}})
    table = note_tables.of_pieces([HIGH, LOW, Piece(())])
    assert mix.rewards(table) == pytest.approx([3.0, 1 + 2 * 2 ** (-15 / 6), 0.0])
    assert mix.ranks(table) == pytest.approx([1.0, (1 + 2 * 2 ** (-15 / 6)) / 3, 0.0])


def test_a_row_without_an_ending_is_neither_pulled_nor_pushed() -> None:
    home, away = tune(60, 62, 64, 65, 67, 64, 62, 60), tune(60, 62, 64, 65, 67, 64, 62)
    mix = Mix.of({"ending": 1})
    assert mix.rewards(note_tables.of_pieces([home, away, home, home], [True, True, True, False])) == pytest.approx(
        [1, 0, 1, 2 / 3]
    )
    assert mix.rewards(note_tables.of_pieces([home, away], [False, False])).tolist() == [0.0, 0.0]


def test_score_of_one_piece() -> None:
    assert objectives.score(HIGH, {"range": {"weight": 1, "target": 13}}) == pytest.approx(0.5)
    assert objectives.score(HIGH, {"range": 1}, [LOW]) == pytest.approx(2 ** (-15 / 6))
    with pytest.raises(ConfigError, match=r"range\.target="):
        objectives.score(HIGH, {"range": 1})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kee": 1}, "no objective 'kee'. Did you mean 'key'?"),
        ({"key": {"weight": 1, "targt": 1}}, "has no option 'targt'. Did you mean 'target'?"),
        ({"key": {"target": 1.0}}, "has no weight"),
        ({"key": -1}, "must be 0 to 100, not -1"),
        ({"key": math.nan}, "must be 0 to 100"),
        ({"key": "much"}, "must be 0 to 100, not 'much'"),
        ({"key": True}, "must be 0 to 100, not True"),
        ({"key": {"weight": 1, "target": 2.0}}, "target must be 0 to 1, not 2"),
        ({"steps": {"weight": 1, "half": 0.0}}, "half must be above 0"),
        ({"ending": {"weight": 1, "target": 1.0}}, "has no option 'target'"),
    ],
)
def test_what_cannot_be_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Mix.of(document)
    assert message in str(caught.value)


def test_parse() -> None:
    assert objectives.parse("key=1, range=0.5,range.target=24,key.key=D dorian") == {
        "key": {"weight": 1.0, "key": "D dorian"},
        "range": {"weight": 0.5, "target": 24.0},
    }
    assert objectives.parse("liked=1", ["liked"]) == {"liked": {"weight": 1.0}}
    for text, message in [
        ("key", "'key' is not"),
        ("", "'' is not"),
        ("kee=1", "Did you mean 'key'?"),
        ("=1", "is not"),
    ]:
        with pytest.raises(ConfigError) as caught:
            objectives.parse(text)
        assert message in str(caught.value)
