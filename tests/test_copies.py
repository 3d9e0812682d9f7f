"""The index of a run's training music: the same as one of its pieces, made once, made anew where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tunes import tune, write

from seqgan_music.config import CorpusConfig
from seqgan_music.music import copies, corpus, tokenizers
from seqgan_music.music.cache import KEEP_DAYS
from seqgan_music.music.metrics.originality import Index
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.notes import Piece
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits, TokenSet


@pytest.fixture(scope="module", params=["note_event", "pitch_grid"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Tokenizer, list[str]]:
    """A file of tokens, its tokenizer, and the names of the kept pieces."""
    folder = tmp_path_factory.mktemp("music")
    write(folder, **{f"t{seed:02}": tune(seed, 40 + seed) for seed in range(24)})
    config = CorpusConfig(min_pieces=3)
    scan = corpus.scan(folder, config, cache=None)
    tokenizer = tokenizers.create(request.param, {}, config.reading.ticks_per_beat)
    splits, _ = corpus.tokenize(scan, config, tokenizer)
    splits.save(folder / "tokens.npz")
    return folder / "tokens.npz", tokenizer, [piece.label for piece in scan.kept]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache, and parts of so few notes that any set is a large one."""
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "TOGETHER", 100)
    monkeypatch.setattr(corpus, "_ROWS", 3)
    return tmp_path / "cache"


def obvious(tokens: Path, tokenizer: Tokenizer, names: list[str]) -> tuple[Index, list[Piece]]:
    splits = Splits.load(tokens)
    training, others = (corpus.pieces(side, tokenizer, names) for side in (splits.train, splits.test))
    return Index(training), [*others, *training[:3]]


def assert_equal(found: Index, expected: Index, written: list[Piece]) -> None:
    assert len(found) == len(expected)
    assert [runs.tolist() for runs in found.runs(written)] == [runs.tolist() for runs in expected.runs(written)]
    assert found.longest_runs(written) == expected.longest_runs(written)


@pytest.mark.parametrize(("rows", "cells"), [(1, 10), (3, 10**6), (4096, 2000)])
def test_the_index_is_that_of_the_pieces(
    run: tuple[Path, Tokenizer, list[str]], rows: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "_ROWS", rows)
    monkeypatch.setattr(corpus, "_CELLS", cells)
    expected, written = obvious(*run)
    assert_equal(copies.training_index(*run), expected, written)


def test_a_large_one_is_made_once_and_a_small_one_leaves_nothing(
    run: tuple[Path, Tokenizer, list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, written = obvious(*run)
    assert_equal(copies.training_index(*run), expected, written)
    (file,) = cache.glob("copies-*.npz")

    def none(tokens: TokenSet, tokenizer: Tokenizer) -> NoteTable:
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "each_table", none)
        assert_equal(copies.training_index(*run), expected, written)

    file.unlink()
    monkeypatch.setattr(copies, "TOGETHER", 10**6)
    assert_equal(copies.training_index(*run), expected, written)
    assert not list(cache.glob("*.npz"))


def test_a_damaged_one_is_made_anew_and_one_long_unused_goes(
    run: tuple[Path, Tokenizer, list[str]], cache: Path
) -> None:
    expected, written = obvious(*run)
    copies.training_index(*run)
    (file,) = cache.glob("copies-*.npz")
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:300] + bytes([whole[300] ^ 1]) + whole[301:]):
        file.write_bytes(damaged)
        assert_equal(copies.training_index(*run), expected, written)
        assert file.read_bytes() == whole
    old, young = (cache / f"copies-{name}.npz" for name in ("old", "young"))
    for path, days in ((old, KEEP_DAYS + 1), (young, KEEP_DAYS - 1)):
        path.write_bytes(b"")
        last = file.stat().st_mtime - 86400 * days
        os.utime(path, (last, last))
    file.unlink()
    copies.training_index(*run)
    assert (old.exists(), young.exists(), file.exists()) == (False, True, True)


def test_without_a_cache_nothing_is_kept(
    run: tuple[Path, Tokenizer, list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, written = obvious(*run)
    for where in ("", "/dev/null/none"):
        monkeypatch.setenv("SEQGAN_MUSIC_CACHE", where)
        assert_equal(copies.training_index(*run), expected, written)
    assert not cache.exists()
