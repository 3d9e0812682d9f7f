"""The LSTM generator G (SeqGAN section 3.3), and a frozen copy of it laid out for fast sampling.

Beyond the paper, it may look back by attention and be told the bar: see `attention` and `clock`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.attention import Attention, Memory, Past, StepAttention
from seqgan_music.learning.clock import Clock, Reading, Time, TimeEmbedding
from seqgan_music.learning.data import IGNORED
from seqgan_music.learning.devices import shared_dice_kept
from seqgan_music.learning.likelihood import SAFE_LOGIT, nll, weighted_nll
from seqgan_music.learning.ranks import Rng, kept


@dataclass
class Sums:
    """All tokens so far of B sequences, embedded and added up."""

    total: Tensor
    """(B, E)."""
    count: Tensor
    """Tokens so far, a scalar: a number would be another recording for each (see `graphs`)."""


@dataclass
class State:
    """What G goes on from after some tokens of B sequences."""

    lstm: tuple[Tensor, Tensor]
    """h and c, each (layers, B, H)."""
    past: Past | None
    """What its attention looks back on, where it has one."""
    reading: Reading | None = None
    """What its clock shows, where it has one."""
    sums: Sums | None = None
    """What its summary is the mean of, where it has one."""

    def detached(self) -> State:
        """Return it cut off from its gradient."""
        h, c = self.lstm
        return State(
            (h.detach(), c.detach()),
            self.past and self.past.detached(),
            self.reading,
            self.sums and Sums(self.sums.total.detach(), self.sums.count),
        )


def dropout(values: Tensor, share: float, rng: Rng | None, axis: int = 0) -> Tensor:
    """Zero a share of the values and scale up the rest; the identity without a generator.

    `axis` is that of the sequences.
    """
    if rng is None or share == 0.0:
        return values
    keep = kept(values, 1.0 - share, rng, axis)
    return values * keep.mul_(1.0 / (1.0 - share))


class Generator(nn.Module):
    """G: p(y_t | y_1..t-1) by an LSTM over embeddings.

    The start id may be V itself (music): it has an embedding but no output, so it is never sampled. Then V + 1
    begins sequences that are not as they stand in the data but shifted.
    """

    @shared_dice_kept()
    def __init__(
        self,
        vocabulary_size: int,
        start_id: int,
        config: GeneratorConfig,
        effects: npt.NDArray[np.integer] | None = None,
    ) -> None:
        """`effects` (2, V) is what a `TokenSet` says of its ids; the clock alone needs it."""
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.start_id = start_id
        self.config = config
        ids = vocabulary_size + 2 if start_id == vocabulary_size else vocabulary_size
        # Not nn.Embedding(...): drawing its first weights on the meta device, where checkpoints are opened, makes
        # torch import its compiler (1.5 s of a 3 s `sample`). `initialise` draws them.
        self.embedding = nn.Embedding.from_pretrained(torch.empty(ids, config.embedding), freeze=False)
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True)
        self.clock: Clock | None = None
        if config.clock:
            self.clock = Clock(ids, effects)
            self.time_embedding = TimeEmbedding(config.embedding, returns=config.returns, voices=config.voices)
        if config.summary:
            self.summary = nn.Embedding.from_pretrained(torch.empty(ids, config.embedding), freeze=False)
        self.attention: Attention | None = None
        if config.heads:
            self.attention = Attention(
                config.hidden,
                config.embedding,
                config.heads,
                config.head_size,
                config.memory,
                clock=config.clock,
                returns=config.returns,
                voices=config.voices,
            )
        self.output = nn.Linear(config.hidden + config.heads * config.head_size, vocabulary_size)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights: N(0, init_std) where the config sets it (0.1 in the paper's code), else torch's way."""
        std = self.config.init_std
        bound = self.config.hidden**-0.5
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if std > 0:
                    parameter.normal_(0.0, std, generator=rng)
                elif name.endswith("lag_bias") or name.startswith("time"):
                    parameter.zero_()
                elif name.startswith(("embedding", "summary")):
                    parameter.normal_(0.0, 1.0, generator=rng)
                else:
                    parameter.uniform_(-bound, bound, generator=rng)

    def copied(self) -> Generator:
        """Return a copy that shares nothing."""
        other = copy.deepcopy(self)
        other.lstm.flatten_parameters()  # a GPU wants them in one piece, which a copy does not leave
        return other

    def forward(
        self, inputs: Tensor, state: State | None = None, dropout_rng: Rng | None = None
    ) -> tuple[Tensor, State]:
        """Return logits (B, T, V) of the token after each input (B, T), and the state after the last."""
        hidden, state = self.hidden(inputs, state, dropout_rng)
        return self.output(hidden), state  # (B, T, V)

    def hidden(
        self,
        inputs: Tensor,
        state: State | None = None,
        dropout_rng: Rng | None = None,
        time: Time | None = None,
    ) -> tuple[Tensor, State]:
        """Return what the output layer is fed for inputs (B, T), and the state after the last.

        That is (B, T, H), or (B, T, H + heads * D) with attention. Who knows what the clock shows after each input
        already may say so: the state then goes on without a reading.
        """
        share = self.config.dropout
        embedded = dropout(self.embedding(inputs), share, dropout_rng)  # (B, T, E)
        fed, reading = embedded, None
        if self.clock is not None:
            if time is None:
                before = state.reading if state is not None else None
                time, reading = self.clock.follow(inputs, before or self.clock.start(len(inputs)))
            fed = embedded + self.time_embedding(time)
        sums = None
        if self.config.summary:
            before_sums = state.sums if state is not None else None
            mean, sums = self._means(inputs, before_sums)
            fed = fed + dropout(mean, share, dropout_rng)
        hidden, lstm = self.lstm(fed, state and state.lstm)  # (B, T, H)
        # An LSTM's outputs lie in memory step by step: so their mask is drawn.
        hidden = dropout(hidden.transpose(0, 1), share, dropout_rng, axis=1).transpose(0, 1)
        if self.attention is None:
            return hidden, State(lstm, None, reading, sums)
        context, past = self.attention(hidden, embedded, state and state.past, time)
        return torch.cat([hidden, dropout(context, share, dropout_rng)], 2), State(lstm, past, reading, sums)

    def _means(self, inputs: Tensor, before: Sums | None) -> tuple[Tensor, Sums]:
        """Return the mean (B, T, E) of the summary's embedding of all tokens up to each, and the sums after."""
        total = self.summary(inputs).cumsum(1)  # (B, T, E)
        count = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
        if before is not None:
            total = total + before.total[:, None]
            count = count + before.count
        return total / count[:, None], Sums(total[:, -1], count[-1])

    def inputs_for(self, ids: Tensor, shifted: Tensor | None = None) -> Tensor:
        """Return what G is fed to predict ids (B, T), `shifted` (B,) or not: a start id, then all but the last."""
        start = torch.full_like(ids[:, :1], self.start_id)
        if shifted is not None and self.start_id == self.vocabulary_size:
            start += shifted[:, None]
        return torch.cat([start, ids[:, :-1]], dim=1)  # (B, T)

    def log_probs(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return log G(y_t | y_1..t-1) for each token of `ids` (B, T), as (B, T), in nats."""
        hidden, _ = self.hidden(self.inputs_for(ids), dropout_rng=dropout_rng)
        losses = nll(hidden.flatten(0, 1), self.output.weight, self.output.bias, ids.flatten())
        return -losses.view_as(ids)  # (B, T)

    def loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        state: State | None = None,
        dropout_rng: Rng | None = None,
        time: Time | None = None,
        count: int | None = None,
    ) -> tuple[Tensor, State]:
        """Return the mean NLL, nats a token, of the targets (B, T) that are not IGNORED, and the state after them.

        Inputs (B, T) are the tokens before the targets; `time` as in `hidden`. Without any target the loss is 0.
        With a `count` it is their sum divided by that: their part of the mean over a larger batch.
        """
        hidden, state = self.hidden(inputs, state, dropout_rng, time)
        flat = targets.flatten()
        counted = (flat != IGNORED).to(hidden.dtype)
        weights = counted / (counted.sum().clamp(min=1) if count is None else max(count, 1))
        loss = weighted_nll(hidden.flatten(0, 1), self.output.weight, self.output.bias, flat.clamp(min=0), weights)
        return loss, state


@dataclass
class StepState:
    """State of N sequences inside a `Stepper`, all of them after as many tokens."""

    h: list[Tensor]
    """(N, H) of each layer."""
    c: list[Tensor]
    """(N, H) of each layer."""
    memory: Memory | None
    """What attention looks back on, where there is one."""
    clock: Reading | None
    """What the clock shows, where there is one."""
    summed: Tensor | None
    """(N, E) what the summary is the mean of, where there is one."""
    steps: npt.NDArray[np.int64]
    """Tokens fed so far; an array without axes, so that a view shares it."""

    def rows(self, index: Tensor) -> StepState:
        """Return a copy of the given rows."""
        return self._of([tensor[index] for tensor in self._tensors()], self.steps.copy())

    @staticmethod
    def joined(states: Sequence[StepState]) -> StepState:
        """Return a copy of the rows of several states, all of them after as many tokens."""
        tensors = [torch.cat(same) for same in zip(*(state._tensors() for state in states), strict=True)]
        return states[0]._of(tensors, states[0].steps.copy())

    def first(self, count: int) -> StepState:
        """Return a view of the first `count` rows: what is done to it is done here."""
        return self._of([tensor[:count] for tensor in self._tensors()], self.steps)

    def write(self, start: int, other: StepState) -> None:
        """Overwrite the rows from `start` on by those of `other`, which is after as many tokens."""
        self.steps[...] = other.steps
        for mine, theirs in zip(self._tensors(), other._tensors(), strict=True):
            mine[start : start + len(theirs)] = theirs

    def put(self, index: Tensor, other: StepState) -> None:
        """Overwrite the rows `index` by those of `other`, which is after as many tokens."""
        self.steps[...] = other.steps
        for mine, theirs in zip(self._tensors(), other._tensors(), strict=True):
            mine[index] = theirs

    def _tensors(self) -> list[Tensor]:
        clock = self.clock.tensors() if self.clock else []
        summed = [] if self.summed is None else [self.summed]
        return [*self.h, *self.c, *clock, *summed, *(self.memory.tensors() if self.memory else [])]

    def _of(self, tensors: list[Tensor], steps: npt.NDArray[np.int64]) -> StepState:
        rest = iter(tensors)
        h, c = [next(rest) for _ in self.h], [next(rest) for _ in self.c]
        clock = Reading(*(next(rest) for _ in self.clock.tensors())) if self.clock else None
        summed = None if self.summed is None else next(rest)
        memory = Memory(*rest) if self.memory else None
        return StepState(h, c, memory, clock, summed, steps)


class Stepper:
    """A frozen copy of a generator's weights, laid out for sampling one step of many sequences at a time.

    - The input half of the first layer's gates is a table over the vocabulary: a look-up, no product.
    - Gates are ordered i, f, o, g so that one sigmoid serves three of them.
    - The vocabulary is padded to whole blocks whose padding has probability 0 (see `sampling.draw`).
    - `dtype` is that of the matrix products; states and probabilities are float32.
    - Ids less likely than `cutoff` are not drawn (see `sampling.restrict`).
    """

    BLOCK = 64

    ROWS: ClassVar[dict[str, int]] = {"cpu": 256, "cuda": 1 << 14}
    """On a CPU as many as stay in cache between the passes over their logits, on a GPU as many as fill it."""

    @torch.no_grad()
    def __init__(self, generator: Generator, dtype: torch.dtype | None = None, cutoff: float = 0.0) -> None:
        self.cutoff = cutoff
        self.vocabulary_size = generator.vocabulary_size
        self.start_id = generator.start_id
        self.layers = generator.config.layers
        self.hidden = generator.config.hidden
        self.device = generator.output.weight.device
        self.dtype = dtype or matmul_dtype(self.device)
        self._exact = self.dtype == torch.float32
        lstm = {name: parameter.detach() for name, parameter in generator.lstm.named_parameters()}
        self._recurrent: list[Tensor] = []  # (H, 4H) each layer
        self._inputs: list[Tensor] = []  # (H, 4H) each layer above the first
        self._biases: list[Tensor] = []
        for layer in range(self.layers):
            bias = _reorder(lstm[f"bias_ih_l{layer}"] + lstm[f"bias_hh_l{layer}"])
            weight = _reorder(lstm[f"weight_ih_l{layer}"])
            if layer == 0:
                self._table = F.linear(generator.embedding.weight, weight, bias)  # (V + 1, 4H)
            else:
                self._inputs.append(weight.t().contiguous().to(self.dtype))
                self._biases.append(bias)
            self._recurrent.append(_reorder(lstm[f"weight_hh_l{layer}"]).t().contiguous().to(self.dtype))
        attention = generator.attention
        self._attention = None if attention is None else StepAttention(attention, generator.embedding.weight)
        first = _reorder(lstm["weight_ih_l0"])  # (4H, E)
        self._clock = generator.clock
        if self._clock is not None:
            self._time_embedding = generator.time_embedding
            self._times = F.linear(generator.time_embedding.table.weight, first)  # (rows, 4H)
        self._summary: Tensor | None = None  # (V + 2, E)
        if generator.config.summary:
            self._summary = generator.summary.weight.detach()
            self._from_summary = first.t().contiguous()  # (E, 4H)
        padding = -self.vocabulary_size % self.BLOCK
        weight, bias = generator.output.weight.detach(), generator.output.bias.detach()
        self._output = F.pad(weight, (0, 0, 0, padding)).to(self.dtype)  # (V + padding, H)
        self._output_bias = F.pad(bias, (0, padding), value=float("-inf"))
        # In float32 the bias is one more column of the product, which is cheaper than a pass over the logits.
        self._with_bias = torch.cat([self._output, self._output_bias[:, None]], 1).t().contiguous()
        self.rows = self.ROWS[self.device.type]
        """Sequences whose logits are worked on at a time."""
        self._scratch: Tensor | None = None  # (rows, V + padding): fresh memory for each block costs as much as it
        largest = weight[:, : self.hidden].abs().sum(1) + bias.abs()
        if self._attention is not None:
            largest += weight[:, self.hidden :].abs().sum(1) * self._attention.largest
        # On a GPU to ask would cost more than the shift.
        self.safe = self.device.type == "cpu" and bool(largest.max() < SAFE_LOGIT)
        """Whether no logit can be too large for exp() without subtracting the maximum: |h| < 1 bounds them."""

    def start(self, count: int, length: int) -> StepState:
        """Return the state of `count` sequences before their first token, to be fed at most `length` of them."""
        zeros = [torch.zeros(count, self.hidden, device=self.device) for _ in range(2 * self.layers)]
        memory = None if self._attention is None else self._attention.start(count, length)
        clock = None if self._clock is None else self._clock.start(count)
        summed = None
        if self._summary is not None:
            summed = torch.zeros(count, self._summary.shape[1], device=self.device)
        steps = np.zeros((), dtype=np.int64)
        return StepState(zeros[: self.layers], zeros[self.layers :], memory, clock, summed, steps)

    @torch.no_grad()
    def advance(self, tokens: Tensor, state: StepState) -> None:
        """Feed one token (N,) to each sequence; `state` is changed in place."""
        below: Tensor | None = None
        time: Time | None = None
        if self._clock is not None and state.clock is not None:
            now = self._clock.advance(tokens, state.clock)
            for mine, new in zip(state.clock.tensors(), now.tensors(), strict=True):
                mine.copy_(new)
            time = now.time
        for layer in range(self.layers):
            h, c = state.h[layer], state.c[layer]
            gates = self._table[tokens] if below is None else F.linear(below, self._inputs[layer - 1].t()).float()
            if layer == 0 and time is not None:
                for row in self._time_embedding.rows(time):
                    gates += self._times[row]
            if layer == 0 and self._summary is not None and state.summed is not None:
                state.summed += self._summary[tokens]
                gates.addmm_(state.summed, self._from_summary, alpha=1.0 / (int(state.steps) + 1))
            if below is not None:
                gates += self._biases[layer - 1]
            if self._exact:
                gates.addmm_(h, self._recurrent[layer])  # (N, 4H)
            else:
                gates += (h.to(self.dtype) @ self._recurrent[layer]).float()
            size = self.hidden
            ifo = gates[:, : 3 * size].sigmoid_()
            candidate = gates[:, 3 * size :].tanh_()
            c.mul_(ifo[:, size : 2 * size]).addcmul_(ifo[:, :size], candidate)
            torch.tanh(c, out=h)
            h.mul_(ifo[:, 2 * size :])
            below = h.to(self.dtype)
        if self._attention is not None and state.memory is not None:
            self._attention.advance(tokens, state.h[-1], state.memory, int(state.steps), time)
        state.steps += 1

    @torch.no_grad()
    def logits(self, state: StepState, rows: slice = slice(None)) -> Tensor:
        """Return float32 logits (N, V + padding) of the next token; the padding's are -inf."""
        if self._exact:
            return self._outputs(state, rows, ones=True) @ self._with_bias
        return F.linear(self._outputs(state, rows).to(self.dtype), self._output).float() + self._output_bias

    @torch.no_grad()
    def weights(self, state: StepState, rows: slice) -> Tensor:
        """Return exp(logits), up to a factor a row, of at most `self.rows` sequences; the next call overwrites.

        What is below the cut-off weighs nothing.
        """
        if self._exact:
            if self._scratch is None:
                self._scratch = self._with_bias.new_empty(self.rows, self._with_bias.shape[1])
            outputs = self._outputs(state, rows, ones=True)
            logits = torch.mm(outputs, self._with_bias, out=self._scratch[: len(outputs)])
        else:
            logits = self.logits(state, rows)
        if not self.safe:
            logits -= logits.amax(1, keepdim=True)
        weights = logits.exp_()
        if self.cutoff:
            least = torch.minimum(self.cutoff * weights.sum(1, keepdim=True), weights.amax(1, keepdim=True))
            weights.masked_fill_(weights < least, 0.0)
        return weights

    def _outputs(self, state: StepState, rows: slice, *, ones: bool = False) -> Tensor:
        """Return what the output layer is fed (N, H + heads * D), and a column of ones."""
        parts = [state.h[-1][rows]]
        if state.memory is not None:
            parts.append(state.memory.context[rows])
        if ones:
            parts.append(parts[0].new_ones(len(parts[0]), 1))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def matmul_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the machine multiplies it faster (AMX on CPUs, any recent GPU), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return torch.bfloat16 if amx is not None and amx() else torch.float32


def _reorder(weight: Tensor) -> Tensor:
    """Put the gates of a torch LSTM (i, f, g, o along axis 0) in the order i, f, o, g."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, o, g])
