"""Truncated rollouts and rewards at bar lines against an enumeration of all sequences, and the method's parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from enumeration import every, number
from test_bars import EFFECTS, END, SIZE
from test_sampling import counting
from torch import Tensor

from seqgan_music.config import ChoiceConfig, Config, GeneratorConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning import discriminators, methods
from seqgan_music.learning.bars import BEYOND, Bars, Scale
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.discriminators.bar_windows import BarWindows
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods.windowed import Windowed, block_baseline, within_reach
from seqgan_music.learning.window_rollout import Starts, block_ends, block_values, complete
from seqgan_music.tokenset import TokenSet
from seqgan_music.training import check

LENGTH = 7
SCALES, BLOCK = [2, 4], 1


def tokens(rows: list[list[int]], effects: bool = True) -> TokenSet:
    return TokenSet.from_rows(
        rows, vocabulary_size=SIZE, start_id=SIZE, end_id=END, effects=EFFECTS.astype(np.int32) if effects else None
    )


def judges(scales: list[int] = SCALES, *, effects: bool = True, overlap: int = 2) -> BarWindows:
    options = {"scales": scales, "overlap": overlap, "embedding": 8, "channels": 12, "hidden": 12}
    made = discriminators.create(ChoiceConfig("bar_windows", options), SIZE, LENGTH, tokens([[0, 3]], effects))
    assert isinstance(made, BarWindows)
    made.initialise(torch.Generator().manual_seed(3))
    with torch.no_grad():
        for network in made.networks:
            network.get_submodule("output").get_parameter("weight").mul_(5.0)
    return made


def generator(heads: int = 2) -> Generator:
    config = GeneratorConfig(6, 8, dropout=0.0, heads=heads, head_size=4, memory=5, clock=True, summary=True)
    made = Generator(SIZE, SIZE, config, EFFECTS)
    made.initialise(torch.Generator().manual_seed(4))
    with torch.no_grad():
        made.output.weight.mul_(3.0)
    return made


def law(of: Generator, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """All sequences that G writes, END repeated after the first, and their probabilities, which sum to 1."""
    ids = every(SIZE, length)
    ended = (ids == END).cumsum(1) - (ids == END).long() > 0
    ids = ids[~(ended & (ids != END)).any(1)]
    ended = (ids == END).cumsum(1) - (ids == END).long() > 0
    with torch.no_grad():
        probabilities = (of.log_probs(ids) * ~ended).double().sum(1).exp()
    assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-5)
    return ids, probabilities


def claim(made: BarWindows, ids: Tensor, bar: int) -> Tensor:
    """W (N,) of a bar, worked out window by window; the bar has a token in every sequence."""
    bars = made.bars.of(ids)
    total = torch.zeros(len(ids))
    for index, (scale, weight) in enumerate(zip(made.scales, made.weights, strict=True)):
        windows = made.windows(ids, index, bars)
        holds = (windows.first <= bar) & (bar < windows.first + scale.bars)
        with torch.no_grad():
            logits = made.networks[index](windows.select(holds))
        total.index_add_(0, windows.row[holds], logits * weight / scale.overlap)
    return total


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("effects", [True, False])
def test_rollouts_have_the_expectation_over_all_whole_sequences(truncated: bool, effects: bool) -> None:
    of, made = generator(), judges(effects=effects)
    whole, probabilities = law(of)
    ids = torch.tensor([[0, 1, 0, 2, 1, 0, 0], [1, 2, 2, 0, 1, 0, 3], [0, 2, 0, 3, 3, 3, 3], [3] * 7])
    rng = torch.Generator().manual_seed(5)
    values = block_values(
        Stepper(of, torch.float32), made, ids, 1000, rng, block=BLOCK, reward=torch.positive, truncated=truncated
    )
    bars = made.bars.of(ids)
    for row in range(len(ids)):
        for step in range(LENGTH):
            bar = int(bars[row, step])
            if bar == BEYOND:
                assert values[row, step] == 0.0
                continue
            end = int((bars[row] == bar).nonzero()[-1]) + 1  # tokens up to the end of its bar
            if end == LENGTH or bars[row, end] == BEYOND:
                expected, error = float(claim(made, ids[row : row + 1], bar)[0]), 1e-6
            else:
                alike = (whole[:, :end] == ids[row, :end]).all(1)
                weights = probabilities[alike] / probabilities[alike].sum()
                claims = claim(made, whole[alike], bar).double()
                expected = float((weights * claims).sum())
                error = float(((weights * (claims - expected) ** 2).sum() / 1000) ** 0.5)
            assert abs(float(values[row, step]) - expected) < 5 * error + 1e-5


def test_the_value_at_a_blocks_end_is_unbiased_for_every_token_of_the_block() -> None:
    # E[W of the block's end | y_1..t] = E[W of the token's own bar | y_1..t], by enumeration.
    of, made = generator(), judges([4], overlap=2)
    whole, probabilities = law(of)
    bars = made.bars.of(whole)
    for start, bar in ([[0, 1], 0], [[0, 0], 1], [[0, 0, 2, 0], 2], [[1], 0]):
        alike = (whole[:, : len(start)] == torch.tensor(start)).all(1)
        weights = probabilities[alike] / probabilities[alike].sum()
        own = claim(made, whole[alike], bar).double()
        at_end = own.clone()
        last = bar // 2 * 2 + 1  # of its block of two bars
        reached = (bars[alike] == last).any(1)
        at_end[reached] = claim(made, whole[alike][reached], last).double()
        assert float((weights * own).sum()) == pytest.approx(float((weights * at_end).sum()), abs=1e-6)
        assert torch.allclose(own, at_end, atol=1e-5)


def test_truncated_rollouts_are_the_beginnings_of_whole_ones_and_reach_as_far_as_they_must() -> None:
    # The counting generator says after each id the next one, so that all completions are alike.
    ids = torch.tensor([[3, 7, 1, 0, 5, 5, 2, 9, 11, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])
    bars, scales = Bars(12), [Scale(2, 1), Scale(4, 2)]
    starts = block_ends(bars.of(ids), 1)
    assert sorted(zip(starts.row.tolist(), starts.length.tolist(), starts.bar.tolist(), strict=True)) == [
        (row, length, length - 1) for row in range(2) for length in range(1, 10)
    ]
    short, whole = (
        complete(Stepper(counting()), bars, ids, starts, 2, scales, torch.Generator(), truncated=truncated)
        for truncated in (True, False)
    )
    for index in range(len(starts) * 2):
        start = index // 2
        row, length, bar = int(starts.row[start]), int(starts.length[start]), int(starts.bar[start])
        first, last = max(0, bar // 2 * 2 - 2), min(9, bar // 2 * 2 + 3)
        held = (short.bars[index] >= 0) & (short.bars[index] < BEYOND)
        assert short.bars[index][held].tolist() == list(range(first, last + 1))
        expected = ids[row].tolist()[:length]
        while len(expected) < 10:
            expected.append((expected[-1] + 1) % 12)
        assert short.ids[index][held].tolist() == expected[first : last + 1]
        longer = (whole.bars[index] >= 0) & (whole.bars[index] < BEYOND)
        assert whole.ids[index][longer].tolist() == expected[first:]


def test_rows_that_join_and_leave_at_any_time_draw_what_the_law_says() -> None:
    # From one prefix, truncated at the bar's last window: frequencies of every completion against its probability.
    of, bars = generator(), Bars(SIZE, EFFECTS, END)
    scale = Scale(1, 1)
    ids = torch.tensor([[0, 1, 2, 2, 0], [0, 0, 1, 0, 0], [1, 0, 0, 2, 1]])
    starts = Starts(torch.tensor([1, 0, 2]), torch.tensor([1, 2, 3]), torch.tensor([0, 0, 1]))
    done = complete(Stepper(of, torch.float32), bars, ids, starts, 4000, [scale], torch.Generator().manual_seed(1))
    for index, (row, length, bar) in enumerate(
        zip(*(part.tolist() for part in vars(starts).values()), strict=True)
    ):
        some = slice(4000 * index, 4000 * (index + 1))
        whole, probabilities = law(of, 5)
        alike = (whole[:, :length] == ids[row, :length]).all(1)
        weights = (probabilities[alike] / probabilities[alike].sum()).float()
        # What a rollout is judged by: the ids of its own bar, the rest is cut off.
        kept = bars.of(whole[alike]) == bar
        keys = number(torch.where(kept, whole[alike], SIZE), SIZE + 1)
        held = done.bars[some] == bar
        ids_of = torch.where(held, done.ids[some], SIZE)
        width = int(held.sum(1).max())
        starts_at = held.float().argmax(1)
        place = (starts_at[:, None] + torch.arange(5)).clamp(max=ids_of.shape[1] - 1)
        mine = torch.where(torch.arange(5) < held.sum(1)[:, None], ids_of.gather(1, place), SIZE)
        first = int(kept[0].float().argmax())
        mine = torch.cat([torch.full((4000, first), SIZE), mine], 1)[:, :5]
        assert width <= 5
        found = number(mine, SIZE + 1)
        for key in keys.unique():
            probability = float(weights[keys == key].sum())
            frequency = float((found == key).float().mean())
            assert abs(frequency - probability) < 5 * (probability * (1 - probability) / 4000) ** 0.5 + 1e-6
        assert torch.isin(found, keys).all()


def test_without_rollouts_the_sequence_itself_is_the_sample() -> None:
    of, made = generator(), judges()
    ids = torch.tensor([[0, 1, 0, 2, 1, 0, 0], [0, 2, 0, 3, 3, 3, 3]])
    values = block_values(Stepper(of), made, ids, 0, torch.Generator(), block=BLOCK, reward=torch.positive)
    bars = made.bars.of(ids)
    for row in range(2):
        for bar in sorted({b for b in bars[row].tolist() if b < BEYOND}):
            mine = values[row][bars[row] == bar]
            torch.testing.assert_close(mine, claim(made, ids[row : row + 1], bar).expand_as(mine))


def test_drift_counts_to_the_end_of_the_last_window() -> None:
    bars = torch.tensor([[0, 0, 1, 2, 2, 3, 5, BEYOND], [0, 1, 2, 3, 4, 5, 6, 7]])
    drift = torch.arange(1.0, 9.0).repeat(2, 1)
    drift[0, 7] = 0.0
    # Scale(2, 1): bar b is judged up to bar b + 1; with Scale(4, 4) up to the end of its four.
    found = within_reach(drift, bars, [Scale(2, 1)])
    assert found[0, :7].tolist() == [6, 5, 12, 15, 11, 6, 7]
    assert within_reach(drift, bars, [Scale(2, 1), Scale(4, 4)])[1].tolist() == [10, 9, 7, 9, 26, 21, 15, 8]


def test_the_baseline_of_a_block_is_the_mean_of_the_other_sequences_there() -> None:
    bars = torch.tensor([[0, 0, 1, 2, 3], [0, 1, 2, 2, BEYOND], [0, 0, 0, BEYOND, BEYOND]])
    values = torch.tensor([[1.0, 3.0, 5.0, 7.0, 9.0], [2.0, 4.0, 6.0, 8.0, 99.0], [3.0, 6.0, 9.0, 99.0, 99.0]])
    # Blocks of two bars: means 3, 8; 3, 7; 6.
    assert block_baseline(values, bars, 2).tolist() == [
        [4.5, 4.5, 4.5, 7.0, 7.0],
        [4.5, 4.5, 8.0, 8.0, 0.0],
        [3.0, 3.0, 3.0, 0.0, 0.0],
    ]


def setting() -> methods.Setting:
    rng = torch.Generator().manual_seed(0)
    rows = [
        [*torch.randint(3, (int(n),), generator=rng).tolist(), END]
        for n in torch.randint(2, 9, (30,), generator=rng)
    ]
    made = judges()
    return methods.Setting(
        generator(),
        made,
        Sequences(tokens(rows), torch.device("cpu")),
        LENGTH,
        rng,
        torch.Generator().manual_seed(1),
    )


SMALL = {
    "iterations": 3,
    "batch": 5,
    "g_steps": 1,
    "block": 1,
    "d_samples": 6,
    "d_batch": 8,
    "pretrain": 1,
    "gate": False,
}


def test_lengths_grow_in_equal_shares_of_the_iterations() -> None:
    method = methods.create(ChoiceConfig("windowed", {**SMALL, "lengths": [2, 4, 7]}), setting())
    assert isinstance(method, Windowed)
    found = []
    for _ in range(method.rounds):
        found.append(method.length)
        method.advance()
    assert found == [2, 2, 4, 7]


def test_a_step_without_rollouts_moves_the_generator_and_asks_for_no_completion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed = setting()
    before = [parameter.clone() for parameter in placed.generator.parameters()]
    method = methods.create(ChoiceConfig("windowed", {**SMALL, "pretrain": 0, "rollouts": 0}), placed)
    monkeypatch.setattr("seqgan_music.learning.window_rollout.complete", None)
    measures = method.advance()
    assert all(np.isfinite(value) for value in measures.values())
    assert not all(map(torch.equal, before, placed.generator.parameters()))


def test_discriminators_learn_windows_that_are_easy_to_tell() -> None:
    placed = setting()
    with torch.no_grad():
        placed.generator.output.weight.zero_()
        placed.generator.output.bias.copy_(torch.tensor([-9.0, 9.0, -9.0, -9.0]))  # writes 1 for ever
    options = {**SMALL, "pretrain": 8, "d_samples": 24, "d_batch": 16, "d_learning_rate": 2e-2}
    method = methods.create(ChoiceConfig("windowed", options), placed)
    losses = [method.advance()["d_loss"] for _ in range(8)]
    assert losses[-1] < 0.3 < losses[0]
    with torch.no_grad():
        assert float(placed.discriminator(torch.full((1, LENGTH), 1))) < 0
        assert float(placed.discriminator(torch.tensor([[0, 1, 2, 0, 2, 2, 0]]))) > 0


def test_what_does_not_fit_together_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"Method 'windowed' needs discriminator 'bar_windows', not 'cnn'"):
        check(Config(phases=(ChoiceConfig("windowed"),)))
    with pytest.raises(ConfigError, match=r"block 2 does not divide 2 bars / overlap 2 = 1"):
        methods.create(ChoiceConfig("windowed", {**SMALL, "block": 2}), setting())
    with pytest.raises(ConfigError, match=r"lengths end with 8, more than sequence_length 7"):
        methods.create(ChoiceConfig("windowed", {**SMALL, "lengths": [8]}), setting())
    with pytest.raises(ConfigError, match="rollouts must be at least 0"):
        methods.check(ChoiceConfig("windowed", {"rollouts": -1}))
    with pytest.raises(ConfigError, match="rollouts must be at least 1"):
        methods.check(ChoiceConfig("seqgan", {"rollouts": 0}))
    with pytest.raises(ConfigError, match="ascending"):
        methods.check(ChoiceConfig("windowed", {"lengths": [4, 4]}))
