"""Every reader of the package for the fuzzer; here those of configs, run folders, the cache and SoundFonts.

A reader is told apart from the others by what it is given: a file of music, a run folder with one file exchanged, a
request.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import struct
import sys
from collections.abc import Callable
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import mutations
from conftest import ROOT
from fuzz_music import Music
from fuzz_reader import READ, REFUSED, Reader, check_message
from tunes import tune


class Config(Reader):
    """A configuration, checked as before a run."""

    name = "config"

    @cached_property
    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.toml"))]

    def prepare(self, place: Path, data: bytes) -> Path:
        path = place / "case.toml"
        path.write_bytes(data)
        return path

    def try_(self, path: Path) -> str:
        from seqgan_music import config, training

        checked = training.check(config.load(str(path)))
        training.check_sizes(checked)
        text = config.to_toml(config.to_document(checked))
        path.write_text(text, encoding="utf-8")
        assert training.check(config.load(str(path))) == checked, "what is written out reads back as something else"
        return READ


class OracleConfig(Config):
    """A configuration of the benchmark."""

    name = "oracle-config"

    @cached_property
    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((ROOT / "configs" / "oracle").glob("*.toml"))]

    def try_(self, path: Path) -> str:
        from seqgan_music.oracle_benchmark import benchmark, settings

        benchmark.check(settings.load(str(path)))
        return READ


class CorpusToml(Config):
    """`corpus.toml` of a folder of music: what `train` writes there first."""

    name = "corpus-toml"

    @cached_property
    def seeds(self) -> list[bytes]:
        return [(ROOT / "midi_data" / "corpus.toml").read_bytes(), b"[folk]\npieces = 3\n"]

    def try_(self, path: Path) -> str:
        from seqgan_music.music import embedded

        embedded._wanted(path)
        return READ


@cache
def a_run() -> Path:
    """A small finished run to exchange files of, made once a process."""
    import tempfile

    from report_run import evaluation, make_run

    folder = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    run = make_run(folder, name="run")
    evaluation(run)
    from seqgan_music.music.notes import Note, Piece
    from seqgan_music.preference import ratings

    for number in range(3):
        notes = tuple(Note(12 * place, 60 + (number + place) % 12, 12) for place in range(8))
        ratings.add(run, Piece(notes), number % 2 == 0)
    return run


class RunFile(Reader):
    """One file of a run folder exchanged, and all that reads it asked."""

    def __init__(self, file: str) -> None:
        self.file, self.name = file, f"run-{file.split('/')[-1]}"

    @cached_property
    def path(self) -> Path:
        (found,) = a_run().glob(self.file)
        return found

    @cached_property
    def seeds(self) -> list[bytes]:
        return [self.path.read_bytes()]

    def case(self, dice: Random) -> bytes:
        if self.file.endswith(".json"):
            return mutations.odd_json(self.seeds[0], dice, self.seeds)
        if self.file.endswith(".jsonl"):
            lines = self.seeds[0].splitlines(keepends=True)
            number = dice.randrange(len(lines))
            lines[number] = mutations.odd_json(lines[number], dice, lines) + b"\n"
            return b"".join(lines)
        return super().case(dice)

    def prepare(self, place: Path, data: bytes) -> Path:
        run = place / "run"
        (run / "checkpoints").mkdir(parents=True)
        for path in a_run().rglob("*"):
            if path.is_file():
                os.link(path, run / path.relative_to(a_run()))
        changed = run / self.path.relative_to(a_run())
        changed.unlink()
        changed.write_bytes(data)
        if changed.suffix == ".safetensors":  # as if it had been saved so: damage that the hash tells is no news
            (description,) = run.glob(f"checkpoints/{changed.name.rpartition('-')[0]}.json")
            document = json.loads(description.read_bytes())
            document |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            description.unlink()
            description.write_text(json.dumps(document))
        return run

    def try_(self, path: Path) -> str:
        from seqgan_music.errors import SeqganMusicError

        outcome = READ
        name = self.path.name
        for ask in _ASKED[name.rpartition("-")[0] if self.path.suffix == ".safetensors" else name]:
            try:
                ask(path)
            except SeqganMusicError as error:
                check_message(error)
                outcome = REFUSED
        return outcome


def _generator(run: Path) -> None:
    import torch

    from seqgan_music.compose import Composer

    composer = Composer.open(run)
    assert all(bool(torch.isfinite(p).all()) for p in composer.generator.parameters()), "NaN in the generator"


def _critic(run: Path) -> None:
    from seqgan_music.critic import Critic
    from seqgan_music.music.notes import Note, Piece

    critic = Critic.open(run)
    judged = critic.judge(Piece(tuple(Note(12 * place, 60 + place, 12) for place in range(8)))) if critic else None
    assert judged is None or judged.score == judged.score, "the critic's score is no number"


def _resume(run: Path) -> None:
    import torch

    from seqgan_music import training

    made = training.Run.open(run, torch.device("cpu"))
    assert all(bool(torch.isfinite(t.float()).all()) for t in made.trainer._models().values()), "NaN in a model"


def _tokens(run: Path) -> None:
    from seqgan_music.tokenset import Splits

    check_splits(Splits.load(run / "tokens.npz"))


def _copies(run: Path) -> None:
    from seqgan_music.compose import Composer
    from seqgan_music.music.notes import Note, Piece

    copied = Composer.open(run).training.longest_run(Piece(tuple(Note(12 * n, 60 + n, 12) for n in range(8))))
    assert copied is None or 2 <= copied.notes <= 8


def _told(run: Path) -> None:
    from seqgan_music.compose import runs
    from seqgan_music.music import corpus, scan_files

    assert all(isinstance(label, str) for label in corpus.labels(run / "scan.json"))
    assert all(isinstance(family, str) for family in scan_files.known_families(run / "scan.json"))
    assert 10 <= runs.typical(run).get("qpm", 120) <= 400


def _report(run: Path) -> None:
    from seqgan_music.report import page
    from seqgan_music.report.sources import Sources

    assert "<html" in page.page(Sources.read(run), [])


def _chosen(run: Path) -> None:
    from seqgan_music.evaluate import result

    assert result.chosen(run).checkpoint


def _ratings(run: Path) -> None:
    from seqgan_music import preference
    from seqgan_music.preference import ratings

    preference.fit(run)
    assert len(ratings.load(run)) <= 3


_ASKED: dict[str, tuple[Callable[[Path], None], ...]] = {
    "config.toml": (_resume,),
    "vocabulary.json": (_generator, _resume),
    "scan.json": (_told, _report),
    "scan.jsonl": (_told, _copies),
    "evaluation.json": (_chosen, _report),
    "metrics.jsonl": (_report, _resume),
    "ratings.jsonl": (_ratings,),
    "tokens.npz": (_tokens, _copies),
    "phase-1.json": (_generator, _chosen, _report),
    "last.json": (_resume, _report),
    "critic.json": (_critic,),
    "phase-2.json": (_chosen, _report),
    "phase-1": (_generator,),
    "last": (_resume,),
    "critic": (_critic,),
}
"""What reads a file of a run, by its name; of tensors by their checkpoint's."""


