"""Oracles are exact: what they draw is what they score, and what they score is what their definition draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from enumeration import assert_drawn_from, every, number

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning import oracles
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator

TINY: dict[str, dict[str, Any]] = {
    "lstm": {"hidden": 4, "embedding": 3},
    "periodic": {"hidden": 4, "embedding": 3, "lags": [1, 2, 4], "noise": 0.4},
    "copies": {"hidden": 4, "embedding": 3, "bar": 2, "noise": 0.3, "repeat": 0.6},
}
Table = npt.NDArray[np.float64]
V, T = 3, 7  # the last bar of `copies` is cut short


def made(name: str, length: int = T, seed: int = 1, **options: Any) -> oracles.Oracle:
    rng = torch.Generator().manual_seed(seed)
    return oracles.create(ChoiceConfig(name, {**TINY[name], **options}), V, length, rng)


def test_every_oracle_is_tried() -> None:
    assert choices.names("seqgan_music.learning.oracles") == sorted(TINY)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("name", TINY)
def test_probabilities_of_all_sequences_sum_to_one(name: str, temperature: float) -> None:
    total = float(made(name).log_prob(every(V, T), temperature).exp().sum())
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_what_is_drawn_is_what_is_scored(name: str) -> None:
    oracle = made(name)
    ids = oracle.sample(20_000, 1.0, torch.Generator().manual_seed(2))
    assert_drawn_from(ids, V, oracle.log_prob(every(V, T), 1.0))


@pytest.mark.parametrize("name", TINY)
def test_beginnings_have_the_probability_of_all_their_ends(name: str) -> None:
    long, short = made(name), made(name, T - 2)
    sums = long.log_prob(every(V, T), 1.0).exp().view(-1, V * V).sum(1)
    torch.testing.assert_close(sums.log(), short.log_prob(every(V, T - 2), 1.0), atol=1e-5, rtol=1e-5)


def following(generator: Generator) -> list[Table]:
    """The LSTM's next-token probabilities after every prefix: one (V^t, V) for each t."""
    ids = every(V, T)
    with torch.no_grad():
        logits, _ = generator(generator.inputs_for(ids))
    tables = logits.double().softmax(2)  # (V^T, T, V)
    return [tables[:: V ** (T - step), step].numpy() for step in range(T)]


def simulated(name: str, tables: list[Table], rng: np.random.Generator) -> list[int]:
    """One sequence, drawn in the words of the oracle's definition."""
    options = TINY[name]
    lag = rng.choice(options["lags"]) if name == "periodic" else 0
    copied: int | None = None  # the bar that is copied
    ids: list[int] = []
    prefix = 0
    for step in range(T):
        if name == "copies":
            bar, place = divmod(step, options["bar"])
            if place == 0:
                copied = int(rng.integers(bar)) if bar > 0 and rng.random() < options["repeat"] else None
            source = step - (bar - copied) * options["bar"] if copied is not None else -1
        else:
            source = step - lag
        if source >= 0 and rng.random() < 1 - options["noise"]:
            ids.append(ids[source])
        else:
            ids.append(int(np.searchsorted(tables[step][prefix].cumsum(), rng.random())))
        prefix = prefix * V + ids[-1]
    return ids


@pytest.mark.parametrize("name", ["periodic", "copies"])
def test_the_likelihood_is_that_of_the_definition(name: str) -> None:
    oracle: Any = made(name)
    tables, rng = following(oracle.base.generator), np.random.default_rng(3)
    ids = torch.tensor([simulated(name, tables, rng) for _ in range(8_000)])
    assert_drawn_from(ids, V, oracle.log_prob(every(V, T), 1.0))


@pytest.mark.parametrize("name", ["periodic", "copies"])
def test_all_noise_leaves_the_lstm(name: str) -> None:
    oracle: Any = made(name, noise=1.0)
    expected = made("lstm").log_prob(every(V, T), 1.0)
    torch.testing.assert_close(oracle.log_prob(every(V, T), 1.0), expected, atol=1e-5, rtol=1e-5)


def test_no_repeats_leave_the_lstm() -> None:
    expected = made("lstm").log_prob(every(V, T), 1.0)
    torch.testing.assert_close(
        made("copies", repeat=0.0).log_prob(every(V, T), 1.0), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", TINY)
def test_a_seed_is_an_oracle(name: str) -> None:
    ids = every(V, T)
    assert torch.equal(made(name).log_prob(ids, 1.0), made(name).log_prob(ids, 1.0))
    assert not torch.allclose(made(name).log_prob(ids, 1.0), made(name, seed=2).log_prob(ids, 1.0), atol=0.1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lstm", {"std": 0.0}),
        ("lstm", {"hidden": 0}),
        ("periodic", {"noise": 0.0}),
        ("periodic", {"noise": 1.1}),
        ("periodic", {"lags": []}),
        ("periodic", {"lags": [0]}),
        ("periodic", {"lags": [2, 2]}),
        ("periodic", {"lags": [T]}),
        ("periodic", {"std": 0.0}),
        ("copies", {"bar": 0}),
        ("copies", {"bar": T}),
        ("copies", {"repeat": 1.5}),
        ("copies", {"noise": 0.0}),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        made(name, **options)


@pytest.mark.parametrize("name", TINY)
def test_samples_come_back_from_a_token_set_as_they_were(name: str) -> None:
    oracle = made(name)
    ids = oracle.sample(11, 1.0, torch.Generator().manual_seed(4))
    tokens = oracles.token_set(oracle, ids)
    assert (tokens.vocabulary_size, tokens.start_id, tokens.end_id) == (V, oracle.start_id, None)
    data = Sequences(tokens, torch.device("cpu"))
    assert torch.equal(data.first(11, T), ids)
    opened = data.openings(22, T, torch.Generator().manual_seed(5))  # each twice, unshifted
    assert torch.equal(number(opened, V).sort().values, number(ids, V).repeat(2).sort().values)
