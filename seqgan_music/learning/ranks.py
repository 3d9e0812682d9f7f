"""Several processes (ranks, started by torchrun) that train one model as one process would, within rounding.

Every rank has the same models, data and random states. Of each batch it draws all random numbers and works on rows
of its own (`Share`), whose loss is its part of the whole batch's: divided by what the whole batch counts. So
gradients add up to the batch's, however unequal the shares, and every rank then takes the same step. Rank 0 alone
writes files and speaks. A single process is `ALONE`: all is its own, nothing is exchanged, nothing costs time.

What is exchanged, how often and how large it is: docs/distributed.md.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from seqgan_music import machine
from seqgan_music.errors import ConfigError, RankError
from seqgan_music.learning import devices

T = TypeVar("T")

PATIENCE = timedelta(minutes=5)
"""How long a rank waits for the others in one exchange: longer than a checkpoint takes to be written."""
BEAT = 5.0
"""Seconds between two signs of life of a rank that works alone."""
MISSED = 24
"""Signs of life in a row that do not come before it is given up."""


class Ranks:
    """What one process is among those that train together; of this class itself, one that trains alone."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def share(self, total: int) -> Share:
        """Return this rank's share of a batch of `total` >= 1 rows."""
        return Share(self, total)

    def dealt(self, items: Sequence[T]) -> Sequence[T]:
        """Return those of the items that this rank works on."""
        return items[self.rank :: self.size]

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of the ranks' values; `value` is overwritten."""
        return value

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the rows of all ranks, of which each has its count."""
        return rows

    def backward(self, loss: Tensor, model: nn.Module, told: Tensor | None = None) -> Tensor:
        """Leave the sum of the ranks' gradients in the model; return that of their losses, or of what they tell."""
        told = (loss if told is None else told).detach()
        loss.backward()
        if self.size == 1:
            return told
        # One exchange an update, which the loss joins.
        parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
        gradients = [cast(Tensor, parameter.grad).flatten() for parameter in parameters]
        parts = self.sum(torch.cat([*gradients, told.reshape(1)])).split([*map(len, gradients), 1])
        for parameter, part in zip(parameters, parts, strict=False):
            parameter.grad = part.view_as(parameter)
        total: Tensor = parts[-1][0].clone()
        return total  # not a view that would keep all gradients

    def agreed(self, value: T) -> T:
        """Return rank 0's value, which JSON can hold: what is decided by it is decided alike."""
        return value

    def by_first(self, work: Callable[[], T]) -> T:
        """Let rank 0 work, however long it takes, and return its result, which JSON can hold.

        Raises RankError on the others where it fails.
        """
        return work()

    def copy_first(self, *models: nn.Module) -> None:
        """Give every rank the weights that rank 0 has."""

    def rehearsal(self) -> Ranks:
        """Return ranks that work on rank 0's shares and exchange nothing, to time a step by."""
        return self


ALONE = Ranks()


