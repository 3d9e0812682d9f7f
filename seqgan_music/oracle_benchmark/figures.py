"""Figures of the oracle benchmark: learning curves, and the two divergences through the temperatures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from seqgan_music.files import replacing
from seqgan_music.oracle_benchmark.results import Cell, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933", "#332288", "#44aa99",
)  # fmt: skip
"""Okabe and Ito's, then Tol's: told apart by the colour-blind too."""
GREY = "#8a8a8a"
DASHES = ("--", ":", "-.")
LABEL_SIZE = 9
"""Points."""
FIELDS = {
    "nll_oracle": "NLL_oracle, nats a token (quality)",
    "validation_nats": "NLL_gen, nats a token (coverage)",
}
"""Panels of the learning curves."""
FAR = 2.2
"""A method farther from the oracle than this multiple of what is usual is noted at the edge, not shown."""
NEAR = 0.3
"""Share of the baseline's J within which a method belongs to the enlarged part."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    dash: str = "-"
    width: float = 1.6
    front: int = 3
    """What is larger is drawn over the rest."""


@dataclass(frozen=True)
class Label:
    """A name to be written beside the axes, and the point that it belongs to."""

    text: str
    x: float
    y: float
    colour: str
    place: str
    """What is added to the text where the point lies outside the axes."""


@dataclass(frozen=True)
class Spot:
    """A mean point over cells, with standard deviations; 0 of one cell."""

    x: float
    y: float
    x_spread: float
    y_spread: float

    @classmethod
    def of(cls, xs: Sequence[float], ys: Sequence[float]) -> Spot:
        """Return the mean; that of an infinite value is infinite, its deviation 0."""
        means = [sum(values) / len(values) for values in (xs, ys)]
        many = len(xs) > 1 and all(map(math.isfinite, means))
        return cls(*means, *(stdev(values) if many else 0.0 for values in (xs, ys)))

    @property
    def j(self) -> float:
        """KLfwd + KLrev."""
        return self.x + self.y


@dataclass(frozen=True)
class Line:
    """The learning curve of a method."""

    label: str
    style: Style
    points: dict[str, list[Spot]]
    """By field of `Point`; x are updates since the cells began."""
    continued: bool
    """Whether they began with the baseline's generator."""