def check_splits(splits: Any) -> None:
    """What a trainer may rely on in a `TokenSet`."""
    import numpy as np

    for tokens in (splits.train, splits.validation, splits.test):
        size, count = tokens.vocabulary_size, len(tokens)
        assert size > 0
        assert 0 <= tokens.start_id <= size
        assert tokens.end_id is None or 0 <= tokens.end_id < size
        assert tokens.ids.ndim == tokens.offsets.ndim == 1
        assert np.issubdtype(tokens.ids.dtype, np.integer)
        assert tokens.offsets[0] == 0
        assert tokens.offsets[-1] == len(tokens.ids)
        assert all(one <= two for one, two in pairwise(tokens.offsets.tolist()))
        assert not len(tokens.ids) or 0 <= tokens.ids.min() <= tokens.ids.max() < size
        assert tokens.units.shape == (count,)
        assert tokens.shifts.ndim == 2
        assert tokens.shifts.shape[1] == size
        assert 0 <= tokens.shifts.min() <= tokens.shifts.max() < size
        assert tokens.shift_allowed.shape == (count, len(tokens.shifts))
        assert tokens.shift_allowed.dtype == np.bool_
        assert tokens.sources is None or tokens.sources.shape == (count,)
        assert tokens.effects is None or tokens.effects.shape == (2, size)


