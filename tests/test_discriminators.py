"""The contract of every discriminator: it learns an easy difference, and its scorer says what it says."""

from __future__ import annotations

import pytest
import torch

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning import discriminators

NAMES = choices.names("seqgan_music.learning.discriminators")


def made(name: str) -> discriminators.Discriminator:
    discriminator = discriminators.create(ChoiceConfig(name, {"embedding": 6}), 20, 9)
    discriminator.initialise(torch.Generator().manual_seed(1))
    return discriminator


@pytest.mark.parametrize("name", NAMES)
def test_learns_which_half_of_the_vocabulary_is_real(name: str) -> None:
    discriminator, rng = made(name), torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.01)
    labels = (torch.arange(64) < 32).float()
    for _ in range(40):
        ids = torch.randint(10, (64, 9), generator=rng) + 10 * (labels[:, None] == 0)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(discriminator(ids, rng), labels)
        optimizer.zero_grad()
        (loss + discriminator.penalty()).backward()
        optimizer.step()
    ids = torch.randint(10, (200, 9), generator=rng)
    score = discriminator.scorer()
    assert (score(ids) > 0).all()
    assert (score(ids + 10) < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_scorer_equals_the_discriminator_without_dropout(name: str) -> None:
    discriminator = made(name)
    ids = torch.randint(20, (30, 9), generator=torch.Generator().manual_seed(3))
    score = discriminator.scorer()
    with torch.no_grad():
        torch.testing.assert_close(score(ids), discriminator(ids), atol=1e-5, rtol=1e-5)
    completed = ids.view(6, 5, 9)
    torch.testing.assert_close(
        score.completions(completed[:, 0], completed, 0).flatten(), score(ids), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_dropout_changes_the_logits_only_where_a_generator_is_given(name: str) -> None:
    discriminator = made(name)
    ids = torch.randint(20, (8, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(discriminator(ids), discriminator(ids))
        assert not torch.equal(discriminator(ids), discriminator(ids, torch.Generator().manual_seed(1)))


def test_filters_of_the_paper_by_length() -> None:
    for length, features in ((20, 1720), (32, 1880), (128, 1880)):
        discriminator = discriminators.create(ChoiceConfig("cnn"), 20, length)
        assert discriminator.get_submodule("output").in_features == features


def test_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no option 'embeding'\. Did you mean 'embedding'"):
        discriminators.create(ChoiceConfig("cnn", {"embeding": 3}), 20, 9)


def test_filters_past_any_number_are_one_line() -> None:
    with pytest.raises(ConfigError, match="whole numbers from 1 to 1000000"):
        discriminators.check(ChoiceConfig("cnn", {"widths": [1], "counts": [10**400]}))