@dataclass(frozen=True)
class Window:
    """The part of the plane that axes show."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, spots: Sequence[Spot], margin: float, least: float) -> Window:
        """Return what holds all spots and their deviations, with a share as margin, at least so large."""
        ends = []
        for axis in ("x", "y"):
            low = min(getattr(at, axis) - getattr(at, f"{axis}_spread") for at in spots)
            high = max(getattr(at, axis) + getattr(at, f"{axis}_spread") for at in spots)
            middle, half = (low + high) / 2, max((high - low) * (0.5 + margin), least / 2)
            ends += [middle - half, middle + half]
        return cls(*ends)

    def holds(self, at: Spot) -> bool:
        """Say whether a point is shown."""
        return self.left <= at.x <= self.right and self.bottom <= at.y <= self.top


def curves(results: Results, stem: Path) -> None:
    """Write NLL_oracle and NLL_gen over generator updates as PNG and SVG: mean and sd over cells.

    What starts from the baseline stands to the right of the line where that ends, on a scale of its own: the paper
    has a hundred times fewer updates there. H(P) of each oracle is moved to the mean over oracles, so that the
    bands are the methods' and not the oracles'. Raises OutputError.
    """
    lines = [line for label in results.methods if (line := _line(results, label)) is not None]
    after = any(line.continued and len(line.points["nll_oracle"]) > 1 for line in lines)
    with _figure(stem, 10, 7.6) as figure:
        grid = figure.subplots(
            2, 2 if after else 1, sharex="col", sharey="row", width_ratios=(2, 3)[: 1 + after], squeeze=False
        )
        figure.subplots_adjust(left=0.07, right=0.81, top=0.9, bottom=0.07, hspace=0.1, wspace=0)
        _headline(
            figure,
            f"{results.name}: learning curves",
            "Lower is better in both; NLL_oracle alone deceives, it falls with any loss of diversity. "
            "Mean and sd over cells.",
        )
        for row, (field, title) in zip(grid, FIELDS.items(), strict=True):
            _set_height(row[0], results, [line.points[field][-1].y for line in lines])
            row[0].set_ylabel(title)
            for axes, continued in zip(row, (False, True), strict=False):
                shown = [line for line in lines if line.continued == continued or len(line.points[field]) == 1]
                ended = [line for line in lines if not line.continued] if continued else []
                _curve_panel(axes, shown, ended, field)
                axes.axhline(results.entropy, color="black", linestyle=":", linewidth=1.2)
            labels = [
                Label(
                    line.label, row[-1].get_xlim()[1], y := line.points[field][-1].y, line.style.colour, f" {y:.2f}"
                )
                for line in lines
            ]
            _write_labels(
                row[-1], [*labels, Label("oracle, H(P)", row[-1].get_xlim()[1], results.entropy, "black", "")]
            )
        grid[1][0].set_xlabel("generator updates")
        if after:
            grid[1][1].set_xlabel("generator updates after pre-training")
            for axes in grid[:, 1]:
                axes.spines["left"].set_linestyle((0, (4, 3)))
                axes.tick_params(left=False)
            grid[0][1].annotate(
                "pre-training ends ", (0, 0.97), xycoords="axes fraction", ha="right", va="top", size=LABEL_SIZE
            )


def divergences(results: Results, stem: Path) -> None:
    """Write KLrev over KLfwd through the temperatures as PNG and SVG: means, at T=1 with sd over cells.

    The right part enlarges what lies around the baseline. Raises OutputError.
    """
    from matplotlib.patches import Rectangle

    with _figure(stem, 10, 5.4) as figure:
        whole, part = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.075, right=0.82, top=0.83, bottom=0.1, wspace=0.53)
        _headline(
            figure,
            f"{results.name}: distance from the oracle",
            "Lower left is better; moving along a line is only temperature. Large: T = 1, with sd over cells.",
        )
        at_one = {label: _mean_at(cells, 1.0) for label, cells in results.methods.items()}
        origin = Spot(0.0, 0.0, 0.0, 0.0)
        finite = {label: at for label, at in at_one.items() if math.isfinite(at.j)}
        base = finite.get(results.baseline[0].label, origin)
        shown = [at for at in finite.values() if at.j <= FAR * base.j]
        near = {label: at for label, at in finite.items() if abs(at.j - base.j) <= NEAR * base.j}
        all_of_it = Window.around([origin, base, *shown], 0.15, 1e-3)
        enlarged = Window.around([base, *near.values()], 0.1, 0.1 * base.j + 1e-4)
        _divergence_panel(
            whole,
            results,
            all_of_it,
            [label for label, cells in results.methods.items() if label not in near and cells[0].role != "truth"],
        )
        _divergence_panel(part, results, enlarged, list(near))
        part.set_title("enlarged: around the baseline", size=LABEL_SIZE + 1, loc="left")
        part.set_ylabel("")  # as on the left, where there is room for it
        whole.plot(0, 0, marker="*", markersize=13, color="black", clip_on=False, zorder=12)
        whole.annotate("oracle", (0, 0), xytext=(9, -10), textcoords="offset points", size=LABEL_SIZE)
        width, height = enlarged.right - enlarged.left, enlarged.top - enlarged.bottom
        whole.add_patch(
            Rectangle(
                (enlarged.left, enlarged.bottom), width, height, fill=False, edgecolor="#555555", linewidth=0.8
            )
        )


def _line(results: Results, label: str) -> Line | None:
    """Return the learning curve of a method; None without one, and of the oracle itself."""
    cells = results.methods[label]
    points = {field: _mean_curve(results, cells, field) for field in FIELDS}
    if cells[0].role == "truth" or not all(points.values()):
        return None
    return Line(label, _styles(results)[label], points, continued=any(cell.before for cell in cells))


def _set_height(axes: Axes, results: Results, ends: Sequence[float]) -> None:
    """Show where methods end and H(P), but for those that are far off."""
    ends = [end for end in ends if math.isfinite(end)]
    usual = median(abs(end - results.entropy) for end in ends) if ends else 1.0
    inside = [end for end in ends if abs(end - results.entropy) <= FAR * usual] + [results.entropy]
    least, most = min(inside), max(inside)
    axes.set_ylim(least - 0.06 * (most - least) - 0.01, most + 0.35 * (most - least) + 0.01)


def _curve_panel(axes: Axes, lines: Sequence[Line], ended: Sequence[Line], field: str) -> None:
    """Draw curves, and where those of the panel before have ended; thin where there is no more training."""
    last = max((line.points[field][-1].x for line in lines), default=0.0) or 1.0
    axes.set_xlim(0, last)
    for line in lines:
        look: dict[str, Any] = {"color": line.style.colour, "zorder": line.style.front}
        spots = line.points[field]
        xs, ys = [at.x for at in spots], [at.y for at in spots]
        low, high = ([at.y + side * at.y_spread for at in spots] for side in (-1, 1))
        axes.fill_between(xs, low, high, color=line.style.colour, alpha=0.13, linewidth=0)
        axes.plot(xs, ys, linestyle=line.style.dash, linewidth=line.style.width, **look)
        axes.plot([xs[-1], last], [ys[-1]] * 2, linestyle=line.style.dash, linewidth=0.7, **look)
    for line in ended:
        axes.axhline(line.points[field][-1].y, color=line.style.colour, linestyle=line.style.dash, linewidth=0.7)


def _divergence_panel(axes: Axes, results: Results, window: Window, named: Sequence[str]) -> None:
    """Draw all methods through the temperatures inside a window, and write the names of some beside it."""
    axes.set_xlim(window.left, window.right)
    axes.set_ylim(window.bottom, window.top)
    _lines_of_equal_j(axes, window)
    labels = []
    for label, style in _styles(results).items():
        cells = results.methods[label]
        line = [_mean_at(cells, measures.temperature) for measures in cells[0].temperatures]
        axes.plot(
            [at.x for at in line],
            [at.y for at in line],
            color=style.colour,
            linestyle=style.dash,
            linewidth=style.width * 0.8,
            marker="o",
            markersize=2.5,
            zorder=style.front,
        )
        if label in named and cells[0].role == "baseline":
            for spot, measures in zip(line, cells[0].temperatures, strict=True):
                if window.holds(spot) and measures.temperature != 1.0:
                    axes.annotate(
                        f"T {measures.temperature:g}",
                        (spot.x, spot.y),
                        xytext=(4, -8),
                        textcoords="offset points",
                        size=LABEL_SIZE - 2.5,
                        zorder=20,
                    )
        at = _mean_at(cells, 1.0)
        axes.errorbar(
            at.x,
            at.y,
            xerr=at.x_spread,
            yerr=at.y_spread,
            color=style.colour,
            marker="o",
            markersize=7,
            markeredgecolor="white",
            elinewidth=1,
            zorder=style.front + 5,
        )
        if label in named:
            labels.append(Label(label, at.x, at.y, style.colour, f"\n({at.x:.2f}, {at.y:.2f})"))
    axes.set_xlabel("KLfwd, nats a token (coverage)")
    axes.set_ylabel("KLrev, nats a token (precision)")
    _write_labels(axes, labels)


def _lines_of_equal_j(axes: Axes, window: Window) -> None:
    """Draw dashed lines along which KLfwd + KLrev is the same, four or so in a window, each with its J."""
    least, most = max(window.left + window.bottom, 0.0), window.right + window.top
    step = _round_step((most - least) / 5)
    for number in range(math.ceil(least / step), math.floor(most / step) + 1):
        j = number * step
        axes.axline((j, 0), slope=-1, color="#c4c4c4", linewidth=0.8, linestyle="--", zorder=0)
        # Its name where the line leaves the window above or to the left.
        y = min(j - window.left, window.top)
        if j > 0 and y > window.bottom and j - y < window.right:
            axes.annotate(
                f"J {j:g}",
                (j - y, y),
                xytext=(5, -3),
                textcoords="offset points",
                va="top",
                size=LABEL_SIZE - 2,
                color="#777777",
            )


def _round_step(width: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most `width`."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= width * (1 + 1e-9))


def _mean_curve(results: Results, cells: Sequence[Cell], field: str) -> list[Spot]:
    """Return mean and sd at each number of updates that at least half of the cells reached."""
    values: dict[int, list[float]] = {}
    for cell in cells:
        moved = results.entropy - results.oracles[cell.draw].entropy
        for point in cell.curve:
            values.setdefault(point.updates, []).append(getattr(point, field) + moved)
    reached = sorted((at, found) for at, found in values.items() if 2 * len(found) >= len(cells))
    return [Spot.of([at] * len(found), found) for at, found in reached]


def _mean_at(cells: Sequence[Cell], temperature: float) -> Spot:
    """Return KLfwd and KLrev at a temperature."""
    at = [measures for cell in cells for measures in cell.temperatures if measures.temperature == temperature]
    return Spot.of([measures.kl_fwd for measures in at], [measures.kl_rev for measures in at])


def _write_labels(axes: Axes, labels: Sequence[Label]) -> None:
    """Write names in a column to the right of the axes, none over another, each with a line to its point.

    What lies outside the axes is drawn at the edge as an arrow, its place told in figures.
    """
    labels = sorted((label for label in labels if not math.isnan(label.x + label.y)), key=lambda label: label.y)
    bounds = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    height = 1.35 * LABEL_SIZE / 72 / (figure.get_figheight() * axes.get_position().height)
    wanted = [(min(max(label.y, bounds[0]), bounds[1]) - bounds[0]) / (bounds[1] - bounds[0]) for label in labels]
    for label, y in zip(labels, apart(wanted, height), strict=True):
        left, right = axes.get_xlim()
        at = min(max(label.x, left), right), min(max(label.y, bounds[0]), bounds[1])
        outside = at != (label.x, label.y)
        if outside:
            arrow = "^" if label.y > bounds[1] else "v" if label.y < bounds[0] else ">"
            axes.plot(*at, marker=arrow, color=label.colour, clip_on=False, markersize=6)
        axes.annotate(
            label.text + label.place * outside,
            at,
            xytext=(1.07, y),
            textcoords="axes fraction",
            va="center",
            size=LABEL_SIZE,
            color=label.colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": label.colour,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def apart(wanted: Sequence[float], distance: float) -> list[float]:
    """Return the places in [0, 1] nearest to those `wanted`, rising, that are `distance` or more apart.

    Least squares by pooling neighbours that come too close (isotonic regression of wanted - number * distance).
    """
    pools: list[list[float]] = []
    for number, place in enumerate(wanted):
        pools.append([place - number * distance])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    most = max(1 - distance * (len(wanted) - 1), 0.0)
    free = [min(max(fmean(pool), 0.0), most) for pool in pools for _ in pool]
    return [place + number * distance for number, place in enumerate(free)]


def _styles(results: Results) -> dict[str, Style]:
    """Give the baseline black, placebos and controls grey and dashed, every other method a colour."""
    colours, dashes = cycle(COLOURS), cycle(DASHES)
    found = {}
    for label, cells in results.methods.items():
        role = cells[0].role
        if role == "baseline":
            found[label] = Style("black", width=2.2, front=5)
        elif role == "truth":
            found[label] = Style("black", ":", front=2)
        else:
            found[label] = Style(GREY, next(dashes), front=3) if role else Style(next(colours), front=4)
    return found


def _headline(figure: Figure, title: str, caption: str) -> None:
    figure.text(0.012, 0.975, title, size=13, weight="bold", va="top")
    figure.text(0.012, 0.935, caption, size=9.5, color="#444444", va="top")


@contextmanager
def _figure(stem: Path, width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure, sizes in inches, and write it as PNG and SVG: the same bytes for the same results."""
    import matplotlib
    from matplotlib.figure import Figure

    look: Any = {
        "svg.hashsalt": stem.name,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.labelsize": 9.5,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
    }
    with matplotlib.rc_context(look):
        figure = Figure(figsize=(width, height), dpi=200)
        yield figure
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
            with replacing(stem.with_name(stem.name + suffix)) as unfinished:
                figure.savefig(unfinished, metadata=metadata)
