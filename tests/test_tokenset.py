"""Token sets: what is looked at of a large one is whole pieces, evenly spaced, and what is saved comes back."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.tokenset import Splits, TokenSet


@st.composite
def token_sets(draw: st.DrawFn) -> TokenSet:
    rows = draw(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=6), max_size=20))
    sources = sorted(draw(st.integers(0, 12)) for _ in rows) if draw(st.booleans()) else None
    return TokenSet.from_rows(rows, vocabulary_size=9, start_id=9, end_id=8, sources=sources)


def rows_of(some: TokenSet) -> list[list[int]]:
    return [some.row(index).tolist() for index in range(len(some))]


@given(token_sets(), st.integers(1, 15))
def test_at_most_so_many_pieces_are_whole_in_order_and_evenly_spaced(tokens: TokenSet, most: int) -> None:
    sources = np.arange(len(tokens)) if tokens.sources is None else tokens.sources
    different = np.unique(sources).tolist()
    some = tokens.at_most(most)
    if len(different) <= most:
        assert some is tokens
        return
    some.check()
    chosen = [different[turn * len(different) // most] for turn in range(most)]
    assert len(set(chosen)) == most
    inside = [index for index in range(len(tokens)) if sources[index] in chosen]
    assert rows_of(some) == [tokens.row(index).tolist() for index in inside]
    assert some.units.tolist() == tokens.units[inside].tolist()
    places = np.diff([different.index(source) for source in chosen])
    assert not len(places) or places.max() - places.min() <= 1


@given(token_sets(), token_sets(), token_sets())
@settings(max_examples=30)
def test_splits_come_back_as_they_were_saved(train: TokenSet, validation: TokenSet, test: TokenSet) -> None:
    splits = Splits(train, validation, test)
    with TemporaryDirectory() as folder:
        splits.save(Path(folder) / "tokens.npz")
        again = Splits.load(Path(folder) / "tokens.npz")
        for side, saved in vars(splits).items():
            for name, value in vars(saved).items():
                other = getattr(getattr(again, side), name)
                assert type(other) is type(value) or isinstance(other, np.memmap)
                assert np.array_equal(other, value) if value is not None else other is None