class Tokens(RunFile):
    """tokens.npz whose arrays say something else, each well-formed."""

    def __init__(self) -> None:
        super().__init__("tokens.npz")
        self.name = "run-token-arrays"

    def case(self, dice: Random) -> bytes:
        import numpy as np

        with np.load(self.path) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        for _ in range(dice.choice((1, 1, 2))):
            name = dice.choice(sorted(arrays))
            value = arrays[name]
            match dice.randrange(9):
                case 0:
                    del arrays[name]
                case 1 if value.dtype.kind != "U":
                    arrays[name] = value.astype(dice.choice(("<f4", "<i1", "<u8", "|b1", "<c8", "<U3")))
                case 2:
                    arrays[name] = value[: value.size // 2] if value.ndim else value.reshape(1)
                case 3:
                    arrays[name] = np.zeros((0,), dtype=value.dtype)
                case 4:
                    arrays[name] = np.asarray(dice.choice((-1, 0, 10**9, 2**62, 0.5, float("nan"), "x", True)))
                case 5 if value.size:
                    arrays[name] = value.copy()
                    arrays[name].flat[dice.randrange(value.size)] = (
                        dice.choice((0, -1, 100)) if value.dtype != "O" else 0
                    )
                case 6:
                    arrays[f"{name}{dice.choice(('', 's', '.x'))}"] = value
                case 7:
                    arrays[name] = arrays[dice.choice(sorted(arrays))]
                case _:
                    arrays[name] = value.reshape(1, *value.shape)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        data = bytearray(buffer.getvalue())
        if dice.random() < 0.3:  # a header that promises more than there is
            at = data.find(b"'shape': (")
            if at >= 0:
                data[at + 10 : at + 11] = dice.choice((b"9", b"-"))
        return bytes(data)


class TensorsOfAnotherShape(RunFile):
    """Safetensors, well-formed, of other shapes, types and values."""

    def __init__(self, name: str) -> None:
        super().__init__(f"checkpoints/{name}-*.safetensors")
        self.name = f"run-{name}-tensors"

    def case(self, dice: Random) -> bytes:
        import torch
        from safetensors import torch as safetensors_torch

        if dice.random() < 0.4:
            return self._header(dice)
        tensors = safetensors_torch.load(self.seeds[0])
        for _ in range(dice.choice((1, 1, 3))):
            name = dice.choice(sorted(tensors))
            tensor = tensors[name]
            match dice.randrange(6):
                case 0:
                    del tensors[name]
                case 1:
                    tensors[name] = tensor.flatten()[: tensor.numel() // 2].clone()
                case 2:
                    tensors[name] = tensor.to(dice.choice((torch.float64, torch.int8, torch.float16, torch.bool)))
                case 3 if tensor.is_floating_point() and tensor.numel():
                    tensors[name] = tensor.clone()
                    tensors[name].view(-1)[dice.randrange(tensor.numel())] = dice.choice(
                        (float("nan"), float("inf"), 1e38)
                    )
                case 4:
                    tensors[f"{name}x"] = tensor.clone()
                case _:
                    tensors[name] = torch.zeros(dice.choice(((0,), (1,), (3, 3), (2, 2, 2))))
        return safetensors_torch.save(tensors)

    def _header(self, dice: Random) -> bytes:
        (size,) = struct.unpack("<Q", self.seeds[0][:8])
        header = mutations.odd_json(self.seeds[0][8 : 8 + size], dice)
        length = dice.choice((len(header), len(header), size, 0, 2**40, 2**63))
        return struct.pack("<Q", length) + header + self.seeds[0][8 + size :]


class Cache(Reader):
    """The user's cache: whatever stands in it, a scan is what it is without one."""

    name = "cache"

    @cached_property
    def _made(self) -> tuple[Path, bytes, Any]:
        import tempfile

        from tunes import write

        place = Path(tempfile.mkdtemp(prefix="fuzz-cache-"))
        music = write(place / "music", **{f"tune{seed}": tune(seed, 20) for seed in range(4)})
        scan = self._scan(music, place / "cache")
        (file,) = (place / "cache").iterdir()
        return music, file.read_bytes(), scan

    @staticmethod
    def _scan(music: Path, cache: Path) -> Any:
        from seqgan_music.config import CorpusConfig
        from seqgan_music.music import corpus, tokenizers

        config = CorpusConfig(workers=1)
        scan = corpus.scan(music, config, cache=cache)
        splits, _ = corpus.tokenize(scan, config, tokenizers.create("note_event", {}, 12))
        return scan.to_json(), splits.train.ids.tolist()

    @cached_property
    def seeds(self) -> list[bytes]:
        return [self._made[1]]

    def case(self, dice: Random) -> bytes:
        if dice.random() < 0.4:
            return super().case(dice)
        database = sqlite3.connect(":memory:")
        database.deserialize(self.seeds[0])
        import zlib

        rows = database.execute("SELECT rowid, value FROM entry").fetchall()
        for row, value in dice.sample(rows, dice.randrange(1, len(rows) + 1)):
            inside = zlib.decompress(value[16:])
            line, _, rest = inside.partition(b"\n")
            odd_line = (
                mutations.odd_json(line, dice) if line[:1] in (b"[", b"{") else mutations.damaged(inside, dice)
            )
            odd: Any = dice.choice(
                (
                    None, 7, 0.5, "text", b"", b"\0", zlib.compress(b""), zlib.compress(b"\n"),
                    zlib.compress(b"{}\n"),
                    zlib.compress(mutations.damaged(inside, dice)),
                    zlib.compress(odd_line + b"\n" + rest),
                    zlib.compress(odd_line + b"\n" + rest),
                    zlib.compress(line + b"\n" + mutations.damaged(rest or b"\0", dice)),
                    dice.choice(rows)[1],
                )
            )  # fmt: skip
            if dice.random() < 0.9:
                database.execute("UPDATE entry SET value = ? WHERE rowid = ?", (b"" if odd is None else odd, row))
            else:
                day = dice.choice((-1, 2**62, 0.5, "today", b"\0"))
                database.execute("UPDATE entry SET day = ? WHERE rowid = ?", (day, row))
        if dice.random() < 0.1:
            database.execute("ALTER TABLE entry RENAME COLUMN value TO worth")
        database.commit()
        return database.serialize()

    def prepare(self, place: Path, data: bytes) -> Path:
        (place / "cache").mkdir()
        (place / "cache" / "music-2.sqlite").write_bytes(data)
        return place / "cache"

    def try_(self, path: Path) -> str:
        music, _, expected = self._made
        assert self._scan(music, path) == expected, "a damaged cache changed what a scan finds"
        return READ


class Font(Reader):
    """A SoundFont, as `--soundfont` takes one, and a note of it played."""

    name = "soundfont"

    @cached_property
    def seeds(self) -> list[bytes]:
        return [small_font()]

    def prepare(self, place: Path, data: bytes) -> Path:
        path = place / "case.sf2"
        path.write_bytes(data)
        return path

    def try_(self, path: Path) -> str:
        import numpy as np

        from seqgan_music.music import soundfont, synth
        from seqgan_music.music.notes import Note, Piece

        font = soundfont.load(path)
        piece = Piece((Note(0, 60, 12), Note(12, 21, 3, 1), Note(12, 108, 3)))
        sound = np.concatenate([*synth.blocks(piece, font)])
        assert bool(np.isfinite(sound).all()), "sound that is no number"
        return READ


def small_font() -> bytes:
    """The smallest SoundFont that plays: one preset, one instrument, one looped sample."""

    def record(*parts: Any) -> bytes:
        return struct.pack(*parts)

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    samples = struct.pack("<400h", *(8000 * (-1) ** (n // 20) for n in range(400)))
    tables = {
        b"phdr": record("<20s3H12x", b"P", 0, 0, 0) + record("<20s3H12x", b"EOP", 0, 0, 1),
        b"pbag": record("<4H", 0, 0, 1, 0),
        b"pmod": b"\0" * 10,
        b"pgen": record("<HhHh", 41, 0, 0, 0),
        b"inst": record("<20sH", b"I", 0) + record("<20sH", b"EOI", 1),
        b"ibag": record("<4H", 0, 0, 5, 0),
        b"imod": b"\0" * 10,
        b"igen": record("<12h", 43, 127 << 8, 34, -3000, 38, 200, 54, 1, 53, 0, 0, 0),
        b"shdr": record("<20s5I2b2H", b"S", 0, 400, 100, 380, 22050, 60, 0, 0, 1)
        + record("<20s5I2b2H", b"EOS", *[0] * 9),
    }
    body = b"sfbk" + chunk(b"LIST", b"sdta" + chunk(b"smpl", samples))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(name, data) for name, data in tables.items()))
    return chunk(b"RIFF", body)


class OracleResults(Reader):
    """results.json of a benchmark."""

    name = "oracle-results"

    @cached_property
    def seeds(self) -> list[bytes]:
        from made_up_results import results

        return [json.dumps(results().to_document()).encode()]

    def case(self, dice: Random) -> bytes:
        return mutations.odd_json(self.seeds[0], dice, self.seeds)

    def prepare(self, place: Path, data: bytes) -> Path:
        path = place / "results.json"
        path.write_bytes(data)
        return path

    def try_(self, path: Path) -> str:
        from seqgan_music.oracle_benchmark import results

        results.load(path)
        return READ


def readers() -> list[Reader]:
    """All of them."""
    from fuzz_results import BenchmarkFile, Taste
    from fuzz_studio import Studio

    return [
        *(Music(suffix) for suffix in (".mid", ".abc", ".krn", ".musicxml", ".mxl")),
        *(Config(), OracleConfig(), CorpusToml()),
        *(RunFile(name) for name in ("config.toml", "vocabulary.json", "scan.json", "evaluation.json")),
        *(RunFile(name) for name in ("scan.jsonl", "metrics.jsonl", "ratings.jsonl", "tokens.npz")),
        *(RunFile(f"checkpoints/{name}.json") for name in ("phase-1", "last", "critic", "phase-2")),
        *(TensorsOfAnotherShape(name) for name in ("phase-1", "last", "critic")),
        *(BenchmarkFile(f"cells/1-1-mle/{name}.json") for name in ("result", "cost")),
        *(BenchmarkFile("draws/1/truth.json"), Taste()),
        *(Tokens(), Cache(), Font(), OracleResults(), Studio()),
    ]


if __name__ == "__main__":
    sys.exit("This is what `fuzz.py` tries.")
