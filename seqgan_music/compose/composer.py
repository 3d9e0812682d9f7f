"""A trained run and a few controls -> pieces: length, key, tempo, instrument, a primer to continue.

Each piece has a seed of its own, `seed`, `seed + 1`, ..., and is sampled alone: any of them can be made again
without the others, to the byte. The tokenizer's grammar keeps samples in its language and brings them to exactly
the bars asked for, far past the length that the generator was trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music import config
from seqgan_music.compose import runs
from seqgan_music.compose.bars import bars_of
from seqgan_music.compose.composition import Composition
from seqgan_music.compose.controls import AS_IT_COMES, DEFAULT_BARS, Controls, check_seeds
from seqgan_music.compose.primers import Primer, as_loud, new_notes, read_primer, without_primer
from seqgan_music.compose.rewriting import (
    CANDIDATES,
    Rewriting,
    Score,
    changed_share,
    check_candidates,
    check_controls,
    kept_bars,
    varied,
)
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.evaluate import result
from seqgan_music.music import vocabulary
from seqgan_music.music.drafting import Draft
from seqgan_music.music.notes import DEFAULT_QPM, Piece, Tempo
from seqgan_music.music.tokenizers import Filling, Tokenizer

if TYPE_CHECKING:
    import torch

    from seqgan_music.compose.particles import Particles, Window
    from seqgan_music.learning.generator import Generator
    from seqgan_music.music.metrics.originality import Index

_TOKENS_A_BEAT = 400
"""More than this means a generator that will not go on; no music has so many notes."""
_TRIES = 8
_REFUSALS_A_BEAT = 4
"""Notes that are taken back for being copied; more means that nearly all a generator knows is copies."""


class Composer:
    """A generator and its tokenizer, ready to write any number of pieces.

    `load` is called once, when the first piece is asked for, so that bad input is told before torch is imported.
    `qpm`, `program` and `cutoff` are what pieces get that ask for nothing else; `reading` is how primers are read;
    `chosen` says which checkpoint it is.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        load: Callable[[], Generator],
        *,
        qpm: float = DEFAULT_QPM,
        program: int = 0,
        reading: ReadingConfig | None = None,
        chosen: result.Chosen = result.BEST,
        cutoff: float = 0.0,
        load_training: Callable[[], Index] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.chosen = chosen
        self.qpm, self.program = qpm, program
        self.cutoff = cutoff
        self.reading = reading or ReadingConfig()
        self._load, self._load_training = load, load_training

    @classmethod
    def open(cls, run: Path, *, progress: bool = False) -> Composer:
        """Return the composer of a run folder, from the checkpoint that its evaluation chose, else the best.

        With `progress` there is a bar on stderr while much training music is made ready for `max_copy`. Raises
        RunError, ConfigError.
        """
        if not run.is_dir():
            raise RunError(f"There is no run {run}. Train one first: seqgan-music train DIR.")
        if not (run / "vocabulary.json").exists():
            raise RunError(f"{run} is not a run: it has no vocabulary.json. Train one: seqgan-music train DIR.")
        tokenizer = vocabulary.load(run / "vocabulary.json")
        own = config.of_run_if_any(run)
        chosen = result.chosen(run)
        load = partial(runs.load_generator, run, tokenizer, chosen.checkpoint)
        training = partial(runs.load_training, run, tokenizer, progress=progress)
        return cls(
            tokenizer,
            load,
            reading=own.corpus.reading,
            chosen=chosen,
            cutoff=own.sampling.cutoff,
            load_training=training,
            **runs.typical(run),
        )

    def read_primer(self, path: Path, *, track: str | None = None) -> Primer:
        """Read music to continue or to change; `track` as in `ReadingConfig`, the run's unless given.

        Raises InputError where nothing can be continued. See `primers.read_primer`.
        """
        reading = self.reading if track is None else replace(self.reading, track=track)
        return read_primer(path, self.tokenizer, reading)

    def compose(
        self,
        controls: Controls = AS_IT_COMES,
        *,
        seed: int,
        count: int = 1,
        primer: Primer | None = None,
        score: Score | None = None,
        looks_back: int | None = None,
        candidates: int = CANDIDATES,
        on_token: Callable[[], object] = lambda: None,
    ) -> list[Composition]:
        """Write `count` pieces; piece i is a function of `seed + i`, the controls and the primer alone.

        Bars after a primer are counted from the end of its last full bar, and where it ends inside a bar the new
        music goes on there. With `score`, log weights of pieces so far (the critic's, say), each piece is what is
        left of `candidates` that are written side by side: see `side_by_side`, and `barwise` where bars have wishes
        of their own. Where it needs no more of a piece than what sounds in its last `looks_back` bars, the rest may
        be left out, so that long pieces take no longer a bar. `on_token` is called after each token, for progress;
        what it raises ends the work and comes through, and the composer can be used again. Raises ConfigError for
        values that cannot be and RunError for a run that cannot be used.
        """
        check_seeds(seed, count)
        check_candidates(candidates)
        self._check_program(controls)
        controls = self._resolved(controls)
        tempo = controls.tempo or self._tempo(primer)
        program = controls.program
        if program is None:
            program = primer.piece.program if primer else self.program
        ticks_per_beat = self.tokenizer.ticks_per_beat
        length: dict[str, Any] = {}
        bars = controls.bars or DEFAULT_BARS
        if controls.seconds is not None:
            new_ticks = max(1, round(controls.seconds * tempo / 60 * ticks_per_beat))
            length["ticks"] = new_ticks + (primer.piece.end if primer else 0)
            beats = -(-new_ticks // ticks_per_beat)
        else:
            length["bars"] = bars + (primer.full_bars if primer else 0)
            length["upbeat"] = controls.bars is None and primer is None  # who asks for a number gets that number
            beats = 8 * bars

        import torch

        from seqgan_music.compose import barwise, side_by_side

        prefix = list(primer.ids) if primer else []
        copies = partial(self._holds_copy, controls.max_copy, primer) if controls.max_copy is not None else None

        def in_bars(rng: torch.Generator) -> tuple[list[int], dict[str, Any]]:
            most = controls.max_copy
            weigh = _alike if most is None else partial(self._weigh_copies, most)
            particles = self._particles(controls, rng, candidates, weigh, on_token)
            ids, filled = barwise.write(
                particles,
                self.generator,
                self.tokenizer,
                controls,
                rng,
                prefix=prefix,
                begin=primer.piece.end if primer else 0,
                bars=bars,
                ticks=length.get("ticks"),
                score=score,
            )
            return ids, {"effective": filled.effective}

        def judged(rng: torch.Generator) -> tuple[list[int], dict[str, Any]]:
            assert score is not None
            ids, finished = side_by_side.write(
                self.generator,
                self.tokenizer,
                controls,
                rng,
                prefix=prefix,
                length=length,
                most=_TOKENS_A_BEAT * (beats + 1),
                candidates=candidates,
                score=score,
                looks_back=looks_back,
                holds_copy=copies,
                on_token=on_token,
            )
            return ids, {"finished": finished}

        def freely(rng: torch.Generator) -> tuple[list[int], dict[str, Any]]:
            draft = Draft(
                self.tokenizer,
                prefix,
                length,
                controls.pitches(1),
                on_token,
                copies=copies,
                most_refusals=_REFUSALS_A_BEAT * beats,
            )
            self._draw(draft, prefix, _TOKENS_A_BEAT * (beats + 1), controls, rng)
            return draft.ids, {"finished": draft.whole, "refusals": draft.refusals}

        def write(own_seed: int) -> Composition:
            rng = torch.Generator(self.generator.output.weight.device).manual_seed(own_seed)
            way = in_bars if controls.by_bar else freely if score is None else judged
            for _ in range(_TRIES):
                ids, told = way(rng)
                decoded = self.tokenizer.decode(prefix + ids)
                piece = decoded.piece
                if primer is not None and not self._holds_loudness and self.tokenizer.qpm is None:
                    piece = as_loud(piece, primer)
                if primer is not None and not controls.keep_primer:
                    piece = without_primer(piece, primer)
                if piece.notes:
                    piece = replace(piece, tempos=(Tempo(0, tempo),), program=program)
                    new = new_notes(piece, primer) if controls.keep_primer else piece
                    copied = self.training.longest_run(new) if copies else None
                    if way is judged and copied is not None and copied.notes > (controls.max_copy or 0):
                        way = freely  # which takes notes back; here all that was written side by side copies
                        continue
                    return Composition(piece, tuple(ids), own_seed, decoded.dropped, copied=copied, **told)
            raise RunError("The run writes nothing but rests. Train longer, or sample at a higher temperature.")

        return [write(seed + index) for index in range(count)]

    def infill(
        self,
        primer: Primer,
        *,
        keep: Collection[int],
        seed: int,
        controls: Controls = AS_IT_COMES,
        candidates: int = CANDIDATES,
        score: Score | None = None,
        on_token: Callable[[], object] = lambda: None,
    ) -> Composition:
        """Write all bars of a piece anew but those in `keep` (counted from 1), so that they lead to what is kept.

        Of `candidates` one is drawn by how well what is kept follows from it: see `particles`, and `rewriting` for
        what "kept" means for notes across bar lines. `score` may add log weights of its own to whole candidate
        pieces before the choice, the critic's say. A function of the arguments alone. Raises ConfigError for bars
        and controls that cannot be, RunError where no candidate fits.
        """
        check_seeds(seed, 1)
        check_candidates(candidates)
        check_controls(controls)
        self._check_program(controls)
        controls = self._resolved(controls)
        count = len(bars_of(primer.piece))
        kept = frozenset(kept_bars(count, keep, name=primer.piece.name or "the piece"))
        rewriting = Rewriting(primer, kept, self._holds_loudness, self.tokenizer.qpm is None)
        filling = self.tokenizer.filling(primer.ids)
        ids: tuple[int, ...] = ()
        told: dict[str, Any] = {}
        windows = rewriting.windows(controls)
        if windows:
            import torch

            rng = torch.Generator(self.generator.output.weight.device).manual_seed(seed)

            def weigh(fillings: Sequence[Filling], until: int) -> list[float]:
                weights = _alike(fillings, until)
                if controls.max_copy is not None:
                    weights = self._weigh_copies(controls.max_copy, fillings, until)
                if score is not None:
                    pieces = [rewriting.piece(filling, until) for filling in fillings]
                    weights = [one + float(other) for one, other in zip(weights, score(pieces), strict=True)]
                return weights

            particles = self._particles(controls, rng, candidates, weigh, on_token)
            filled = particles.fill(filling, windows, rewriting.bars[-1].end)
            filling, ids, told = filled.filling, filled.ids, {"effective": filled.effective}
        piece = rewriting.piece(filling, rewriting.bars[-1].end)
        if controls.tempo is not None:
            piece = replace(piece, tempos=(Tempo(0, controls.tempo),))
        if controls.program is not None:
            piece = replace(piece, program=controls.program)
        if controls.max_copy is not None:
            told["copied"] = self.training.longest_run(replace(piece, notes=tuple(filling.new_notes())))
        return Composition(piece, ids, seed, Counter(), changed=changed_share(primer.piece, piece), **told)

    def rewrite(
        self,
        piece: Piece,
        *,
        bars: Collection[int],
        seed: int,
        controls: Controls = AS_IT_COMES,
        candidates: int = CANDIDATES,
        score: Score | None = None,
        on_token: Callable[[], object] = lambda: None,
    ) -> Composition:
        """Write these bars of a piece (counted from 1) anew and keep the rest. See `infill`."""
        primer = Primer.of(piece, self.tokenizer)
        if primer is None:
            raise ConfigError("The piece has no notes that this run's tokenizer can hold.")
        count = len(bars_of(primer.piece))
        keep = set(range(1, count + 1)) - kept_bars(count, bars, name=piece.name or "the piece")
        return self.infill(
            primer,
            keep=keep,
            seed=seed,
            controls=controls,
            candidates=candidates,
            score=score,
            on_token=on_token,
        )

    def vary(
        self,
        primer: Primer,
        *,
        distance: float,
        seed: int,
        controls: Controls = AS_IT_COMES,
        candidates: int = CANDIDATES,
        on_token: Callable[[], object] = lambda: None,
    ) -> Composition:
        """Write a variation: the share `distance` of the bars (0 to 1, the nearest there is) anew, the rest kept.

        The seed puts the bars in an order, of which the first are written anew: those of a smaller distance are
        among those of a larger one. 0 is the piece itself. `Composition.changed` is the share of notes that differ.
        """
        if not 0 <= distance <= 1:
            raise ConfigError(f"distance must be 0 to 1, not {distance}.")
        check_seeds(seed, 1)
        keep = varied(len(bars_of(primer.piece)), distance, seed)
        return self.infill(
            primer, keep=keep, seed=seed, controls=controls, candidates=candidates, on_token=on_token
        )

    @cached_property
    def generator(self) -> Generator:
        """The trained generator."""
        return self._load()

    @cached_property
    def training(self) -> Index:
        """The music that the run learnt from, to look copied notes up in. Raises RunError where it is not there."""
        if self._load_training is None:
            raise RunError("The music that this generator learnt from is not known, so copies cannot be found.")
        return self._load_training()

    def _holds_copy(self, most: int, primer: Primer | None, ids: Sequence[int]) -> bool:
        """Whether new ids hold a run of more than `most` notes of the training music."""
        piece = self.tokenizer.decode([*(primer.ids if primer else ()), *ids]).piece
        (found,) = self.training.runs([new_notes(piece, primer)], most + 1)
        return bool((found > most).any())

    def _weigh_copies(self, most: int, fillings: Sequence[Filling], until: int) -> list[float]:
        """Log weights that leave out candidates whose new notes hold too long a copied run, if that leaves any."""
        pieces = [Piece(tuple(filling.new_notes()), self.tokenizer.ticks_per_beat) for filling in fillings]
        copied = [bool((found > most).any()) for found in self.training.runs(pieces, most + 1)]
        return [float("-inf") if one and not all(copied) else 0.0 for one in copied]

    def _draw(self, draft: Draft, prefix: list[int], most: int, controls: Controls, rng: torch.Generator) -> None:
        from seqgan_music.learning.sampling import generate

        while True:
            generate(
                self.generator,
                1,
                most - len(draft.ids),
                rng=rng,
                temperature=controls.temperature,
                cutoff=controls.cutoff or 0.0,
                top_k=controls.top_k,
                top_p=controls.top_p,
                prefixes=[prefix + draft.ids] if prefix or draft.ids else None,
                constraint=draft,
            )
            if not draft.revise():
                return

    def _particles(
        self,
        controls: Controls,
        rng: torch.Generator,
        candidates: int,
        weigh: Callable[[Sequence[Filling], int], Sequence[float]],
        on_token: Callable[[], object],
    ) -> Particles:
        import torch

        from seqgan_music.compose.particles import Particles

        def most_ids(window: Window) -> int:
            return _TOKENS_A_BEAT * (1 + (window.end - window.start) // self.tokenizer.ticks_per_beat)

        return Particles(
            self.generator,
            controls,
            rng,
            pitches=torch.tensor([name.startswith("PITCH(") for name in self.tokenizer.vocabulary]),
            candidates=candidates,
            most_ids=most_ids,
            weigh=weigh,
            on_token=on_token,
        )

    def _resolved(self, controls: Controls) -> Controls:
        return controls if controls.cutoff is not None else replace(controls, cutoff=self.cutoff)

    @property
    def _holds_loudness(self) -> bool:
        return any(name.startswith("VELOCITY") for name in self.tokenizer.vocabulary)

    def _check_program(self, controls: Controls) -> None:
        """Raise ConfigError where an instrument is asked for and the tokenizer's notes have theirs."""
        if controls.program is not None and any(name.startswith("PROGRAM(") for name in self.tokenizer.vocabulary):
            raise ConfigError("This run writes its own instruments: leave --program out.")

    def _tempo(self, primer: Primer | None) -> float:
        return self.tokenizer.qpm or (primer.piece.tempos[0].qpm if primer else self.qpm)


def _alike(fillings: Sequence[Filling], until: int) -> list[float]:
    return [0.0] * len(fillings)


def compose(
    run: Path, controls: Controls = AS_IT_COMES, *, seed: int, count: int = 1, primer: Path | None = None
) -> list[Composition]:
    """Write `count` pieces with a run's generator, after the music of a file if asked. See `Composer.compose`.

    Raises RunError, ConfigError, and InputError for the primer.
    """
    check_seeds(seed, count)
    composer = Composer.open(run)
    held = composer.read_primer(primer) if primer else None
    return composer.compose(controls, seed=seed, count=count, primer=held)
