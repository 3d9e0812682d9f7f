"""What `evaluation.json` found, as charts and tables: quality and diversity, figures, distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqgan_music.report import charts
from seqgan_music.report.charts import Axes, Series, colour
from seqgan_music.report.markup import Html, tag
from seqgan_music.report.sources import Document

REAL = "var(--real)"
_ACROSS, _UP = "self_bleu_4", "frechet"
_PLACE = "frechet_bars_"
_SHOWN = 12
"""Features shown at once, those that differ most; the others are a click away."""
_MARKS = {"lower": "↓", "higher": "↑", "real": "≈"}
_MEANINGS = {"lower": "lower is better", "higher": "higher is better", "real": "nearer to real is better"}


def methods(evaluation: Document) -> list[str]:
    """Return the names of the trained phases, in order."""
    return list(dict.fromkeys(row["name"] for row in evaluation["rows"] if row["kind"] == "method"))


def colours(evaluation: Document) -> dict[str, str]:
    """Return the CSS colour of each trained phase."""
    return {name: colour(number) for number, name in enumerate(methods(evaluation))}


def quality_and_diversity(evaluation: Document) -> Html | None:
    """Draw Fréchet distance over self-BLEU-4, a line a method through the temperatures, real music as the aim."""
    series: list[Series] = []
    errors: list[tuple[str, list[tuple[charts.Interval, charts.Interval]]]] = []
    for name, css in colours(evaluation).items():
        rows = [row for row in evaluation["rows"] if row["name"] == name and _has(row, _ACROSS) and _has(row, _UP)]
        rows.sort(key=lambda row: row["temperature"])
        points = [(_value(row, _ACROSS), _value(row, _UP)) for row in rows]
        if not points:
            continue
        labels = [f"T={row['temperature']:g}" for row in rows]
        titles = [
            f"{name} at {label}: self-BLEU-4 {x:.3f}, Fréchet distance {y:.2f}"
            for label, (x, y) in zip(labels, points, strict=True)
        ]
        plain = frozenset(number for number, row in enumerate(rows) if row["temperature"] == 1)
        below = len(series) % 2 == 1
        series.append(Series(name, points, css, labels=labels, titles=titles, dots=True, large=plain, below=below))
        errors.append((css, [(_interval(row, _ACROSS), _interval(row, _UP)) for row in rows]))
    if not series:
        return None
    others = [
        (row, place) for row in evaluation["rows"] if row["kind"] != "method" and (place := _place(row)) is not None
    ]
    real = next((row for row, _ in others if row["name"] == "real"), None)
    xs = [x for _, some in errors for across, _ in some for x in across]
    ys = [y for _, some in errors for _, upward in some for y in upward]
    if real is not None:
        xs.append(_value(real, _ACROSS))
        ys.extend(_interval(real, _UP))
    # Baselines that are far away would press everything else into a corner.
    high, wide = 2 * max(ys), 2 * (max(xs) - min(xs)) + 0.05
    near = [(row, (x, y)) for row, (x, y) in others if y <= high and min(xs) - wide <= x <= max(xs) + wide]
    far = [row["name"] for row, _ in others if row["name"] not in {shown["name"] for shown, _ in near}]
    axes = Axes(
        charts.span([*xs, *(x for _, (x, _) in near)], margin=0.08),
        charts.span([*ys, *(y for _, (_, y) in near)], margin=0.08, zero=True),
        width=400,
        height=330,
        bottom=38,
        x_title="self-BLEU-4: samples repeat each other →",
        y_title="Fréchet distance to held-out music",
    )
    points_of = [
        Series(row["name"], [place], REAL, labels=[row["name"]], titles=[row["name"]], dots=True)
        for row, place in near
    ]
    return tag(
        "figure",
        charts.legend([(one.name, one.colour) for one in series] + [("real and baselines", REAL)]),
        charts.chart(
            "Fréchet distance over self-BLEU-4. "
            + " ".join("; ".join(one.titles) + "." for one in [*series, *points_of]),
            axes,
            charts.band(axes, *_interval(real, _UP), "real music against real music: the floor") if real else [],
            *(charts.crosses(axes, some, css) for css, some in errors),
            charts.lines(axes, points_of),
            charts.lines(axes, series),
        ),
        tag(
            "figcaption",
            "Lower-left is better; moving along a line is only temperature. The grey band is what real music has "
            "against other real music. Crosses are 95% intervals.",
            f" Too far away to be shown: {', '.join(far)}." if far else None,
        ),
        class_="wide",
    )


def table(evaluation: Document, temperature: float = 1.0) -> Html:
    """Return the figures of all rows as a table, one line a figure, with 95% intervals."""
    rows = [row for row in evaluation["rows"] if row["temperature"] in (None, temperature)]
    lines = []
    for metric in evaluation["metrics"]:
        if not any(_has(row, metric["name"]) for row in rows):
            continue
        unit = f" ({metric['unit']})" if metric["unit"] else ""
        better = tag("abbr", _MARKS.get(metric["better"], ""), title=_MEANINGS.get(metric["better"], ""))
        lines.append(
            tag(
                "tr",
                tag("th", f"{metric['title']}{unit} ", better, scope="row"),
                [_cell(row, metric) for row in rows],
            )
        )
    head = tag("tr", tag("td"), [tag("th", row["name"], scope="col") for row in rows])
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", lines)),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=f"Figures, trained phases at temperature {temperature:g}",
    )


def differences(evaluation: Document) -> list[Html]:
    """Return a table of differences to maximum likelihood for each method, at temperature 1."""
    metrics = {metric["name"]: metric for metric in evaluation["metrics"]}
    found = []
    for one in evaluation.get("differences", ()):
        if one["temperature"] != 1:
            continue
        lines = [
            tag(
                "tr",
                tag("th", metrics[name]["title"], scope="row"),
                tag("td", _number(value["value"], metrics[name]["format"], "+")),
                tag("td", _bounds(value, metrics[name]["format"], "+")),
                tag("td", _sense(value, metrics[name]["better"])),
            )
            for name, value in one["figures"].items()
            if name in metrics
        ]
        head = tag("tr", tag("td"), [tag("th", text, scope="col") for text in ("difference", "95%", "")])
        found.append(
            tag(
                "details",
                tag("summary", f"Differences of {one['name']} to {one['against']} at temperature 1"),
                tag("div", tag("table", tag("thead", head), tag("tbody", lines)), class_="scroll", tabindex="0"),
            )
        )
    return found


def _sense(value: Mapping[str, float], better: str) -> str:
    low, high = value.get("low"), value.get("high")
    if low is None or high is None or low <= 0 <= high:
        return "no clear difference"
    if better not in ("lower", "higher"):
        return "differs"
    return "better" if (high < 0) == (better == "lower") else "worse"


def form(evaluation: Document) -> Html | None:
    """Draw how alike bars are by their distance, real music against every method."""
    rows = [(row, css) for row, css in _plain_rows(evaluation) if row.get("lag_curve")]
    series = [
        Series(row["name"], points, css, dashed=row["name"] == "real")
        for row, css in rows
        if (points := [(float(lag), value) for lag, value in enumerate(row["lag_curve"], 1) if value is not None])
    ]
    if not series:
        return None
    lags = [x for one in series for x, _ in one.points]
    axes = Axes(
        (min(lags), max(max(lags), min(lags) + 1)),
        charts.span([y for one in series for _, y in one.points]),
        x_title="bars apart",
        x_ticks=[lag for lag in (1, 4, 8, 12, 16, 20, 24, 28, 32) if lag <= max(lags)],
    )
    return tag(
        "figure",
        tag(
            "figcaption", tag("b", "Form"), " ", tag("span", "how alike bars are by their distance", class_="soft")
        ),
        charts.legend([(one.name, one.colour) for one in series]),
        charts.chart("Similarity of bars by their distance.", axes, charts.lines(axes, series)),
    )


def drift(evaluation: Document) -> Html | None:
    """Draw the Fréchet distance of windows by where in a piece they stand."""
    places = [metric["name"] for metric in evaluation["metrics"] if metric["name"].startswith(_PLACE)]
    series = []
    for row, css in _plain_rows(evaluation):
        points = [(float(x), _value(row, name)) for x, name in enumerate(places) if _has(row, name)]
        titles = [f"{row['name']}: {charts.number(y)}" for _, y in points]
        if points:
            series.append(Series(row["name"], points, css, dashed=row["name"] == "real", titles=titles, dots=True))
    if len(places) < 2 or not series:
        return None
    axes = Axes(
        (-0.2, len(places) - 0.8),
        charts.span([y for one in series for _, y in one.points], zero=True),
        x_title="bars of the piece",
        x_ticks=range(len(places)),
        x_names=[name.removeprefix(_PLACE).replace("_", "–") for name in places],
    )
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("b", "Drift"),
            " ",
            tag("span", "Fréchet distance by how far into a piece; a rise is a loss of the thread", class_="soft"),
        ),
        charts.chart("Fréchet distance by place in the piece.", axes, charts.lines(axes, series)),
    )


def features(evaluation: Document) -> tuple[list[Html], list[Html]]:
    """Return a small chart of each feature's distribution, real and generated: those that differ most, the rest."""
    rows = [(row, css) for row, css in _plain_rows(evaluation) if row.get("features")]
    real = next((row["features"] for row, _ in rows if row["name"] == "real"), None)
    trained = [(row, css) for row, css in rows if row["name"] != "real"]
    if real is None or not trained:
        return [], []

    def overlap(name: str) -> float:
        return min(float(row["features"].get(name, {}).get("overlap", math.inf)) for row, _ in trained)

    drawn = [_feature(name, real[name], trained) for name in sorted(real, key=overlap)]
    return drawn[:_SHOWN], drawn[_SHOWN:]


