"""The checkpoints of a run folder: safetensors for tensors, JSON for the rest, and nothing that runs code.

`checkpoints/last.json` and `best.json` each name a file of tensors beside them, with its size and SHA-256.
The tensors are written first, under a new name, then the JSON is replaced in one step, then the old tensors are
deleted: whenever the machine stops, each JSON names tensors that are whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from seqgan_music import documents
from seqgan_music.config import GeneratorConfig, build
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.files import replacing
from seqgan_music.learning.generator import Generator

FORMAT = 1
FOLDER = "checkpoints"
_LARGEST_WEIGHT = 1e9

Tensors = dict[str, Tensor]


def save(run: Path, name: str, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write checkpoint `name` ("last", "best") of a run. Raises OutputError, and ValueError for NaN or infinity."""
    folder = run / FOLDER
    for key, tensor in tensors.items():
        if not _finite(tensor):
            raise ValueError(f"{key} holds NaN or infinity: such a state is never saved")
    data = safetensors_torch.save({key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    file = f"{name}-{digest[:12]}.safetensors"
    _write(folder / file, data)
    header = {"format": FORMAT, "file": file, "bytes": len(data), "sha256": digest}
    _write(folder / f"{name}.json", json.dumps({**header, **document}, indent=1).encode())
    for old in folder.glob(f"{name}-*.safetensors"):
        if old.name != file:
            with suppress(OSError):
                old.unlink()


def _finite(tensor: Tensor) -> bool:
    floating = tensor.is_floating_point() or tensor.is_complex()
    return not floating or bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())


def check_weights(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a model's weight is none, or so large that no training left it and sums overflow."""
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool((tensor.abs() <= _LARGEST_WEIGHT).all()):
            raise ValueError(f"{key[:100]} holds a weight that is too large for any model")


def discard(run: Path, name: str) -> None:
    """Remove checkpoint `name` of a run, if there is one: first what names the tensors, then the tensors.

    A process killed in between leaves tensors that nothing names, never a checkpoint without its tensors.
    """
    folder = run / FOLDER
    for path in (folder / f"{name}.json", *folder.glob(f"{name}-*.safetensors")):
        path.unlink(missing_ok=True)


def exists(run: Path, name: str) -> bool:
    """Whether the run has that checkpoint, be it one that cannot be read: that is for `load` to say."""
    try:
        os.lstat(run / FOLDER / f"{name}.json")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def load(run: Path, name: str) -> tuple[Tensors, dict[str, Any]]:
    """Read checkpoint `name` of a run: its tensors, on the CPU, and its document.

    Raises RunError where it is missing, damaged, not ours, or not finite. Nothing in it is executed.
    """
    path = run / FOLDER / f"{name}.json"
    try:
        document = documents.load(path)
        if not isinstance(document, dict) or not isinstance(document.get("file"), str):
            raise ValueError("it is not a checkpoint's description")
    except FileNotFoundError:
        raise RunError(f"{run} has no checkpoint '{name}'. Train first: seqgan-music train DIR.") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {reason(error)}.{ADVICE}") from None
    if document.get("format") != FORMAT:
        raise RunError(f"{path} has format {document.get('format')!r}; this version reads {FORMAT}.{ADVICE}")
    file = path.parent / Path(document["file"]).name
    try:
        if file.suffix != ".safetensors":
            raise ValueError("only safetensors files are loaded")
        with documents.opened(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            data = opened.read(size) if size == document.get("bytes") else b""
        if len(data) != document.get("bytes") or hashlib.sha256(data).hexdigest() != document.get("sha256"):
            raise ValueError("it is not the file that was saved (cut short or changed)")
        tensors = safetensors_torch.load(data)
        if odd := next((key for key, tensor in tensors.items() if not _finite(tensor)), None):
            raise ValueError(f"{odd[:100]} holds NaN or infinity, which is never saved")
        return tensors, document
    except (OSError, ValueError, SafetensorError) as error:
        raise RunError(f"{file} cannot be loaded: {reason(error)}.{ADVICE}") from None


def describe_generator(generator: Generator) -> dict[str, Any]:
    """Return what `load_generator` needs besides the tensors."""
    return {
        "vocabulary_size": generator.vocabulary_size,
        "start_id": generator.start_id,
        "config": asdict(generator.config),
    }


def load_generator(run: Path, which: str = "best", device: str = "cpu") -> Generator:
    """Build the generator of a run's checkpoint. Raises RunError."""
    tensors, document = load(run, which)
    try:
        described = document["generator"]
        config = build(GeneratorConfig, described["config"], "generator")
        size, start_id = described["vocabulary_size"], described["start_id"]
        if type(size) is not int or type(start_id) is not int:
            raise TypeError("its sizes must be whole numbers")
        if not 0 < size <= 1_000_000 or not 0 <= start_id <= size:
            raise ValueError("impossible vocabulary")
        check_weights(unprefixed(tensors, "generator"))
        # On "meta" nothing is allocated until the tensors are known to fit.
        with torch.device("meta"):
            generator = Generator(size, start_id, config)
        generator.load_state_dict(unprefixed(tensors, "generator"), assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise RunError(
            f"{run / FOLDER}/{which}.json does not describe its tensors: {reason(error)}.{ADVICE}"
        ) from None
    return generator.to(device).requires_grad_(False)


def prefixed(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return the tensors under `prefix.name`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return the tensors whose name begins with `prefix.`, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Return the moments and step counts of an optimizer as named tensors."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took; the groups' settings stay those of the config."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


ADVICE = " Use another run, or train again."


def reason(error: Exception) -> str:
    """Return what an error says, for the middle of a line; of a list of what does not fit, the first entry."""
    lines = str(getattr(error, "strerror", None) or error or type(error).__name__).split("\n")
    told = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return (told or type(error).__name__).rstrip(".:")


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
