"""CUDA graphs: a training step, hundreds of small kernels, recorded once for each shape and replayed as one.

On a GPU the steps of models as small as these wait for Python to launch their kernels (docs/gpu.md says how long).
A graph launches them all at once. It repeats exactly what was done when it was recorded, at the same addresses: so
what a step is given is copied to where the recorded one reads it, and what it returns is copied out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

R = TypeVar("R")

RECORD = True
"""Whether steps are recorded at all: benchmarks compare."""


def records(device: torch.device) -> bool:
    """Whether steps are recorded on a device: optimizers must then be capturable, a changing rate a tensor."""
    return device.type == "cuda"


@dataclass
class _Recording:
    """One graph and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Any, ...]
    result: Any


class Recorded(Generic[R]):
    """A step that, on a GPU, is run as it is the first time that a shape comes, recorded the second, then replayed.

    The step takes and returns tensors, numbers and None, alone or in tuples and dataclasses. Besides what it is
    given it may read and change, in place, weights and what an optimizer keeps of them, but not replace them; it
    may draw random numbers from `rngs`; it may not look at the value of a tensor. A number is part of the shape.
    Elsewhere than on a GPU, or where `record` is false, it is simply called.
    """

    def __init__(
        self,
        step: Callable[..., R],
        device: torch.device,
        rngs: Sequence[torch.Generator] = (),
        *,
        record: bool = True,
    ) -> None:
        self._step = step
        self._rngs = rngs
        self._record = record and RECORD and records(device)
        self._device = device
        self._recordings: dict[Any, _Recording | None] = {}
        self._pool: Any = None

    def __call__(self, *given: Any) -> R:
        """Take the step."""
        if not self._record:
            return self._step(*given)
        shape = _shape(given)
        if shape not in self._recordings:
            self._recordings[shape] = None
            return self._step(*given)  # what it allocates once and for all must not lie in a graph's memory
        recording = self._recordings[shape]
        if recording is None:
            recording = self._recordings[shape] = self._recording(given)
        else:
            _copy(given, recording.given)
        recording.graph.replay()
        return cast(R, _mapped(recording.result, torch.clone))

    def _recording(self, given: tuple[Any, ...]) -> _Recording:
        graph = torch.cuda.CUDAGraph()
        for rng in self._rngs:
            graph.register_generator_state(rng)
        kept = _mapped(given, torch.clone)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()  # one for all: what a replay leaves is copied out at once
        here, stream = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        stream.wait_stream(here)
        # Not torch.cuda.graph(...): it collects garbage and empties the allocator's cache, a tenth of a second.
        with torch.cuda.stream(stream):
            graph.capture_begin(pool=self._pool)
            try:
                result = self._step(*kept)
            finally:
                graph.capture_end()
        here.wait_stream(stream)
        return _Recording(graph, kept, result)


def _shape(value: Any) -> Any:
    """Return what tells recordings apart."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    if isinstance(value, tuple):
        return tuple(map(_shape, value))
    if is_dataclass(value):
        return tuple(_shape(getattr(value, field.name)) for field in fields(value))
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(f"A recorded step cannot be given {type(value).__name__}.")


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return the same with each tensor changed."""
    if isinstance(value, Tensor):
        return change(value.detach())
    if isinstance(value, tuple):
        parts = [_mapped(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(_mapped(getattr(value, field.name), change) for field in fields(value)))
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))


def _copy(given: tuple[Any, ...], into: tuple[Any, ...]) -> None:
    targets = list(_tensors(into))
    if targets:
        torch._foreach_copy_(targets, list(_tensors(given)))