class Share:
    """The rows of one batch that this rank works on: an even part, in the order of ranks.

    A rank without a row of its own, where there are fewer than ranks, works on another's row that does not count.
    """

    def __init__(self, ranks: Ranks, total: int) -> None:
        bounds = [total * rank // ranks.size for rank in range(ranks.size + 1)]
        start, stop = bounds[ranks.rank : ranks.rank + 2]
        self._ranks = ranks
        self._counts = [after - before for before, after in pairwise(bounds)]
        self.total = total
        self.part = (stop - start) / total
        """Of the batch; the parts of all ranks add up to 1."""
        self.rows = slice(start, max(stop, start + 1))

    @property
    def count(self) -> int:
        """Rows that this rank works on."""
        return self.rows.stop - self.rows.start

    def own(self, batch: Tensor) -> Tensor:
        """Return this rank's rows of something that is there of the whole batch."""
        return batch if self.count == self.total else batch[self.rows]

    def all(self, rows: Tensor) -> Tensor:
        """Return the whole batch of what each rank has of its own rows."""
        return self._ranks.gather(rows, self._counts)

    def rng(self, generator: torch.Generator) -> Rng:
        """Return what draws the whole batch's random numbers from a generator, and gives this rank's."""
        return generator if self.count == self.total else OwnRows(generator, self.rows, self.total)

    def backward(self, loss: Tensor, model: nn.Module, told: Tensor | None = None) -> Tensor:
        """Leave the whole batch's gradient in the model; return the whole batch's loss, or `told`, without one.

        `loss` is this rank's addend of it.
        """
        return self._ranks.backward(self.addend(loss), model, told if told is None else self.addend(told))

    def addend(self, loss: Tensor) -> Tensor:
        """Return a loss of own rows; 0 where they are another's."""
        return loss if self.part else 0.0 * loss


@dataclass(frozen=True)
class OwnRows:
    """Draws the random numbers of a whole batch and gives those of own rows: all ranks' generators stay alike."""

    generator: torch.Generator
    rows: slice
    total: int

    def of(self, draw: Callable[[list[int], torch.Generator], Tensor], shape: Sequence[int], axis: int) -> Tensor:
        """Return numbers of a shape that has own rows along one axis."""
        whole = [*shape[:axis], self.total, *shape[axis + 1 :]]
        return draw(whole, self.generator).narrow(axis, self.rows.start, self.rows.stop - self.rows.start)


Rng = torch.Generator | OwnRows
"""Where the random numbers of a batch's rows come from."""


def uniforms(shape: Sequence[int], rng: Rng, device: torch.device, axis: int = 0) -> Tensor:
    """Return numbers in [0, 1); `axis` is that of the batch's rows."""

    def draw(whole: Sequence[int], generator: torch.Generator) -> Tensor:
        return torch.rand(whole, generator=generator, device=device)

    return draw(shape, rng) if isinstance(rng, torch.Generator) else rng.of(draw, shape, axis)


def kept(values: Tensor, share: float, rng: Rng, axis: int = 0) -> Tensor:
    """Return 1 for that share of values, at random, and 0 for the others; `axis` is that of the batch's rows.

    One process draws them in the order in which the values lie in memory, several in that of the axes: to be the
    same, values must lie in the order of their axes.
    """

    def draw(whole: Sequence[int], generator: torch.Generator) -> Tensor:
        return values.new_empty(whole).bernoulli_(share, generator=generator)

    if isinstance(rng, torch.Generator):
        return torch.empty_like(values).bernoulli_(share, generator=rng)
    return rng.of(draw, values.shape, axis)


class Rehearsal(Ranks):
    """Rank 0 of several, without the others."""

    def __init__(self, size: int) -> None:
        self.size = size

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Return own rows in the place of the others'."""
        return rows[torch.arange(sum(counts), device=rows.device) % len(rows)]


class Group(Ranks):
    """One of several processes that torch.distributed connects."""

    def __init__(self, *, gpus: bool, patience: timedelta = PATIENCE) -> None:
        """`gpus` says whether what is exchanged may lie on GPUs. Raises RankError where the others do not come."""
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        self._torch = distributed
        with self._exchange():
            store, self.rank, self.size = next(rendezvous("env://", timeout=patience))
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if gpus else "gloo",
                store=PrefixStore("tensors", store),
                rank=self.rank,
                world_size=self.size,
                timeout=patience,
            )
        self._store = PrefixStore("words", store)
        self._works = 0

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of the ranks' values, the same to the bit on all."""
        with self._exchange():
            self._torch.all_reduce(value)
        return value

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the rows of all ranks."""
        sent = rows.detach().contiguous()
        if sent.dtype == torch.bool:
            return self.gather(sent.byte(), counts).bool()
        most = max(counts)
        if len(sent) < most:
            sent = torch.cat([sent, sent.new_zeros(most - len(sent), *sent.shape[1:])])
        found = [torch.empty_like(sent) for _ in counts]
        with self._exchange():
            self._torch.all_gather(found, sent)
        return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])

    def agreed(self, value: T) -> T:
        """Return rank 0's value."""
        data = torch.tensor(list(json.dumps(value).encode()) if self.first else [], dtype=torch.uint8)
        size = torch.tensor(len(data))
        with self._exchange():
            self._torch.broadcast(size, 0)
            data = data if self.first else torch.empty(int(size), dtype=torch.uint8)
            self._torch.broadcast(data, 0)
        return cast(T, json.loads(bytes(data.tolist())))

    def copy_first(self, *models: nn.Module) -> None:
        """Give every rank the weights of rank 0."""
        with torch.no_grad(), self._exchange():
            for parameter in (parameter for model in models for parameter in model.parameters()):
                self._torch.broadcast(parameter.data, 0)

    def by_first(self, work: Callable[[], T]) -> T:
        """Let rank 0 work; the others wait as long as it gives signs of life."""
        self._works += 1
        done, beat = f"done-{self._works}", f"beat-{self._works}"
        if self.first:
            ended = threading.Event()
            beats = threading.Thread(target=self._beat, args=(beat, ended), daemon=True)
            beats.start()
            try:
                result: T = work()
                self._store.set(done, json.dumps({"result": result}))
            except BaseException:
                self._store.set(done, json.dumps({}))
                raise
            finally:
                ended.set()
                beats.join()
            return result
        with self._exchange():
            heard, missed = 0, 0
            while not self._store.check([done]):
                time.sleep(BEAT / 20)
                now = self._store.add(beat, 0)
                heard, missed = now, (0 if now != heard else missed + 1)
                if missed > 20 * MISSED:
                    raise RankError(f"Rank 0 has given no sign of life for {BEAT * MISSED:.0f} s.")
            told = json.loads(self._store.get(done))
        if "result" not in told:
            raise RankError("Rank 0 has failed.")
        return cast(T, told["result"])

    def _beat(self, key: str, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            with suppress(RuntimeError):
                self._store.add(key, 1)

    def rehearsal(self) -> Ranks:
        """Return ranks that exchange nothing."""
        return Rehearsal(self.size)

    def speaks_of_the_end(self) -> bool:
        """Whether this rank is the first to ask: of all ranks that end in trouble one tells people."""
        try:
            return bool(self._store.add("ended", 1) == 1)
        except RuntimeError:  # who kept the count is gone too
            return self.first

    def leave(self) -> None:
        """End the exchange, all ranks together."""
        with self._exchange():
            self._torch.barrier()
            self._torch.destroy_process_group()

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """Raise RankError where the others are not to be reached."""
        try:
            yield
        except RuntimeError as error:
            if "out of memory" in str(error):
                raise
            # torchrun, which has seen it too, asks the others to end: they do, and say so first.
            with suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition("] ")[2].rstrip(".")
            raise RankError(f"Another rank has ended, or does not answer ({reason[:120]}).") from None


def own_device(name: str) -> torch.device:
    """Return this rank's device: "cpu", or of several GPUs the one with its number. Raises ConfigError."""
    if not machine.started_together():
        return devices.pick(name)
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"Each rank takes a device of its own: give --device cuda or cpu, not {name}.")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    here, many = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.device_count() < many:
        raise ConfigError(
            f"{many} ranks on a machine with {torch.cuda.device_count()} GPUs: start at most one a GPU"
            " (torchrun --nproc-per-node), or give --device cpu."
        )
    device = devices.pick(f"cuda:{here}")
    torch.cuda.set_device(device)
    return device


@contextmanager
def joined(device: str, patience: timedelta = PATIENCE) -> Iterator[Ranks]:
    """Yield the ranks that were started together, or `ALONE`; `device` is as in `own_device`.

    Whatever ends one ends all, and one of them says why: its error passes. The others exit without a word, with 2,
    or with 130 where they were interrupted. Raises RankError where the others do not come.
    """
    if not machine.started_together():
        yield ALONE
        return
    group = Group(gpus=device != "cpu" and torch.cuda.is_available(), patience=patience)
    try:
        yield group
        group.leave()
    except (Exception, KeyboardInterrupt) as error:
        if not group.speaks_of_the_end():
            raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None
        raise
