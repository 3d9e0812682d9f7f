"""The metrics alone: two sets of music, from anywhere, and how far apart they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqgan_music.arguments import checked
from seqgan_music.errors import ConfigError, InputError
from seqgan_music.library.music import Music, pieces_of
from seqgan_music.music.notes import TICKS_PER_BEAT, Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqgan_music.evaluate.bootstrap import Estimate
    from seqgan_music.evaluate.material import Material
    from seqgan_music.music.metrics.features import Scaling
    from seqgan_music.music.metrics.originality import Index

TOKENIZER = "note_event"
"""In whose tokens BLEU and distinct-4 are counted."""
_OF_COPIES = ("copied_share", "novelty_8")
_OF_GENERATORS = ("valid_share", "ended_share", "entropy")


@checked()
def measure(
    generated: Music, real: Music, *, training: Music | None = None, seed: int = 1, resamples: int = 200
) -> dict[str, Estimate]:
    """Measure generated music against real music, each a folder, files, pieces or what a run has written.

    Returns figures by name, each with its 95% interval: "frechet" (of 43 features), "overlap", "w1", "c2st_auc" (of
    a new classifier), "bleu_4", "self_bleu_4", "distinct_4", "lag_distance", "meter_share", "frechet_bars_1_16" and
    other places of a piece; with `training` "copied_share" and "novelty_8", too. docs/metrics.md defines each and
    says what fools it. What there is too little music for is absent.

    Distances depend on the number of windows of 16 bars that are compared, which is that of the smaller set, 1,000
    at most: compare figures of equally large sets alone, and with those of other real music in the generated
    music's place. They are those of `evaluate` but for what features are divided by: here the real music's
    deviation, there the training music's.

    Args:
        generated: What is judged.
        real: What it should be like, and has not been learnt from.
        training: What it has been learnt from, to look copied notes up in.
        seed: Of the choice of windows, of the classifier's folds, and of the bootstrap.
        resamples: Bootstrap resamples of pieces; 0 gives no intervals.

    Raises:
        InputError: A file or folder that cannot be used, or fewer than 20 windows on a side.
        ConfigError: A number that cannot be.
    """
    from seqgan_music.evaluate.figures import LEAST_WINDOWS, Reference, catalogue, drift
    from seqgan_music.evaluate.figures import measure as measured
    from seqgan_music.evaluate.ground import MOST_WINDOWS
    from seqgan_music.music.metrics.features import Scaling, feature_table
    from seqgan_music.music.metrics.originality import Index
    from seqgan_music.music.metrics.windows import windows

    if not 0 <= resamples <= 10_000:
        raise ConfigError(f"resamples must be 0 (no intervals) to 10000, not {resamples}.")
    if not 0 <= seed < 2**31:
        raise ConfigError(f"seed must be 0 to 2^31 - 1, not {seed}.")
    known = Index(pieces_of(training) if training is not None else [])
    pieces = pieces_of(real)
    cut = [window for piece in pieces for window in windows(piece)]
    _check_enough(len(cut), "real")
    scaling = Scaling.of(feature_table(cut))
    ours, theirs = (_material(some, scaling, known) for some in (pieces_of(generated), pieces))
    for name, side in (("generated", ours), ("real", theirs)):
        _check_enough(len(side.windows), name)
    most = min(len(ours.windows), len(theirs.windows), MOST_WINDOWS)
    assert most >= LEAST_WINDOWS
    reference = Reference.of(theirs, most, resamples, scaling, seed)
    found = measured(ours, reference).figures | drift(ours, reference)
    absent = {*_OF_GENERATORS, *(() if training is not None else _OF_COPIES)}
    shown = [figure for figure in catalogue("note") if figure.name in found and figure.name not in absent]
    return {one.name: found[one.name].estimate().within(0.0, one.most) for one in shown}


@checked()
def features(music: Music) -> dict[str, float]:
    """Return the 43 features by name, the mean over all windows of 16 bars; see docs/metrics.md for their units.

    Raises InputError where there is no window with a note.
    """
    from seqgan_music.music.metrics.features import NAMES, feature_table
    from seqgan_music.music.metrics.windows import windows

    cut = [window for piece in pieces_of(music) for window in windows(piece)]
    if not cut:
        raise InputError("There is no note to measure.")
    return dict(zip(NAMES, feature_table(cut).mean(axis=0).tolist(), strict=True))


def _material(pieces: Sequence[Piece], scaling: Scaling, known: Index) -> Material:
    """Return pieces made ready for every measure, as the tokenizer holds them."""
    import numpy as np

    from seqgan_music.evaluate.material import prepare
    from seqgan_music.evaluate.sources import Drawn
    from seqgan_music.music import tokenizers

    made = tokenizers.create(TOKENIZER, {}, TICKS_PER_BEAT)
    rows = [np.array([token for row in made.encode(piece) for token in row], dtype=np.int64) for piece in pieces]
    return prepare(Drawn(rows, 0, None), made, scaling, known)


def _check_enough(count: int, name: str) -> None:
    from seqgan_music.evaluate.figures import LEAST_WINDOWS

    if count < LEAST_WINDOWS:
        raise InputError(
            f"The {name} music has {count} window{'s' * (count != 1)} of 16 bars: at least {LEAST_WINDOWS} are"
            " needed for a distance. Add more pieces."
        )
