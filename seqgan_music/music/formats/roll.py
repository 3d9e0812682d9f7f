"""Music -> piano roll, SVG or PNG: bars and beats across, pitches upward, opacity for velocity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from seqgan_music.errors import ConfigError
from seqgan_music.music.arrangement import Arrangement, Track
from seqgan_music.music.formats import Options
from seqgan_music.music.formats._drawing import Area, Boxes, Drawing, Lines, Words
from seqgan_music.music.notes import Bar, Piece

BEAT_WIDTH, LEFT = 16, 30
"""Pixels a beat, and pixels before the first one: where a playhead stands."""
_ROW_HEIGHT, _TOP, _TITLE, _DRUM_ROW, _STRIP, _LEGEND = 7, 16, 20, 5, 18, 18
_BLACK_KEYS = {1, 3, 6, 8, 10}
_LEAST_ROWS = 24

_INK, _TEXT, _BAR_LINE, _OCTAVE_LINE, _BEAT_LINE, _BLACK_ROW = (
    "#20262e", "#5b6470", "#98a3b0", "#c9d2dc", "#e6e9ed", "#f1f3f5"
)  # fmt: skip
_TRACKS = ("#1f5fa8", "#b34700", "#00754f", "#7a3f98", "#8a6a00", "#a8246b", "#0a7f8c", "#5b6470")
"""Of the tracks in turn. The first two, and neighbours in brightness, are told apart by the colour-blind too."""
_COLD, _EVEN, _HOT = (0xC4, 0x4E, 0x00), (0xED, 0xEF, 0xF1), (0x1F, 0x5F, 0xA8)
"""Colours of a bar's heat 0, 0.5 and 1: orange to blue, which all kinds of eyes tell apart."""


class Roll:
    """Piano rolls: what sounds when, for whoever does not read notes."""

    suffixes = (".svg", ".png")
    about = "a piano roll; with --score it is notation"
    score = False

    def absent(self, suffix: str) -> str | None:
        """Return None: it needs nothing."""
        return None

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Refuse a PNG that would be too large. Raises ConfigError."""
        if music is not None and suffix == ".png" and not _drawn(music, options).fits_png():
            raise ConfigError("The music is too long for a piano roll in .png. Write .svg, or a part of the music.")

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write the picture."""
        drawing = _drawn(music, options)
        if path.suffix.lower() == ".svg":
            path.write_text(drawing.svg(), encoding="utf-8")
        else:
            path.write_bytes(drawing.png())


def _drawn(music: Arrangement, options: Options) -> Drawing:
    title = options.title if options.title is not None else music.name or None
    return _roll(music, title, options.heat, options.heat_means)


def roll_svg(
    music: Piece | Arrangement,
    *,
    title: str | None = None,
    heat: Sequence[float] | None = None,
    heat_means: tuple[str, str] = ("least", "most"),
) -> str:
    """Return a piano roll as an SVG document, a few kilobytes for a tune.

    16 pixels a beat, 7 a pitch, from a tone below the lowest note to a tone above the highest and at least two
    octaves. Rows of black keys are grey, a line stands under every C, bars are numbered. Music without notes
    gives one empty bar. Tracks differ in colour where there are several; drums have rows of their own below.

    `heat`, a value 0..1 for each bar, is drawn as a strip under the roll, by colour and by height, and under that
    a legend that says what 0 and 1 mean (`heat_means`). There may be as many values as bars, or more for bars in
    which the last notes sound on.
    """
    return _roll(Arrangement.of(music), title, heat, heat_means).svg()


