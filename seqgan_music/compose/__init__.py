"""A run and controls -> new pieces.

What others use stands here; each name has a file of its own beside this one.
"""

from seqgan_music.compose.bars import bars_of
from seqgan_music.compose.composer import Composer, compose
from seqgan_music.compose.composition import Composition
from seqgan_music.compose.controls import AS_IT_COMES, DEFAULT_BARS, SEED_LIMIT, Controls, check_seeds
from seqgan_music.compose.primers import Primer
from seqgan_music.compose.runs import BUNDLED, find_run, newest_run
from seqgan_music.compose.steering import Density, PitchRange
from seqgan_music.music.keys import Key

__all__ = [
    "AS_IT_COMES",
    "BUNDLED",
    "DEFAULT_BARS",
    "SEED_LIMIT",
    "Composer",
    "Composition",
    "Controls",
    "Density",
    "Key",
    "PitchRange",
    "Primer",
    "bars_of",
    "check_seeds",
    "compose",
    "find_run",
    "newest_run",
]
