r"""The SeqGAN paper's own figures for music: BLEU-4 and MSE of 88-pitch sequences, 32 steps of 0.4 seconds.

Yu et al. 2017 (arXiv 1609.05473), section 5.2, table 4: MLE 0.9210 and 22.38, SeqGAN 0.9406 and 20.62. The paper
does not say against what either is taken, nor how; here, with rows as `tokenizers.pitch_grid` makes them of both
sets, rests as an 89th state, and 120 quarter notes a minute where a piece has no tempo:

    BLEU-4  mean over generated rows of sentence BLEU-4 against all held-out rows (`bleu`); 0..1, higher is better
    MSE     mean over generated rows x, held-out rows y and steps i with a note in both of (x_i - y_i)², semitones²;
            0 and up, lower is better

What is wrong with them. Rhythm finer than 0.4 s is lost, and steps drift against beats unless the tempo is a
multiple of 75 beats a minute. The best BLEU is a copy's, and it grows with the number of held-out rows; the best
MSE is that of the mean pitch held for ever, half of what real music has against itself, and it does not see the
order of the steps. Neither sees diversity, and to both a transposed tune is a bad one. On folk melodies (500
held-out rows): real 0.82 and 48, its steps shuffled 0.64 and 49, real transposed 0.55 and 58, one note held 0.41
and 25, random pitches 0.02 and 747. They are here to be compared with the paper, not to judge by.
"""

from __future__ import annotations

import numpy as np

from seqgan_music.music.metrics.arrays import Floats, Ints
from seqgan_music.music.metrics.bleu import bleu
from seqgan_music.music.notes import LOWEST_PITCH, Piece
from seqgan_music.music.tokenizers.pitch_grid import PitchGrid

STEPS = 32
ORDER = 4


def paper_rows(piece: Piece) -> Ints:
    """Return the piece in rows of 32 steps of 0.4 s: (rows, 32), MIDI numbers, 0 for a rest."""
    grid = PitchGrid(PitchGrid.Options(length=STEPS), piece.ticks_per_beat)
    ids = np.array(grid.encode(piece), dtype=np.int64).reshape(-1, STEPS)
    return np.where(ids == grid.rest, 0, ids - grid.first + LOWEST_PITCH)


def paper_bleu(generated: Ints, held_out: Ints) -> Floats:
    """Return the BLEU-4 of each generated row (N, 32) against all held-out rows (M, 32): (N,)."""
    return bleu(list(generated), list(held_out), ORDER)


def paper_mse(generated: Ints, held_out: Ints) -> float:
    """Return the mean squared difference of pitch over all pairs of rows (N, 32) and (M, 32); NaN without any.

    Of step i it is mean(x²) + mean(y²) - 2 mean(x) mean(y) over the rows with a note there; steps weigh by pairs.
    """
    x_count, x_mean, x_square = _moments(generated)
    y_count, y_mean, y_square = _moments(held_out)
    pairs = x_count * y_count
    if not pairs.any():
        return float("nan")
    return float(np.average(x_square + y_square - 2 * x_mean * y_mean, weights=pairs))


def _moments(rows: Ints) -> tuple[Ints, Floats, Floats]:
    """Return of each step (32,) the number of rows with a note there, and their mean pitch and mean square."""
    count = (rows > 0).sum(axis=0)
    least_one = np.maximum(1, count)
    return count, rows.sum(axis=0) / least_one, (rows**2).sum(axis=0) / least_one
