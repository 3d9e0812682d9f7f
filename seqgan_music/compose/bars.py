"""The bars of a piece, up to where its last note ends."""

from __future__ import annotations

from dataclasses import replace

from seqgan_music.music.notes import Bar, Piece


def bars_of(piece: Piece) -> list[Bar]:
    """Return the bars up to the end of the last note, where `Piece.bars` stops at the last onset's."""
    bars = list(piece.bars())
    while bars and bars[-1].end < piece.end:
        bars.append(replace(bars[-1], start=bars[-1].end))
    return bars
