"""Where models live: the device that a name means, and what it is called for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seqgan_music.errors import ConfigError


def pick(name: str) -> torch.device:
    """Return the device named "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ... Raises ConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"There is no device '{name}'. Use auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"Device '{name}' is not supported. Use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ConfigError(f"Device '{name}' is not on this machine. Use --device cpu.")
    return device


def describe(device: torch.device) -> str:
    """Return the device for people: its name, or the number of threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


@contextmanager
def shared_dice_kept() -> Iterator[None]:
    """Leave torch's shared random numbers, from which layers draw when they are made, to the program around us."""
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let sums run on one thread for a while: where there is little work, more of them only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