def _feature(name: str, real: Document, trained: Sequence[tuple[Document, str]]) -> Html:
    edges, counts = real["histogram"]["edges"], real["histogram"]["counts"]
    others = [(row["features"][name], row["name"], css) for row, css in trained if name in row["features"]]
    shapes = [_shares(counts), *(_shares(one["histogram"]["counts"]) for one, _, _ in others)]
    axes = Axes(
        (edges[0], edges[-1] if edges[-1] > edges[0] else edges[0] + 1),
        (0.0, 1.08 * max(max(shape, default=0.0) for shape in shapes) or 1.0),
        width=240,
        height=140,
        left=42,
        bottom=26,
        most=3,
    )
    told = ", ".join(f"{label} {one['overlap']:.2f}" for one, label, _ in others if "overlap" in one)
    title = name.replace("_", " ")
    return tag(
        "figure",
        tag(
            "figcaption", tag("b", title), tag("br"), tag("span", f"overlap: {told}" if told else "", class_="soft")
        ),
        charts.chart(
            f"{title}: distribution of real and generated music; overlap {told}.",
            axes,
            charts.steps(axes, edges, shapes[0], REAL, filled=True),
            [
                charts.steps(axes, one["histogram"]["edges"], shape, css)
                for (one, _, css), shape in zip(others, shapes[1:], strict=True)
            ],
        ),
    )


