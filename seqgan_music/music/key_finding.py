"""Which key a piece is in: the profile of Krumhansl and Kessler (1982) that its pitch classes fit best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
"""How well each semitone above the tonic fits a major key."""
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
"""The same of a minor key."""
_ROTATIONS = (np.arange(12)[:, None] + np.arange(12)) % 12


def best_signatures(counts: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
    """Return the 12 key signatures, as pitch classes of their major tonics, the best first.

    `counts` (12,) says how often each pitch class begins. A signature fits as well as the better of its major key
    and its relative minor; of two that fit equally the one with the larger count of its major tonic, then the lower
    comes first. The order goes along with a transposition wherever no two fit equally.
    """
    rotated = np.asarray(counts, dtype=np.float64)[_ROTATIONS]  # [tonic, semitones above it]
    centred = rotated - rotated.mean(1, keepdims=True)
    major, minor = (np.round(centred @ ((one - one.mean()) / one.std()), 9) for one in (MAJOR, MINOR))
    fit = np.maximum(major, np.roll(minor, 3))  # A minor, the key of 9, has the signature of 0
    order = sorted(range(12), key=lambda root: (-fit[root], -rotated[root, 0], root))
    return order
