"""Recorded steps do what the steps do: on a CPU by being them, on a GPU with the same random numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
import torch
from test_methods import OPTIONS, config, music
from torch import Tensor

from seqgan_music.config import ChoiceConfig, Config, GeneratorConfig
from seqgan_music.learning import discriminators, graphs, methods
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.graphs import Recorded

CPU = torch.device("cpu")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Pair(NamedTuple):
    """As `clock.Time`."""

    first: Tensor
    second: Tensor


@dataclass
class Tree:
    """As `generator.State`."""

    pair: Pair
    inner: tuple[Tensor, ...]
    nothing: None = None


def tree(*values: float) -> Tree:
    one, two, three = (torch.tensor([value]) for value in values)
    return Tree(Pair(one, two), (three,))


def test_on_a_cpu_a_step_is_called_each_time() -> None:
    calls = []
    step = Recorded(lambda *given: calls.append(given) or len(calls), CPU)
    assert [step(torch.ones(2), None, 3) for _ in range(4)] == [1, 2, 3, 4]
    assert all(given[1:] == (None, 3) for given in calls)


def test_shapes_types_numbers_and_what_is_missing_tell_recordings_apart() -> None:
    given = [
        (torch.zeros(2),),
        (torch.zeros(3),),
        (torch.zeros(2, dtype=torch.long),),
        (torch.zeros(2), None),
        (torch.zeros(2), 1),
        (torch.zeros(2), 2),
        (tree(1, 2, 3),),
    ]
    assert len({graphs._shape(each) for each in given}) == len(given)
    assert graphs._shape((tree(1, 2, 3),)) == graphs._shape((tree(4, 5, 6),))
    with pytest.raises(TypeError, match="list"):
        graphs._shape(([1],))


def test_what_is_given_is_copied_in_and_what_is_made_is_copied_out() -> None:
    kept = graphs._mapped((tree(1, 2, 3), None, 7), torch.clone)
    assert isinstance(kept[0].pair, Pair)
    assert kept[1:] == (None, 7)
    graphs._copy((tree(4, 5, 6), None, 7), kept)
    assert [float(tensor) for tensor in graphs._tensors(kept)] == [4, 5, 6]


def learnt(wanted: Config, name: str, record: bool, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return the weights after two phases' worth of rounds on the GPU, and where its random numbers stand."""
    monkeypatch.setattr(graphs, "RECORD", record)
    device, tokens = torch.device("cuda"), music().train
    generator = Generator(tokens.vocabulary_size, tokens.start_id, wanted.generator, tokens.effects)
    discriminator = discriminators.create(
        wanted.discriminator, tokens.vocabulary_size, wanted.sequence_length, tokens
    )
    for model in (generator, discriminator):
        model.initialise(torch.Generator().manual_seed(1))
    setting = methods.Setting(
        generator.to(device),
        discriminator.to(device),
        Sequences(tokens, device),
        wanted.sequence_length,
        torch.Generator().manual_seed(2),
        torch.Generator(device).manual_seed(3),
    )
    method = methods.create(wanted.phases[0], setting)
    for _ in range(method.rounds):
        method.advance()
    return [*generator.parameters(), *discriminator.parameters(), setting.model_rng.get_state()]


@GPU
@pytest.mark.parametrize("name", ["mle", "seqgan"])
def test_recorded_training_is_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"mle": {"updates": 60, "round_updates": 20}, "seqgan": {"iterations": 4}}
    wanted = replace(
        config(ChoiceConfig(name, {**OPTIONS[name], **more[name]})),
        generator=GeneratorConfig(embedding=4, hidden=6, dropout=0.2, heads=2, head_size=2, summary=True),
    )
    plain, recorded = (learnt(wanted, name, record, monkeypatch) for record in (False, True))
    assert torch.equal(plain.pop(), recorded.pop())
    for one, other in zip(plain, recorded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