def _shares(counts: Sequence[float]) -> list[float]:
    whole = sum(counts) or 1.0
    return [count / whole for count in counts]


def _plain_rows(evaluation: Document) -> Iterator[tuple[Document, str]]:
    """Yield real music and every method at temperature 1, with their colours."""
    css = colours(evaluation)
    for row in evaluation["rows"]:
        if row["name"] == "real":
            yield row, REAL
        elif row["kind"] == "method" and row["temperature"] == 1:
            yield row, css[row["name"]]


def _has(row: Document, figure: str) -> bool:
    return isinstance(row["figures"].get(figure, {}).get("value"), int | float)


def _value(row: Document, figure: str) -> float:
    return float(row["figures"][figure]["value"])


def _interval(row: Document, figure: str) -> charts.Interval:
    known = row["figures"][figure]
    low, high = known.get("low"), known.get("high")
    return (known["value"], known["value"]) if low is None or high is None else (low, high)


def _place(row: Document) -> charts.Point | None:
    return (_value(row, _ACROSS), _value(row, _UP)) if _has(row, _ACROSS) and _has(row, _UP) else None


def _cell(row: Document, metric: Mapping[str, Any]) -> Html:
    if not _has(row, metric["name"]):
        return tag("td", tag("span", "–", class_="soft"))
    value = row["figures"][metric["name"]]
    bounds = _bounds(value, metric["format"])
    return tag("td", _number(value["value"], metric["format"]), tag("small", bounds) if bounds else None)


def _bounds(value: Mapping[str, float], style: str, sign: str = "") -> str:
    low, high = value.get("low"), value.get("high")
    return "" if low is None or high is None else f"{_number(low, style, sign)} to {_number(high, style, sign)}"


def _number(value: float, style: str, sign: str = "") -> str:
    return format(value, sign + style)
