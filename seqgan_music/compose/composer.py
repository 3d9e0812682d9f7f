"""A trained run and a few controls -> pieces: length, key, tempo, instrument, a primer to continue.

Each piece has a seed of its own, `seed`, `seed + 1`, ..., and is sampled alone: any of them can be made again
without the others, to the byte. The tokenizer's grammar keeps samples in its language and brings them to exactly
the bars asked for, far past the length that the generator was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from seqgan_music import config
from seqgan_music.compose import runs
from seqgan_music.compose.composition import Composition
from seqgan_music.compose.controls import AS_IT_COMES, DEFAULT_BARS, Controls, check_seeds
from seqgan_music.compose.primers import Primer, new_notes, read_primer, without_primer
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import RunError
from seqgan_music.evaluate import result
from seqgan_music.music import vocabulary
from seqgan_music.music.drafting import Draft
from seqgan_music.music.notes import DEFAULT_QPM, Tempo
from seqgan_music.music.tokenizers import Tokenizer

if TYPE_CHECKING:
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
    `qpm` and `program` are what pieces get that ask for nothing else; `reading` is how primers are read; `chosen`
    says which checkpoint it is.
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
        load_training: Callable[[], Index] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.chosen = chosen
        self.qpm, self.program = qpm, program
        self.reading = reading or ReadingConfig()
        self._load, self._load_training = load, load_training

    @classmethod
    def open(cls, run: Path) -> Composer:
        """Return the composer of a run folder, from the checkpoint that its evaluation chose, else the best.

        Raises RunError, ConfigError.
        """
        if not run.is_dir():
            raise RunError(f"There is no run {run}. Train one first: seqgan-music train DIR.")
        tokenizer = vocabulary.load(run / "vocabulary.json")
        file = run / "config.toml"
        reading = config.load(str(file)).corpus.reading if file.is_file() else ReadingConfig()
        chosen = result.chosen(run)
        load = partial(runs.load_generator, run, tokenizer, chosen.checkpoint)
        training = partial(runs.load_training, run, tokenizer)
        return cls(tokenizer, load, reading=reading, chosen=chosen, load_training=training, **runs.typical(run))

    def read_primer(self, path: Path) -> Primer:
        """Read music to continue. Raises InputError where nothing can be continued. See `primers.read_primer`."""
        return read_primer(path, self.tokenizer, self.reading)

    def compose(
        self,
        controls: Controls = AS_IT_COMES,
        *,
        seed: int,
        count: int = 1,
        primer: Primer | None = None,
        on_token: Callable[[], object] = lambda: None,
    ) -> list[Composition]:
        """Write `count` pieces; piece i is a function of `seed + i`, the controls and the primer alone.

        Bars after a primer are counted from the end of its last full bar, and where it ends inside a bar the new
        music goes on there. `on_token` is called after each token, for progress; what it raises ends the work and
        comes through, and the composer can be used again. Raises ConfigError for values that cannot be and RunError
        for a run that cannot be used.
        """
        check_seeds(seed, count)
        tempo = controls.tempo or self._tempo(primer)
        program = controls.program
        if program is None:
            program = primer.piece.program if primer else self.program
        ticks_per_beat = self.tokenizer.ticks_per_beat
        length: dict[str, int] = {}
        if controls.seconds is not None:
            new_ticks = max(1, round(controls.seconds * tempo / 60 * ticks_per_beat))
            length["ticks"] = new_ticks + (primer.piece.end if primer else 0)
            beats = -(-new_ticks // ticks_per_beat)
        else:
            bars = controls.bars or DEFAULT_BARS
            length["bars"] = bars + (primer.full_bars if primer else 0)
            beats = 8 * bars

        import torch

        from seqgan_music.learning.sampling import generate

        prefix = list(primer.ids) if primer else []
        pitches = controls.key.pitches if controls.key else None
        copies = partial(self._holds_copy, controls.max_copy, primer) if controls.max_copy is not None else None

        def write(own_seed: int) -> Composition:
            rng = torch.Generator(self.generator.output.weight.device).manual_seed(own_seed)
            for _ in range(_TRIES):
                draft = Draft(
                    self.tokenizer,
                    prefix,
                    length,
                    pitches,
                    on_token,
                    copies=copies,
                    most_refusals=_REFUSALS_A_BEAT * beats,
                )
                while True:
                    generate(
                        self.generator,
                        1,
                        _TOKENS_A_BEAT * (beats + 1) - len(draft.ids),
                        rng=rng,
                        temperature=controls.temperature,
                        top_k=controls.top_k,
                        top_p=controls.top_p,
                        prefixes=[prefix + draft.ids] if prefix or draft.ids else None,
                        constraint=draft,
                    )
                    if not draft.revise():
                        break
                decoded = self.tokenizer.decode(prefix + draft.ids)
                piece = decoded.piece
                if primer is not None and not controls.keep_primer:
                    piece = without_primer(piece, primer)
                if piece.notes:
                    piece = replace(piece, tempos=(Tempo(0, tempo),), program=program)
                    new = new_notes(piece, primer) if controls.keep_primer else piece
                    return Composition(
                        piece,
                        tuple(draft.ids),
                        own_seed,
                        decoded.dropped,
                        draft.whole,
                        self.training.longest_run(new) if copies else None,
                        draft.refusals,
                    )
            raise RunError("The run writes nothing but rests. Train longer, or sample at a higher temperature.")

        return [write(seed + index) for index in range(count)]

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

    def _tempo(self, primer: Primer | None) -> float:
        # A tokenizer that counts time in seconds says so by a tempo of its own, which nothing else may change.
        own = self.tokenizer.decode([]).piece.tempos[0].qpm
        if own != DEFAULT_QPM:
            return own
        return primer.piece.tempos[0].qpm if primer else self.qpm


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
