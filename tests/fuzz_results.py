"""Results that are read again, for the fuzzer: a benchmark's folder, file by file, and a taste of ratings."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from random import Random

import mutations
from fuzz_reader import READ, Reader

_CONFIG = """
seeds = 1
draws = 1
vocabulary_size = 8
length = 6
temperatures = [0.8, 1.0, 1.25]

[[method]]
method = "mle"
"""


class BenchmarkFile(Reader):
    """One file of a benchmark's folder exchanged, and the benchmark gone on with, where nothing is left to do."""

    def __init__(self, file: str) -> None:
        self.file, self.name = file, f"oracle-{file.split('/')[-1]}"

    @cached_property
    def _files(self) -> dict[str, bytes]:
        from dataclasses import asdict

        from made_up_results import cell, truth

        from seqgan_music.oracle_benchmark import results

        return {
            "oracle.toml": _CONFIG.encode(),
            "draws/1/truth.json": json.dumps(asdict(truth())).encode(),
            "cells/1-1-mle/result.json": json.dumps(results.cell_to_document(cell(role="baseline"))).encode(),
            "cells/1-1-mle/cost.json": b'{"seconds": 1.5}',
        }

    @cached_property
    def seeds(self) -> list[bytes]:
        return [self._files[self.file]]

    def case(self, dice: Random) -> bytes:
        return mutations.odd_json(self.seeds[0], dice, self.seeds)

    def prepare(self, place: Path, data: bytes) -> Path:
        folder = place / "benchmark"
        for name, own in self._files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if name == self.file else own)
        return folder

    def try_(self, path: Path) -> str:
        from seqgan_music.oracle_benchmark import benchmark, schedule, tables

        chosen, name = benchmark.open_folder(path)
        schedule.Clock(path, chosen, 1)
        found = benchmark.gathered(path, chosen, name)
        assert tables.markdown(found)
        assert tables.csv(found)
        return READ


class Taste(Reader):
    """What a run has learnt of somebody's thumbs."""

    name = "taste"

    @cached_property
    def seeds(self) -> list[bytes]:
        import tempfile

        from seqgan_music.music.notes import Note, Piece
        from seqgan_music.preference import taste
        from seqgan_music.preference.ratings import Rating

        pieces = [Piece(tuple(Note(12 * n, 60 + n * size % 13, size) for n in range(20))) for size in range(1, 7)]
        rated = [Rating(piece, number % 2 == 0) for number, piece in enumerate(pieces)]
        with tempfile.TemporaryDirectory() as place:
            taste.save(taste.fitted(rated), Path(place) / taste.FILE)
            return [(Path(place) / taste.FILE).read_bytes()]

    def case(self, dice: Random) -> bytes:
        return mutations.odd_json(self.seeds[0], dice, self.seeds)

    def prepare(self, place: Path, data: bytes) -> Path:
        from seqgan_music.preference import taste

        (place / taste.FILE).write_bytes(data)
        return place

    def try_(self, path: Path) -> str:
        from seqgan_music.music.notes import Note, Piece
        from seqgan_music.preference import taste

        found = taste.load(path)
        assert found is not None
        (score,) = found.scores([Piece(tuple(Note(12 * place, 60 + place, 12) for place in range(8)))])
        assert 0 <= score <= 1, f"liked with probability {score}"
        assert found.describe()
        return READ
