"""Bars of tokens and windows of bars on a grid, against the slow and obvious way; truncated back-propagation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_music import tune
from test_clock import NOTE_EVENT, onsets_by_the_decoder, rows, timed
from torch import Tensor

from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning import discriminators, truncation
from seqgan_music.learning.bars import BEYOND, Bars, Scale, Windows
from seqgan_music.learning.discriminators.bar_windows import BarWindows
from seqgan_music.music import tokenizers
from seqgan_music.tokenset import Effect

# Id 0 opens a bar, id 3 ends the sequence, 1 and 2 do nothing.
EFFECTS = np.array([[Effect.NEXT, 0, 0, 0], [0, 0, 0, 0]])
SIZE, END = 4, 3

some_ids = st.integers(1, 4).flatmap(
    lambda rows: st.integers(1, 30).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(0, SIZE - 1), min_size=length, max_size=length), min_size=rows, max_size=rows
        ).map(torch.tensor)
    )
)
some_scale = st.sampled_from([Scale(1, 1), Scale(2, 1), Scale(4, 2), Scale(6, 2), Scale(4, 4)])


def slow_bars(ids: Tensor) -> list[list[int]]:
    """The bar of every id up to the end id, with it."""
    found = []
    for row in ids.tolist():
        bar, bars = -1, []
        for token in row:
            bar += token == 0
            bars.append(max(bar, 0))
            if token == END:
                break
        found.append(bars)
    return found


def slow_windows(ids: Tensor, scale: Scale, longest: int) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """By row and first bar: the (id, bar in the window) of each token."""
    found = {}
    for row, bars in enumerate(slow_bars(ids)):
        for first in range(scale.hop - scale.bars, bars[-1] + 1, scale.hop):
            held = [
                (int(ids[row, i]), bar - first) for i, bar in enumerate(bars) if first <= bar < first + scale.bars
            ]
            if held:
                found[row, first] = held[-longest:]
    return found


def told(windows: Windows, scale: Scale) -> dict[tuple[int, int], list[tuple[int, int]]]:
    found = {}
    for ids, bars, row, first in zip(windows.ids, windows.bar, windows.row, windows.first, strict=True):
        assert torch.equal(ids == SIZE, bars == scale.bars)
        inside = bars < scale.bars
        found[int(row), int(first)] = list(zip(ids[inside].tolist(), bars[inside].tolist(), strict=True))
    assert len(found) == len(windows)
    return found


@given(some_ids, some_scale, st.sampled_from([2, 100]))
def test_windows_are_those_of_the_slow_way(ids: Tensor, scale: Scale, longest: int) -> None:
    bars = Bars(SIZE, EFFECTS, END)
    of = bars.of(ids)
    slow = slow_bars(ids)
    assert [[bar for bar in row if bar < BEYOND] for row in of.tolist()] == slow
    assert told(bars.windows(ids, of, scale, longest), scale) == slow_windows(ids, scale, longest)


@given(some_ids, some_scale)
def test_every_bar_lies_in_as_many_windows_as_overlap(ids: Tensor, scale: Scale) -> None:
    bars = Bars(SIZE, EFFECTS, END)
    of = bars.of(ids)
    every = told(bars.windows(ids, of, scale, 100), scale)
    for row, known in enumerate(slow_bars(ids)):
        for bar in set(known):
            holding = {key: held for key, held in every.items() if key[0] == row and 0 <= bar - key[1] < scale.bars}
            single = bars.around(ids[row : row + 1], of[row : row + 1], torch.tensor([bar]), scale, 100)
            assert [(key[1], held) for key, held in holding.items()] == [
                (key[1], held) for key, held in sorted(told(single, scale).items())
            ]
            assert len(holding) == scale.overlap


def test_without_time_every_token_is_a_bar() -> None:
    ids = torch.tensor([[1, 0, 2, 3, 3], [2, 2, 2, 2, 2]])
    assert Bars(SIZE).of(ids).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert Bars(SIZE, None, END).of(ids).tolist() == [[0, 1, 2, 3, BEYOND], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_the_bar_of_a_note_is_the_decoders(seed: int) -> None:
    (ids,) = NOTE_EVENT.encode(tune(seed))
    of = Bars(len(NOTE_EVENT.vocabulary), NOTE_EVENT.effects(), NOTE_EVENT.end_id).of(torch.tensor([ids]))[0]
    pitches = [i for i, token in enumerate(ids) if NOTE_EVENT.vocabulary[token].startswith("PITCH")]
    assert of[pitches].tolist() == [bar for bar, _, _ in onsets_by_the_decoder(NOTE_EVENT, ids)]
    assert of.tolist() == sorted(of.tolist())


def test_what_says_that_a_bar_comes_again_stands_in_that_bar() -> None:
    names = ["METER(3/4)", "BAR", "PITCH(67)", "END(36)", "RETURN(1)", "PITCH(67)", "END(36)"]
    names += ["BAR", "RETURN(1)", "PITCH(67)", "END(36)", "RETURN(2)", "AT(12)", "RETURN(1)"]
    told = tokenizers.create("note_event", {"returns": 4}, 12)
    ids = torch.tensor([[told.vocabulary.index(name) for name in names]])
    # The last AT takes back what the RETURN before it had begun: bars do not fall.
    expected = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    assert Bars(len(told.vocabulary), told.effects()).of(ids).tolist() == [expected]


def made(**options: object) -> BarWindows:
    choice = ChoiceConfig("bar_windows", {"embedding": 8, "channels": 12, "hidden": 12, **options})
    made = discriminators.create(choice, SIZE, 20)
    assert isinstance(made, BarWindows)
    made.initialise(torch.Generator().manual_seed(1))
    return made


@settings(max_examples=20, deadline=None)
@given(some_ids)
def test_a_sequences_logit_is_the_mean_over_scales_of_the_mean_over_its_windows(ids: Tensor) -> None:
    made_one = made(scales=[2, 6], weights=[0.3, 0.7])
    made_one.bars = Bars(SIZE, EFFECTS, END)
    with torch.no_grad():
        for row, found in zip(ids, made_one(ids), strict=True):
            total = 0.0
            for number, weight in enumerate((0.3, 0.7)):
                windows = made_one.windows(row[None], number)
                one_by_one = [
                    made_one.networks[number](windows.select(torch.tensor([i]))) for i in range(len(windows))
                ]
                total += weight * float(torch.cat(one_by_one).mean())
            assert float(found) == pytest.approx(total, abs=1e-5)
        torch.testing.assert_close(made_one.scorer()(ids), made_one(ids))


def test_a_window_is_judged_alike_wherever_padding_stands_beside_it() -> None:
    network = made(scales=[4]).networks[0]
    ids, bar = torch.tensor([[0, 1, 0, 2]]), torch.tensor([[0, 0, 1, 1]])
    more = Windows(
        torch.cat([ids, torch.full((1, 3), SIZE)], 1), torch.cat([bar, torch.full((1, 3), 4)], 1), bar[0], bar[0]
    )
    with torch.no_grad():
        plain = network(Windows(ids, bar, bar[0], bar[0]))
        torch.testing.assert_close(network(more), plain)
        changed = network(Windows(torch.tensor([[0, 2, 0, 1]]), bar, bar[0], bar[0]))
    assert not torch.allclose(changed, plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": []}, "ascending"),
        ({"scales": [8, 4]}, "ascending"),
        ({"scales": [4, 2000]}, "at most 1024"),
        ({"scales": [5]}, "overlap must divide"),
        ({"weights": [1.0]}, "as many as scales"),
        ({"weights": [0.5, 0.5, 0.5]}, "sum to 1"),
        ({"tokens_a_bar": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**options)


@pytest.mark.parametrize("window", [7, 24, 1000])
def test_truncated_log_probs_are_exact(window: int) -> None:
    generator, ids = timed(), rows()
    with torch.no_grad():
        torch.testing.assert_close(truncation.log_probs(generator, ids, window), generator.log_probs(ids))


def gradients(generator: torch.nn.Module) -> list[Tensor]:
    return [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in generator.parameters()]


def test_a_gradient_that_is_not_cut_is_the_whole_one() -> None:
    generator, ids = timed(), rows()
    weights = torch.randn(ids.shape, generator=torch.Generator().manual_seed(3))
    weights[:, 50:] = 0.0
    loss = -(generator.log_probs(ids) * weights).sum()
    loss.backward()
    expected = gradients(generator)
    generator.zero_grad()
    assert truncation.backward(generator, ids, weights, 60) == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(gradients(generator), expected, atol=1e-5, rtol=1e-4)


def test_a_cut_gradient_is_the_sum_of_its_windows_with_the_state_carried() -> None:
    generator, ids = timed(), rows()
    weights = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3))
    truncation.backward(generator, ids, weights, 25)
    found = gradients(generator)
    generator.zero_grad()
    inputs, state = generator.inputs_for(ids), None
    for start in (0, 25, 50):
        span = slice(start, start + 25)
        logits, state = generator(inputs[:, span], state)
        picked = logits.log_softmax(2).gather(2, ids[:, span, None])[..., 0]
        (-(picked * weights[:, span]).sum()).backward()
        state = state.detached()
    torch.testing.assert_close(found, gradients(generator), atol=1e-5, rtol=1e-4)
