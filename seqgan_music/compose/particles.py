"""Gaps of a piece filled by a particle filter: candidates weighed by how well what is kept follows from them.

The generator writes left to right; what stands to the right of a gap comes in by importance. With f the notes of a
gap, p(f | left, right) ~ p(f | left) p(right | left, f): N candidates are written after the left, in one batch,
each is weighed by the likelihood of the kept music after it, and one is drawn by weight (sampling importance
resampling, Rubin 1988). A longer gap is written bar by bar. Where few candidates carry the weight they are drawn
anew (systematically; Gordon, Salmond and Smith 1993): after kept music, and after each bar that has a wish of its
own. Not after other bars, where nothing has been learnt yet of what follows the gap.

Exact, as N grows: the distribution of the gaps given all that is kept, under the generator at temperature 1, of ids
in which kept music stands as `encode` writes it. Masks (bar lines, kept notes that sound on) are conditions, not
detours: a candidate's weight has the probability that each mask left. Temperature, top-k, top-p, a key and a range
shape how candidates are written; what is kept is weighed at temperature 1.

Estimates: N is finite (`effective` says how many candidates the choice rested on); and what lies further than
HORIZON ids behind a gap does not count for it, nor do later gaps that lie behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.compose.controls import Controls
from seqgan_music.errors import RunError
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.ragged import Ragged
from seqgan_music.learning.resampling import effective
from seqgan_music.learning.sampling import draw, restrict
from seqgan_music.music.tokenizers import Filling

HORIZON = 384
"""Kept ids after a gap that weigh its candidates: about 16 bars of melody."""
_NONE = float("-inf")


@dataclass(frozen=True)
class Window:
    """A bar to be written, or a part of it, from tick `start` to `end`. Windows that touch make up a gap."""

    start: int
    end: int
    bound: int
    """No new note sounds past it."""
    heard_after: int = -1
    """Something has to sound after it; -1 is no matter."""
    pitches: frozenset[int] | None = None
    weigh: Callable[[int], float] | None = None
    """Log weight of the number of notes that begin in it."""


@dataclass(frozen=True)
class Filled:
    """What was chosen, its new ids, and how many candidates the least certain of its choices rested on."""

    filling: Filling
    ids: tuple[int, ...]
    effective: float


class Particles:
    """N candidates on their way through the windows.

    `pitches` (V,) tells which ids name pitches; `weigh(fillings, until)` adds log weights (N,) before a choice.
    """

    def __init__(
        self,
        generator: Generator,
        controls: Controls,
        rng: torch.Generator,
        *,
        pitches: Tensor,
        candidates: int,
        most_ids: Callable[[Window], int],
        weigh: Callable[[Sequence[Filling], int], Sequence[float]],
        on_token: Callable[[], object],
    ) -> None:
        self._generator, self._controls, self._rng = generator, controls, rng
        self._candidates, self._most_ids, self._weigh, self._on_token = candidates, most_ids, weigh, on_token
        self._device = generator.output.weight.device
        self._pitches = pitches.to(self._device)

    def fill(
        self,
        filling: Filling,
        windows: Sequence[Window],
        end: int,
        *,
        judge: Callable[[Sequence[Filling]], Sequence[float]] | None = None,
    ) -> Filled:
        """Fill the windows of a piece that ends at tick `end`.

        `judge` gives log weights (N,) of all that is written so far, after each window: what they have grown by
        counts. Raises RunError where no candidate is left.
        """
        self._fillings = [filling]
        self._judged = torch.zeros(1, dtype=torch.float64)
        self._ids: list[list[int]] = [[]]
        self._state = Ragged(self._generator, filling.keep(windows[0].start))
        self._log_weights = torch.zeros(1, dtype=torch.float64)
        self._left: list[tuple[Tensor, float] | None] = [None]  # what ended each row's gap, and its log probability
        self._effective = float(self._candidates)
        for index, window in enumerate(windows):
            before = windows[index - 1].end if index else window.start
            if before < window.start:
                self._settle()
                self._keep(window.start, before)
            elif index:
                self._cross(window.start)
            closes = index + 1 == len(windows) or windows[index + 1].start > window.end
            for filling in self._fillings:
                filling.open(
                    window.end,
                    bound=window.bound,
                    pitches=window.pitches,
                    heard_after=window.heard_after,
                    closes=closes,
                    last=index + 1 == len(windows) and window.end == end,
                )
            if len(self._fillings) == 1:
                self._select([0] * self._candidates)
            self._write(window)
            if window.weigh is not None:
                self._log_weights += torch.tensor([window.weigh(self._began(f, window)) for f in self._fillings])
            if judge is not None:
                judged = torch.tensor(list(judge(self._fillings)), dtype=torch.float64)
                self._log_weights += judged - self._judged
                self._judged = judged
            if not closes and (window.weigh is not None or judge is not None):
                self._resample()
        self._settle()
        self._keep(end, windows[-1].end, last=True)
        self._choose(end)
        return Filled(self._fillings[0], tuple(self._ids[0]), self._effective)

    def _write(self, window: Window) -> None:
        """Let every row write until its window is over."""
        ends = [len(ids) + self._most_ids(window) for ids in self._ids]

        def choose(rows: list[int], logits: Tensor) -> list[int]:
            return [
                token if token < 0 or len(self._ids[row]) < ends[row] else self._stop(row)
                for row, token in zip(rows, self._draw(rows, logits), strict=True)
            ]

        self._state.go_on(choose)

    def _stop(self, row: int) -> int:
        """Give up a row that does not come to an end."""
        self._log_weights[row] = _NONE
        return -1

    def _draw(self, rows: list[int], logits: Tensor) -> list[int]:
        """Draw what comes next in each row, from logits (M, V); -1 where its window is over, or a dead end."""
        drawn = [-1] * len(rows)
        going = [place for place, row in enumerate(rows) if not self._fillings[row].done]
        if not going:
            return drawn
        self._on_token()
        rows = [rows[place] for place in going]
        controls = self._controls
        freely = log_p = (logits[going] / controls.temperature).log_softmax(1)  # (M, V)
        masks = [self._fillings[row].masks() for row in rows]
        kinds = [torch.from_numpy(np.stack(kind)).to(self._device) for kind in zip(*masks, strict=True)]
        stay, leave, wanted = kinds  # (M, V) each
        allowed = wanted | leave
        log_p = self._narrowed(log_p, stay, wanted)
        given = torch.zeros(len(rows), dtype=torch.float64)
        for place, row in enumerate(rows):
            left = self._left[row]
            if left is not None:  # it is known already that one of these comes next
                allowed[place] &= left[0]
                given[place] = float(freely[place][left[0]].logsumexp(0))
                self._left[row] = None
        masked = log_p.masked_fill(~allowed, _NONE)
        mass = masked.logsumexp(1).double().cpu()
        self._log_weights[rows] += mass - given
        q = restrict(masked, cutoff=controls.cutoff or 0.0, top_k=controls.top_k, top_p=controls.top_p).softmax(1)
        alive = allowed.any(1)
        q = torch.where(alive[:, None], q, 1.0)  # what is drawn at a dead end is not taken
        uniforms = torch.rand(len(rows), generator=self._rng, device=self._device)
        tokens = draw(F.pad(q, (0, -q.shape[1] % Stepper.BLOCK)), uniforms).tolist()
        leave &= allowed
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if not alive[place]:
                continue
            self._fillings[row].advance(token)
            if leave[place, token]:
                left_q = float((q[place] * leave[place]).sum().log())
                self._left[row] = leave[place], left_q + float(mass[place])
            else:
                self._ids[row].append(token)
                drawn[going[place]] = token
        return drawn

    def _narrowed(self, log_p: Tensor, stay: Tensor, wanted: Tensor) -> Tensor:
        """Return log p (M, V) where the chance of some pitch is now that of a wanted one.

        To mask pitches alone would leave more to all other ids: music in a narrow range would be one of rests.
        """
        if torch.equal(stay, wanted):
            return log_p
        some = log_p.masked_fill(~(stay & self._pitches), _NONE).logsumexp(1, keepdim=True)
        inside = wanted & self._pitches
        left = log_p.masked_fill(~inside, _NONE).logsumexp(1, keepdim=True)
        return torch.where(inside, log_p + (some - left), log_p)

    def _cross(self, start: int) -> None:
        """Go from one window to the next of the same gap; only a change of meter is written between them."""
        forced = [filling.keep(start) for filling in self._fillings]
        if any(forced):
            self._settle()
            self._force(forced)

    def _settle(self) -> None:
        """What ended a gap was drawn and is not written: take its probability out of the weight."""
        for row, left in enumerate(self._left):
            if left is not None:
                self._log_weights[row] -= left[1]
                self._left[row] = None

    def _keep(self, until: int, begin: int, *, last: bool = False) -> None:
        """Weigh all rows by the kept music from tick `begin` to `until`; past the horizon go on with one."""
        rows = [filling.keep(until, last=last) for filling in self._fillings]
        self._force([ids[:HORIZON] for ids in rows])
        if any(len(ids) > HORIZON for ids in rows) and not last:
            rest = [ids[HORIZON:] for ids in rows]
            chosen = self._choose(begin)
            self._force([rest[chosen]], weigh=False)
        elif not last:
            self._resample()

    def _force(self, ids: Sequence[Sequence[int]], *, weigh: bool = True) -> None:
        """Feed each row its ids."""
        upcoming = [iter(own) for own in ids]

        def choose(rows: list[int], logits: Tensor) -> list[int]:
            tokens = [next(upcoming[row], -1) for row in rows]
            going = [place for place, token in enumerate(tokens) if token >= 0]
            if weigh and going:
                of = torch.tensor([tokens[place] for place in going], device=self._device)
                log_p = logits[going].log_softmax(1).gather(1, of[:, None])[:, 0]
                self._log_weights[[rows[place] for place in going]] += log_p.double().cpu()
            self._on_token()
            return tokens

        self._state.go_on(choose)

    def _resample(self) -> None:
        """Draw the rows anew by weight, evenly, where fewer than half of them carry it."""
        self._check()
        count = len(self._fillings)
        share = effective(self._log_weights)
        self._effective = min(self._effective, share * count)
        if count == 1 or share >= 0.5:
            return
        even = (torch.arange(count) + torch.rand((), generator=self._rng, device=self._device).cpu()) / count
        ends = self._log_weights.softmax(0).cumsum(0)
        self._select(torch.searchsorted(ends, even.double() * ends[-1], right=True).clamp(max=count - 1).tolist())

    def _choose(self, until: int) -> int:
        """Go on with one row, drawn by weight; return which."""
        if len(self._fillings) > 1:
            self._check()
            self._log_weights += torch.tensor(list(self._weigh(self._fillings, until)), dtype=torch.float64)
        self._check()
        self._effective = min(self._effective, effective(self._log_weights) * len(self._fillings))
        uniform = torch.rand((), generator=self._rng, device=self._device).cpu().double()
        ends = self._log_weights.softmax(0).cumsum(0)
        chosen = min(int(torch.searchsorted(ends, uniform * ends[-1], right=True)), len(ends) - 1)
        self._select([chosen])
        return chosen

    def _select(self, rows: Sequence[int]) -> None:
        """Go on with these rows, their weights made equal; at the start of a gap they are so anyway."""
        self._state.select(rows)
        self._fillings = [self._fillings[row].copy() for row in rows]
        self._ids = [list(self._ids[row]) for row in rows]
        self._left = [self._left[row] for row in rows]
        self._judged = self._judged[list(rows)]
        self._log_weights = torch.zeros(len(rows), dtype=torch.float64)

    def _check(self) -> None:
        if not bool((self._log_weights > _NONE).any()):
            raise RunError(
                f"None of {len(self._fillings)} candidates fits: try another --seed, a wider --range or no --key."
            )

    @staticmethod
    def _began(filling: Filling, window: Window) -> int:
        return sum(window.start <= note.onset < window.end for note in filling.new_notes())
