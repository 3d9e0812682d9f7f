"""Charts as small SVG elements whose colours are the page's CSS variables, so that light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seqgan_music.report.markup import Html, tag

Point = tuple[float, float]
Interval = tuple[float, float]

COLOURS = 8
"""Colours of series in the page's style sheet: --s0 to --s7."""


@dataclass(frozen=True)
class Series:
    """A line of points; `colour` is a CSS colour. `labels` go beside points, `titles` are told on hovering."""

    name: str
    points: Sequence[Point]
    colour: str
    dashed: bool = False
    labels: Sequence[str] = ()
    titles: Sequence[str] = ()
    dots: bool = False
    large: frozenset[int] = frozenset()
    """Points drawn larger than the others."""
    below: bool = False
    """Whether labels stand under their points."""


@dataclass(frozen=True)
class Axes:
    """Where values lie in a drawing of `width` by `height` units, and how they are written."""

    x: Interval
    y: Interval
    width: int = 340
    height: int = 210
    left: int = 46
    bottom: int = 34
    x_title: str = ""
    y_title: str = ""
    x_ticks: Sequence[float] = ()
    x_names: Sequence[str] = ()
    most: int = 5
    """Values told on an axis, about."""

    def at(self, x: float, y: float) -> Point:
        """Return where a value is drawn."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        right, top = self.width - 12, 12
        return self.left + across * (right - self.left), self.height - self.bottom - up * (
            self.height - self.bottom - top
        )


def colour(number: int) -> str:
    """Return the CSS colour of a series."""
    return f"var(--s{number % COLOURS})"


def span(values: Sequence[float], *, margin: float = 0.06, zero: bool = False) -> Interval:
    """Return an interval that holds all values, with a margin; with `zero` it begins at 0."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if zero:
        low = min(low, 0.0)
    wide = max(high - low, 1e-300) if high > low else abs(high) if abs(high) > 1e-300 else 1.0
    return (low if zero and low == 0 else low - margin * wide), high + margin * wide


def ticks(interval: Interval, most: int = 5) -> list[float]:
    """Return at most `most` + 1 round values inside an interval: multiples of 1, 2 or 5 times a power of ten."""
    low, high = interval
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Write a value as short as it can be read."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def chart(label: str, axes: Axes, *drawn: Html | list[Html]) -> Html:
    """Return the axes of a chart with its series drawn over them; `label` tells it to those who cannot see it."""
    return tag(
        "svg",
        list(_grid(axes)),
        list(drawn),
        class_="chart",
        viewBox=f"0 0 {axes.width} {axes.height}",
        role="img",
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


def _grid(axes: Axes) -> Iterator[Html]:
    left, bottom = axes.at(axes.x[0], axes.y[0])
    right, top = axes.at(axes.x[1], axes.y[1])
    for value in ticks(axes.y, axes.most):
        _, y = axes.at(axes.x[0], value)
        yield tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
        yield tag("text", number(value), x=left - 5, y=y + 4, class_="tick", text_anchor="end")
    for index, value in enumerate(axes.x_ticks or ticks(axes.x, axes.most)):
        x, _ = axes.at(value, axes.y[0])
        name = axes.x_names[index] if index < len(axes.x_names) else number(value)
        yield tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 3, class_="axis")
        yield tag("text", name, x=x, y=bottom + 15, class_="tick", text_anchor="middle")
    yield tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")
    if axes.x_title:
        yield tag("text", axes.x_title, x=right, y=axes.height - 4, class_="tick", text_anchor="end")
    if axes.y_title:
        yield tag("text", axes.y_title, x=left, y=top - 2, class_="tick")


def lines(axes: Axes, series: Sequence[Series]) -> list[Html]:
    """Draw series as lines, their points as dots where there are few, the later ones over the earlier."""
    drawn: list[Html] = []
    for one in series:
        places = [axes.at(*point) for point in one.points]
        way = "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(places))
        drawn.append(
            tag("path", d=way, class_="line dashed" if one.dashed else "line", style=f"stroke:{one.colour}")
        )
        if not one.dots and len(places) > 1:
            continue
        for index, (x, y) in enumerate(places):
            title = tag("title", one.titles[index]) if index < len(one.titles) else None
            radius = 6.0 if index in one.large else 3.5
            drawn.append(tag("circle", title, cx=x, cy=y, r=radius, style=f"fill:{one.colour}", class_="dot"))
        for (x, y), text in zip(places, one.labels, strict=False):
            side = -7 if x > 0.8 * axes.width else 7  # towards the middle, so that none is cut off
            anchor = "end" if side < 0 else None
            up = 16 if one.below else -7
            drawn.append(tag("text", text, x=x + side, y=y + up, class_="label", text_anchor=anchor))
    return drawn


def crosses(axes: Axes, points: Sequence[tuple[Interval, Interval]], css: str) -> list[Html]:
    """Draw a cross for each point: an interval across and one upward."""
    drawn = []
    for (left, right), (low, high) in points:
        (x0, y0), (x1, y1) = axes.at(left, low), axes.at(right, high)
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        way = f"M{x0:.1f} {middle_y:.1f}H{x1:.1f}M{middle_x:.1f} {y0:.1f}V{y1:.1f}"
        drawn.append(tag("path", d=way, class_="error", style=f"stroke:{css}"))
    return drawn


def band(axes: Axes, low: float, high: float, title: str) -> Html:
    """Draw a band across the whole chart."""
    (left, bottom), (right, top) = axes.at(axes.x[0], low), axes.at(axes.x[1], high)
    height = max(1.0, bottom - top)
    return tag("rect", tag("title", title), x=left, y=top, width=right - left, height=height, class_="band")


def marks(axes: Axes, places: Sequence[tuple[float, str]]) -> list[Html]:
    """Draw a vertical line at each place, with its name beside it at the top."""
    drawn = []
    for (x, name), (following, _) in pairwise([*places, (axes.x[1], "")]):
        left, bottom = axes.at(x, axes.y[0])
        right, top = axes.at(following, axes.y[1])
        if x > axes.x[0]:
            drawn.append(tag("line", x1=left, x2=left, y1=bottom, y2=top, class_="mark"))
        if right - left > 7 * len(name):  # names are left out where the next one would run into them
            drawn.append(tag("text", name, x=left + 4, y=top + 9, class_="phase"))
    return drawn


def steps(axes: Axes, edges: Sequence[float], heights: Sequence[float], css: str, *, filled: bool = False) -> Html:
    """Draw a histogram as one outline, or as a filled shape."""
    way = "".join(
        f"{'L' if index else 'M'}{axes.at(left, height)[0]:.1f} {axes.at(left, height)[1]:.1f}"
        f"H{axes.at(right, height)[0]:.1f}"
        for index, ((left, right), height) in enumerate(zip(pairwise(edges), heights, strict=True))
    )
    if not filled:
        return tag("path", d=way, class_="line", style=f"stroke:{css}")
    floor = axes.at(edges[0], axes.y[0])[1]
    return tag("path", d=f"{way}V{floor:.1f}H{axes.at(edges[0], 0)[0]:.1f}Z", class_="area")


def legend(entries: Sequence[tuple[str, str]], write: Callable[[str], Html] | None = None) -> Html:
    """Return names with a swatch of their colours, (name, CSS colour)."""
    return tag(
        "ul",
        [
            tag("li", tag("span", class_="swatch", style=f"background:{css}"), write(name) if write else name)
            for name, css in entries
        ],
        class_="legend",
    )
