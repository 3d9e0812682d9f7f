"""Bars damaged on purpose: each kind changes its bar alone, and who learns from them finds others in new music."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_music import BAR
from made_up_music import tune as made_up
from strategies import pieces

from seqgan_music.config import CriticConfig
from seqgan_music.critic import damage, training
from seqgan_music.critic.damage import Cut
from seqgan_music.critic.network import Misfits, _both_ways, batch, misfits
from seqgan_music.critic.sheet import BARS, sheet
from seqgan_music.music.notes import Meter, Note, Piece

CUTS = damage.fit_to_learn([made_up(number).transposed(number % 5) for number in range(20)])


@given(pieces())
def test_a_cut_reads_as_its_piece(piece: Piece) -> None:
    if not piece.tuned.notes:
        return
    mine, theirs = Cut.of(piece).sheet(), sheet(piece, ended=False)
    for name in ("notes", "bar", "first", "chroma", "length", "alike"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name))


@pytest.mark.parametrize("name", damage.KINDS)
def test_a_damaged_bar_is_another_and_all_others_stay(name: str) -> None:
    rng, done = np.random.default_rng(1), 0
    for number in range(60):
        window = CUTS[number % len(CUTS)].window(2, 14)
        bar = int(rng.integers(window.bars))
        new = damage.KINDS[name](window, bar, rng, CUTS)
        if new is None or damage.same(new, window.inside(bar)):
            continue
        done += 1
        broken = window.put(bar, new)
        assert damage.same(broken.inside(bar), new)
        for other in range(window.bars):
            if other != bar:
                assert damage.same(broken.inside(other), window.inside(other))
        _, length = window.span(bar)
        assert ((new[:, 0] >= 0) & (new[:, 0] < length)).all()
        if name in ("transposed", "shuffled"):
            assert np.array_equal(new[:, [0, 2]], window.inside(bar)[:, [0, 2]])
        if name == "shuffled":
            assert sorted(new[:, 1]) == sorted(window.inside(bar)[:, 1])
        if name == "rhythm":
            assert np.array_equal(new[:, 1], window.inside(bar)[:, 1])
    assert done > 10


@given(st.integers(0, 2**32))
def test_marks_stand_where_a_window_was_changed(seed: int) -> None:
    sheets, marks = damage.deal(CUTS, 12, np.random.default_rng(seed))
    assert len(sheets) == len(marks) == 12
    for of, mark in zip(sheets, marks, strict=True):
        assert damage.LEAST_BARS <= of.bars == len(mark) <= BARS
        assert mark.sum() <= damage.MOST_DAMAGED


def test_windows_are_dealt_of_music_with_hardly_a_note_a_bar_and_silence_is_left_out() -> None:
    long_rest = Piece((*[Note(12 * beat, 60, 12) for beat in range(60)], Note(BAR * 59, 62, 12)), 12)
    silent_at_first = Piece((Note(BAR * 10_000, 60, 12), Note(BAR * 10_001, 60, 12)), 12)
    cuts = damage.fit_to_learn([long_rest, silent_at_first])
    assert [cut.bars for cut in cuts] == [60]
    sheets, _ = damage.deal(cuts, 50, np.random.default_rng(1))
    assert all(len(of.notes) for of in sheets)
    assert damage.fit_to_learn([silent_at_first]) == []


def test_dealing_is_a_function_of_its_seed_and_leaves_some_whole() -> None:
    first, again, other = (damage.deal(CUTS, 200, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a.notes, b.notes) for a, b in zip(first[0], again[0], strict=True))
    assert not all(np.array_equal(a.notes, b.notes) for a, b in zip(first[0], other[0], strict=True))
    whole = np.mean([mark.sum() == 0 for mark in first[1]])
    assert 0.15 < whole < 0.45


def network(seed: int = 1) -> Misfits:
    made = Misfits(4, 8, 8, 0.3)
    made.initialise(torch.Generator().manual_seed(seed))
    return made.requires_grad_(False)


def test_bars_are_judged_by_their_window_alone_and_in_every_key_alike() -> None:
    cut = CUTS[0]
    window, higher = cut.window(3, 12).sheet(), cut.window(3, 12)
    moved = replace(higher, notes=higher.notes + np.array([0, 3, 0])).sheet()
    longer = CUTS[1].window(0, 16).sheet()
    (alone,) = misfits(network(), [(window, 0, 9)])
    among = misfits(network(), [(longer, 0, 16), (window, 0, 9), (moved, 0, 9)])
    assert len(alone) == 9
    assert among[1] == pytest.approx(alone, abs=1e-5)
    assert among[2] == pytest.approx(alone, abs=1e-5)
    assert network()(batch([(window, 0, 9)]))[0, 9:].abs().sum() == 0.0


def test_each_bar_is_told_how_like_those_after_it_are() -> None:
    """Of A B A the first A is as like the last as that is like the first."""
    bars = [[60, 62, 64, 65], [67, 65, 64, 62], [60, 62, 64, 65]]
    notes = [
        Note(BAR * bar + 12 * beat, pitch, 12) for bar, some in enumerate(bars) for beat, pitch in enumerate(some)
    ]
    laid = batch([(sheet(Piece(tuple(notes), 12, (Meter(0, 4, 4),))), 0, 3)])
    told = _both_ways(laid)[0]
    later = told[:, : 15 * 3].view(BARS, 15, 3)
    assert later[0, 1].tolist() == [1.0, 1.0, 1.0]
    assert later[1, 0].tolist() == pytest.approx(laid.facts[0, 2, :3].tolist())
    assert later[2].abs().sum() == 0.0
    assert told[0, 45 : 45 + 15].tolist() == [1.0, 1.0, *[0.0] * 13]


def taught(config: CriticConfig, new: list[Cut]) -> dict[str, Any]:
    made = Misfits(config.embedding, config.channels, config.hidden, config.dropout)
    made.initialise(torch.Generator().manual_seed(1))
    told: dict[str, Any] = training.fit_bars(made, CUTS, new, config, 1, lambda text: None)["bars"]
    return told


SMALL = CriticConfig(embedding=8, channels=16, hidden=16, dropout=0.1, epochs=2, learning_rate=1e-2, batch=16)


def test_it_learns_to_find_the_bar_that_was_changed_in_music_it_has_not_seen() -> None:
    new = damage.fit_to_learn([made_up(1000 + number) for number in range(60)])
    found = taught(replace(SMALL, bar_windows=400), new)["found"]
    assert found.keys() == damage.KINDS.keys()
    # Of 60 pieces, by chance 1 in 16: at least 15 once in a hundred thousand.
    assert found["other"] > 0.25
    assert found["rhythm"] > 0.25


def test_learning_to_find_is_a_function_of_its_seed() -> None:
    config = replace(SMALL, bar_windows=48, epochs=1)
    assert taught(config, CUTS[:8]) == taught(config, CUTS[:8])


def test_trials_damage_one_bar_of_each_opening() -> None:
    sheets, places = damage.trials(CUTS, damage.transposed, np.random.default_rng(1))
    assert len(sheets) == len(places) == len(CUTS)
    assert all(2 <= place < 16 for place in places)
    whole = [cut.window(0, 16).sheet() for cut in CUTS]
    for of, before, place in zip(sheets, whole, places, strict=True):
        differs = [bar for bar in range(16) if not np.array_equal(of.chroma[bar], before.chroma[bar])]
        assert differs == [place]