def _roll(
    music: Arrangement, title: str | None, heat: Sequence[float] | None, heat_means: tuple[str, str]
) -> Drawing:
    piece = music.together
    pixels = BEAT_WIDTH / piece.ticks_per_beat
    bars = list(piece.bars()) or [_first_bar(piece)]
    tuned = [track for track in music.tracks if not track.drums]
    low, high = _pitch_range(note.pitch for track in tuned for note in track.notes)
    head = _TOP + (_TITLE if title else 0)
    bottom = head + (high - low + 1) * _ROW_HEIGHT
    right = LEFT + max(bars[-1].end, piece.end) * pixels
    drums = sorted({note.pitch for track in music.tracks if track.drums for note in track.notes}, reverse=True)
    foot = bottom + (6 + len(drums) * _DRUM_ROW if drums else 0)

    def x(tick: float) -> float:
        return LEFT + tick * pixels

    def y(pitch: int) -> int:
        return head + (high - pitch) * _ROW_HEIGHT

    rows = range(low, high + 1)
    octaves = [pitch for pitch in rows if pitch % 12 == 0]
    black = [(LEFT, y(p), right - LEFT, _ROW_HEIGHT) for p in rows if p % 12 in _BLACK_KEYS]
    bar_lines = [*(bar.start for bar in bars), bars[-1].end]
    beats = [tick for bar in bars for tick in _inner_beats(bar, piece.ticks_per_beat)]
    # Numbers need about 20 pixels; where bars are narrower only every so many is numbered.
    every = next((n for n in (1, 2, 4, 8, 16) if n * bars[0].length * pixels >= 20), 32)
    drawing = Drawing(right + 8, foot + 6, title or music.name or "piano roll")
    if title:
        drawing.shapes.append(Words(_INK, 12, [(LEFT, 15, title)]))
    drawing.shapes += [
        Area(_BLACK_ROW, black),
        Lines(_BEAT_LINE, [(x(tick), head, x(tick), foot) for tick in beats]),
        Lines(_OCTAVE_LINE, [(LEFT, y(p) + _ROW_HEIGHT, right, y(p) + _ROW_HEIGHT) for p in octaves]),
        Lines(_BAR_LINE, [(x(tick), head, x(tick), foot) for tick in bar_lines]),
        Words(
            _TEXT,
            10,
            [
                *((4, y(pitch) + _ROW_HEIGHT, f"C{pitch // 12 - 1}") for pitch in octaves),
                *(
                    (x(bar.start), head - 4, str(number))
                    for number, bar in enumerate(bars, 1)
                    if (number - 1) % every == 0
                ),
            ],
        ),
    ]
    if drums:
        drawing.shapes.append(Words(_TEXT, 8, [(2, foot - 1, "drums")]))
    colours = _colours(music.tracks)
    for track, colour in zip(music.tracks, colours, strict=True):
        boxes = [
            (
                x(note.onset),
                bottom + 6 + drums.index(note.pitch) * _DRUM_ROW if track.drums else y(note.pitch),
                # The hair's breadth off the width lets repeated notes be told apart.
                min(3.0, note.duration * pixels) if track.drums else max(1.0, note.duration * pixels - 0.8),
                _DRUM_ROW - 1 if track.drums else _ROW_HEIGHT,
                0.3 + 0.7 * note.velocity / 127,
            )
            for note in track.notes
        ]
        drawing.shapes.append(Boxes(colour, boxes))
    if sum(bool(track.notes) for track in music.tracks) > 1:
        _name_tracks(drawing, music.tracks, colours)
    if heat:
        _draw_strip(drawing, bars, heat, heat_means, pixels)
    return drawing


def _colours(tracks: Sequence[Track]) -> list[str]:
    colours, taken = [], 0
    for track in tracks:
        colours.append(_TRACKS[-1] if track.drums else _TRACKS[taken % (len(_TRACKS) - 1)])
        taken += not track.drums and bool(track.notes)
    return colours


def _name_tracks(drawing: Drawing, tracks: Sequence[Track], colours: Sequence[str]) -> None:
    """Say below which colour is which track; names that do not fit go on in a further line."""
    across, down = float(LEFT), drawing.height + 10
    for number, (track, colour) in enumerate(zip(tracks, colours, strict=True), 1):
        if not track.notes or track.drums:
            continue
        name = (track.name or f"track {number}")[:24]
        width = 24 + 6 * len(name)
        if across > LEFT and across + width > drawing.width:
            across, down = float(LEFT), down + 14
        drawing.shapes.append(Area(colour, [(across, down - 8, 10, 8)]))
        drawing.shapes.append(Words(_TEXT, 10, [(across + 14, down, name)]))
        across += width
    drawing.height = down + 6


def _draw_strip(
    drawing: Drawing, bars: Sequence[Bar], heat: Sequence[float], means: tuple[str, str], pixels: float
) -> None:
    """Add a cell for each bar; those past the last onset, in which notes sound on, are as long as the last bar."""
    top = drawing.height
    cells = []
    for number in range(len(heat)):
        last = bars[min(number, len(bars) - 1)]
        start = last.start + max(0, number - len(bars) + 1) * last.length
        cells.append((LEFT + start * pixels, max(1.0, last.length * pixels - 1)))
    drawing.shapes.append(Area(_BLACK_ROW, [(x, top, width, _STRIP) for x, width in cells]))
    for (x, width), value in zip(cells, heat, strict=True):
        value = min(max(value, 0.0), 1.0)
        height = 3 + value * (_STRIP - 3)
        drawing.shapes.append(Area(_heat_colour(value), [(x, top + _STRIP - height, width, height)]))
    drawing.width = max(drawing.width, cells[-1][0] + cells[-1][1] + 8)
    base = top + _STRIP + _LEGEND - 4
    across = float(LEFT)
    drawing.shapes.append(Words(_TEXT, 10, [(across, base, means[0])]))
    across += 6 * len(means[0]) + 6
    for step in range(9):
        height = 2 + step
        drawing.shapes.append(Area(_heat_colour(step / 8), [(across + 8 * step, base - height, 7, height)]))
    drawing.shapes.append(Words(_TEXT, 10, [(across + 8 * 9 + 6, base, means[1])]))
    drawing.width = max(drawing.width, across + 8 * 9 + 6 + 6 * len(means[1]) + 8)
    drawing.height = base + 8


def _heat_colour(value: float) -> str:
    low, high, share = (_COLD, _EVEN, 2 * value) if value < 0.5 else (_EVEN, _HOT, 2 * value - 1)
    mixed = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


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
