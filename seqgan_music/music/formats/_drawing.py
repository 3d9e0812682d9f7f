"""A picture of rectangles, lines and words, as SVG text or as PNG: what a piano roll is drawn with.

PNG is painted by matplotlib, whose wheel brings a painter and a font: no library of the system is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from typing import Any

_SCALE = 2
"""Pixels of a PNG for one of the drawing's, where it stays within the next two."""
_SIDE, _AREA = 32_000, 60_000_000
"""Pixels that a PNG may have on a side and in all: what the painter can take, and 240 MB of memory."""


@dataclass(frozen=True)
class Area:
    """Rectangles (x, y, width, height) of one colour."""

    colour: str
    boxes: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Lines:
    """Straight lines (x, y, x, y) of one colour, one pixel wide."""

    colour: str
    lines: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Boxes:
    """Rectangles (x, y, width, height, opacity), of which each is an element of its own."""

    colour: str
    boxes: Sequence[tuple[float, float, float, float, float]]


@dataclass(frozen=True)
class Words:
    """Words (x, baseline's y, text) of one colour and size in pixels."""

    colour: str
    size: int
    words: Sequence[tuple[float, float, str]]


@dataclass
class Drawing:
    """Shapes from back to front on white, in pixels from the upper left corner; `label` is for who cannot see."""

    width: float
    height: float
    label: str
    shapes: list[Area | Lines | Boxes | Words] = field(default_factory=list)

    def svg(self) -> str:
        """Return the drawing as an SVG document."""
        width, height, label = _short(self.width), _short(self.height), escape(_printable(self.label))
        # Colours are attributes, not a style sheet, which would leak into a page that holds the picture.
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
                'font-family="sans-serif" shape-rendering="crispEdges">',
                '<rect width="100%" height="100%" fill="#fff"/>',
                *(_element(shape) for shape in self.shapes),
                "</svg>\n",
            ]
        )

    def fits_png(self) -> bool:
        """Say whether the drawing can be a PNG."""
        return max(self.width, self.height) <= _SIDE and self.width * self.height <= _AREA

    def png(self) -> bytes:
        """Return the drawing as PNG, `_SCALE` pixels for one of its own where that is not too many."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        large = max(self.width, self.height) * _SCALE <= _SIDE and self.width * self.height * _SCALE**2 <= _AREA
        scale = _SCALE if large else 1
        # One point is one pixel at 72 dots an inch, so that sizes of type and lines are pixels.
        figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=72 * scale, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        for layer, shape in enumerate(self.shapes):
            _paint(axes, shape, layer)
        data = BytesIO()
        figure.savefig(data, format="png", metadata={"Title": self.label, "Software": None})
        return data.getvalue()


def _element(shape: Area | Lines | Boxes | Words) -> str:
    # One path for all shapes of a kind takes a tenth of what single elements would.
    if isinstance(shape, Area):
        ways = (
            f"M{_short(x)} {_short(y)}H{_short(x + width)}v{_short(height)}H{_short(x)}z"
            for x, y, width, height in shape.boxes
        )
        return f'<path fill="{shape.colour}" d="{"".join(ways)}"/>'
    if isinstance(shape, Lines):
        ways = (
            f"M{_short(x)} {_short(y)}" + (f"V{_short(to_y)}" if x == to_x else f"H{_short(to_x)}")
            for x, y, to_x, to_y in shape.lines
        )
        return f'<path stroke="{shape.colour}" d="{"".join(ways)}"/>'
    if isinstance(shape, Boxes):
        boxes = "\n".join(
            f'<rect x="{_short(x)}" y="{_short(y)}" height="{_short(height)}" width="{_short(width)}" '
            f'opacity="{_short(opacity)}"/>'
            for x, y, width, height, opacity in shape.boxes
        )
        return f'<g fill="{shape.colour}">{boxes}</g>'
    words = "\n".join(
        f'<text x="{_short(x)}" y="{_short(y)}">{escape(_printable(text))}</text>' for x, y, text in shape.words
    )
    return f'<g font-size="{shape.size}" fill="{shape.colour}">{words}</g>'


def _paint(axes: Any, shape: Area | Lines | Boxes | Words, layer: int) -> None:
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgba

    if isinstance(shape, Words):
        for x, y, text in shape.words:
            # A dollar sign would begin a formula.
            axes.text(
                x, y, _printable(text), color=shape.colour, fontsize=shape.size, parse_math=False, zorder=layer
            )
    elif isinstance(shape, Lines):
        ways = [((x, y), (to_x, to_y)) for x, y, to_x, to_y in shape.lines]
        axes.add_collection(LineCollection(ways, colors=shape.colour, linewidths=1, zorder=layer), autolim=False)
    elif isinstance(shape, (Area, Boxes)):
        opacities = [box[4] for box in shape.boxes] if isinstance(shape, Boxes) else [1.0] * len(shape.boxes)
        corners = [
            ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
            for x, y, width, height, *_ in shape.boxes
        ]
        colours = [to_rgba(shape.colour, opacity) for opacity in opacities]
        axes.add_collection(
            PolyCollection(corners, facecolors=colours, linewidths=0, antialiased=False, zorder=layer),
            autolim=False,
        )


def _printable(text: str) -> str:
    # XML has no way to hold control characters or lone surrogates, and names come from untrusted files.
    return "".join(c if c.isprintable() else " " for c in text)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
