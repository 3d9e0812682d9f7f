"""Attention sees the past, all of it that it should, and nothing else; it is the formula of its file."""

from __future__ import annotations

import math

import pytest
import torch
from test_sampling import make
from torch import Tensor

from seqgan_music.learning import attention
from seqgan_music.learning.attention import Attention
from seqgan_music.learning.clock import Time


def ids_of(batch: int, length: int, size: int = 70) -> Tensor:
    return torch.randint(size, (batch, length), generator=torch.Generator().manual_seed(1))


def obvious(module: Attention, hidden: Tensor, embedded: Tensor) -> Tensor:
    """The formula, one step, head and place at a time."""
    heads, size = module.heads, module.size
    queries, keys = module.query(hidden).unflatten(2, (heads, size)), module.key(hidden).unflatten(2, (heads, size))
    values = module.value(embedded).unflatten(2, (heads, size))
    contexts = torch.zeros(*hidden.shape[:2], heads, size)
    for b in range(len(hidden)):
        for t in range(hidden.shape[1]):
            for head in range(heads):
                places = range(max(0, t - module.memory), t)
                asked = queries[b, t, head]
                known = [module.null[head, 0], *(keys[b, j, head] for j in places)]
                scores = torch.stack([asked @ key for key in known]) / math.sqrt(size)
                classes = [round(3 * math.log2(t - j)) for j in places]
                scores[1:] += module.lag_bias[head, classes]
                weights = scores.softmax(0)
                for weight, j in zip(weights[1:], places, strict=True):
                    contexts[b, t, head] += weight * values[b, j + 1, head]
    return contexts.flatten(2)


@pytest.mark.parametrize("memory", [1, 3, 100])
@pytest.mark.parametrize("block", [2, 5, 128])
def test_contexts_are_those_of_the_formula(memory: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    rng = torch.Generator().manual_seed(0)
    module = Attention(hidden=6, embedding=4, heads=2, size=3, memory=memory)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=rng)
    hidden, embedded = torch.randn(2, 9, 6, generator=rng), torch.randn(2, 9, 4, generator=rng)
    contexts, _ = module(hidden, embedded, None)
    torch.testing.assert_close(contexts, obvious(module, hidden, embedded))


@pytest.mark.parametrize("together", [1, 40, 1 << 20])
def test_a_block_of_rows_sees_what_all_rows_do(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_TOGETHER", together)
    rng = torch.Generator().manual_seed(0)
    module = Attention(hidden=6, embedding=4, heads=2, size=3, memory=4, clock=True, returns=True)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=rng)
    hidden, embedded = torch.randn(5, 9, 6, generator=rng), torch.randn(5, 9, 4, generator=rng)
    time = Time(*(torch.randint(3, (5, 9), generator=rng) for _ in Time._fields))
    windows = [(hidden[:, :5], embedded[:, :5], time.span(0, 5)), (hidden[:, 5:], embedded[:, 5:], time.span(5, 9))]

    def contexts() -> Tensor:
        first, past = module(*windows[0][:2], None, windows[0][2])
        return torch.cat([first, module(*windows[1][:2], past, windows[1][2])[0]], 1)

    with_gradients = contexts()
    with torch.no_grad():
        torch.testing.assert_close(contexts(), with_gradients)


@pytest.mark.parametrize("memory", [3, 512])
def test_windows_with_the_state_carried_give_the_logits_of_the_whole(memory: int) -> None:
    generator = make(heads=2, memory=memory)
    ids = ids_of(3, 20)
    whole, _ = generator(ids)
    state, parts = None, []
    for start, end in ((0, 1), (1, 8), (8, 9), (9, 20)):
        part, state = generator(ids[:, start:end], state)
        parts.append(part)
        state = state.detached()
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_what_comes_later_changes_nothing_before() -> None:
    generator = make(heads=2)
    ids = ids_of(2, 12)
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 70
    before, after = generator(ids)[0], generator(changed)[0]
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7], after[:, 7])


def test_without_heads_the_generator_is_the_papers_alone() -> None:
    plain = make()
    assert plain.attention is None
    assert {name.partition(".")[0] for name, _ in plain.named_parameters()} == {"embedding", "lstm", "output"}
