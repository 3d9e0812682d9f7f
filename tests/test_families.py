"""Families are the connected groups of related pieces, as many passes and blocks as it may take to find them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tunes import tune

from seqgan_music.music import families
from seqgan_music.music.families import Kinship, kinship, shingles


def notes_of(pitches_and_lengths: list[tuple[int, int]]) -> families.Array:
    pitches, lengths = np.array(pitches_and_lengths).T
    return np.stack([np.cumsum(lengths) - lengths[0], pitches, lengths, lengths], axis=1).astype(np.int32)


@st.composite
def relatives(draw: st.DrawFn) -> list[families.Array]:
    """Up to eight pieces: tunes put together from a few sections, and their copies and transpositions."""
    sections = [tune(seed, 24) for seed in range(4)]
    pieces = []
    for _ in range(draw(st.integers(1, 8))):
        if pieces and draw(st.booleans()):
            moved = np.array([draw(st.integers(0, 3)), draw(st.integers(-3, 3)), 0, 0], dtype=np.int32)
            pieces.append(draw(st.sampled_from(pieces)) + moved * draw(st.integers(0, 1)))
        else:
            parts = draw(st.lists(st.sampled_from(sections), min_size=1, max_size=3))
            pieces.append(notes_of([note for part in parts for note in part[: draw(st.integers(4, 24))]]))
    return pieces


def by_definition(pieces: list[families.Array]) -> tuple[list[int], list[int]]:
    """First exact copies, or a piece itself, and the smallest of each connected group: all compared with all."""
    copies: list[int] = []
    family = list(range(len(pieces)))
    for index, piece in enumerate(pieces):
        same = (k for k in range(index) if np.array_equal(pieces[k][:, :3], piece[:, :3]))
        copies.append(next(same, index))
    for a, b in combinations(range(len(pieces)), 2):
        one, other = (pieces[k][:, :3] - [*pieces[k][0, :2], 0] for k in (a, b))
        mine, theirs = set(shingles(pieces[a]).tolist()), set(shingles(pieces[b]).tolist())
        enough = max(families.LEAST_SHARED, families.NEAR * min(len(mine), len(theirs)))
        if np.array_equal(one, other) or len(mine & theirs) >= min(families.SECTION, enough):
            low, high = sorted((family[a], family[b]))
            family = [low if root == high else root for root in family]
    return copies, family


@given(relatives(), st.sampled_from([7, 40, 4_000_000]))
@settings(max_examples=40)
def test_families_are_those_of_the_definition_whatever_the_size_of_a_block(
    pieces: list[families.Array], together: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "_TOGETHER", together)
        found = kinship(iter(pieces))
    copies, family = by_definition(pieces)
    assert list(found.copy_of) == copies
    assert list(found.family) == family
    again = Kinship.from_bytes(found.to_bytes())
    assert (list(again.copy_of), list(again.family), again.kind) == (copies, family, found.kind)


def test_each_piece_is_asked_for_once_and_none_is_kept() -> None:
    alive, most = 0, 0

    class Watched(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None or not isinstance(self.base, Watched)

    def pieces() -> Iterator[families.Array]:
        nonlocal alive, most
        for seed in range(50):
            alive += 1
            most = max(most, alive)
            yield notes_of(tune(seed, 30)).view(Watched)

    assert kinship(pieces()).family.tolist() == list(range(50))
    assert most <= 2  # the one at work, and the one before it


def test_a_sample_of_the_shingles_still_tells_versions_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(0)
    pieces, tunes = [], []
    for seed in range(30):
        notes = notes_of(tune(seed, 200))
        for _ in range(4):
            version = notes.copy()
            version[dice.choice(200, 3, replace=False), 1] += 1
            pieces.append(version)
            tunes.append(4 * seed)
    total = sum(len(shingles(piece)) for piece in pieces)
    monkeypatch.setattr(families, "_MOST_SHINGLES", total // 8)
    assert list(kinship(pieces).family) == tunes


def test_what_is_set_aside_leaves_no_file_behind(tmp_path: Path) -> None:
    kinship([notes_of(tune(seed, 40)) for seed in range(5)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_pieces_and_pieces_without_notes_are_no_trouble() -> None:
    nothing = np.zeros((0, 4), dtype=np.int32)
    assert kinship([]).family.tolist() == []
    assert kinship([nothing, nothing]).copy_of.tolist() == [0, 0]
    assert kinship([nothing, *islice(map(notes_of, [tune(1, 30)]), 1)]).family.tolist() == [0, 1]
