"""Piece -> piano roll as one SVG text: bars and beats across, pitches upward, opacity for velocity."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from seqgan_music.music.notes import Bar, Piece

BEAT_WIDTH, LEFT = 16, 30
"""Pixels a beat, and pixels before the first one: where a playhead stands."""
_ROW_HEIGHT, _TOP, _TITLE = 7, 16, 20
_BLACK_KEYS = {1, 3, 6, 8, 10}
_LEAST_ROWS = 24

_INK, _TEXT, _BAR_LINE, _OCTAVE_LINE, _BEAT_LINE, _BLACK_ROW, _NOTE = (
    "#20262e", "#5b6470", "#98a3b0", "#c9d2dc", "#e6e9ed", "#f1f3f5", "#1f5fa8"
)  # fmt: skip


def roll_svg(piece: Piece, *, title: str | None = None) -> str:
    """Return a piano roll as an SVG document, a few kilobytes for a tune.

    16 pixels a beat, 7 a pitch, from a tone below the lowest note to a tone above the highest and at least two
    octaves. Rows of black keys are grey, a line stands under every C, bars are numbered. A piece without notes
    gives one empty bar.
    """
    pixels = BEAT_WIDTH / piece.ticks_per_beat
    bars = list(piece.bars()) or [_first_bar(piece)]
    low, high = _pitch_range(note.pitch for note in piece.notes)
    head = _TOP + (_TITLE if title else 0)
    bottom = head + (high - low + 1) * _ROW_HEIGHT
    right = LEFT + max(bars[-1].end, piece.end) * pixels

    def x(tick: float) -> str:
        return _short(LEFT + tick * pixels)

    def y(pitch: int) -> int:
        return head + (high - pitch) * _ROW_HEIGHT

    width, height = _short(right + 8), bottom + 6
    label = escape(_printable(title or piece.name or "piano roll"))

    def path(colour: str, ways: Iterable[str]) -> str:
        # One path for all lines of a kind takes a tenth of what single elements would.
        return f'<path stroke="{colour}" d="{"".join(ways)}"/>'

    to_right = f"H{_short(right)}"
    rows = range(low, high + 1)
    octaves = [pitch for pitch in rows if pitch % 12 == 0]
    black = "".join(f"M{LEFT} {y(p)}{to_right}v{_ROW_HEIGHT}H{LEFT}z" for p in rows if p % 12 in _BLACK_KEYS)
    bar_lines = [*(bar.start for bar in bars), bars[-1].end]
    beats = [tick for bar in bars for tick in _inner_beats(bar, piece.ticks_per_beat)]
    # Numbers need about 20 pixels; where bars are narrower only every so many is numbered.
    every = next((n for n in (1, 2, 4, 8, 16) if n * bars[0].length * pixels >= 20), 32)
    # Colours are attributes, not a style sheet, which would leak into a page that holds the picture.
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
            'font-family="sans-serif" shape-rendering="crispEdges">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *([f'<text x="{LEFT}" y="15" font-size="12" fill="{_INK}">{label}</text>'] if title else []),
            f'<path fill="{_BLACK_ROW}" d="{black}"/>',
            path(_BEAT_LINE, (f"M{x(tick)} {head}V{bottom}" for tick in beats)),
            path(_OCTAVE_LINE, (f"M{LEFT} {y(pitch) + _ROW_HEIGHT}{to_right}" for pitch in octaves)),
            path(_BAR_LINE, (f"M{x(tick)} {head}V{bottom}" for tick in bar_lines)),
            f'<g font-size="10" fill="{_TEXT}">',
            *(f'<text x="4" y="{y(pitch) + _ROW_HEIGHT}">C{pitch // 12 - 1}</text>' for pitch in octaves),
            *(
                f'<text x="{x(bar.start)}" y="{head - 4}">{number}</text>'
                for number, bar in enumerate(bars, 1)
                if (number - 1) % every == 0
            ),
            f'</g><g fill="{_NOTE}">',
            *(
                # The hair's breadth off the width lets repeated notes be told apart.
                f'<rect x="{x(note.onset)}" y="{y(note.pitch)}" height="{_ROW_HEIGHT}" '
                f'width="{_short(max(1.0, note.duration * pixels - 0.8))}" '
                f'opacity="{_short(0.3 + 0.7 * note.velocity / 127)}"/>'
                for note in piece.notes
            ),
            "</g></svg>\n",
        ]
    )


def _first_bar(piece: Piece) -> Bar:
    meter = piece.meters[0]
    return Bar(0, meter.bar_ticks(piece.ticks_per_beat), (meter.numerator, meter.denominator))


def _pitch_range(pitches: Iterable[int]) -> tuple[int, int]:
    """Return the lowest and highest row: the notes' and a tone around them, at least `_LEAST_ROWS`."""
    known = sorted(pitches) or [60]
    low, high = known[0] - 2, known[-1] + 2
    missing = max(0, _LEAST_ROWS - (high - low + 1))
    return low - missing // 2, high + (missing + 1) // 2


def _inner_beats(bar: Bar, ticks_per_beat: int) -> list[float]:
    """Return the ticks of the meter's units inside a bar, its start left out."""
    unit = 4 * ticks_per_beat / bar.meter[1]
    return [bar.start + n * unit for n in range(1, bar.meter[0]) if n * unit < bar.length]


def _printable(text: str) -> str:
    # XML has no way to hold control characters or lone surrogates, and names come from untrusted files.
    return "".join(c if c.isprintable() else " " for c in text)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
