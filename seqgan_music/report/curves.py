"""Learning curves of a run, from `metrics.jsonl`: one panel for each kind of measure, over its evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from seqgan_music.report import charts
from seqgan_music.report.charts import Axes, Series, colour
from seqgan_music.report.markup import Html, tag
from seqgan_music.report.sources import Document


@dataclass(frozen=True)
class Panel:
    """A chart of all measures whose names begin with one of `prefixes`."""

    title: str
    told: str
    prefixes: tuple[str, ...]


PANELS = (
    Panel("Held-out loss", "bits, on the validation split; lower is better", ("validation_bits",)),
    Panel(
        "Losses",
        "of the generator (g, or train in nats a token) and the discriminator (d)",
        ("train_nats", "g_loss", "d_loss", "mediator"),
    ),
    Panel("Rewards", "of sampled tokens: mean, and by quarter of the sequence", ("reward",)),
    Panel("KL to the policy before", "nats a token; how far the generator has moved", ("kl",)),
    Panel("Entropy", "nats a token of the generator's samples; a fall is a loss of diversity", ("entropy",)),
    Panel("Distinct-4", "share of different ones among the 4-grams of samples", ("distinct_4",)),
    Panel(
        "Discriminator's accuracy", "on held-out real and new generated sequences; 0.5 is chance", ("d_accuracy",)
    ),
    Panel("Discriminator's bound", "nats a sequence that it knows; at 0 it knows nothing", ("d_bound",)),
)
_NAMES = {
    "train_nats": "train", "g_loss": "g", "d_loss": "d", "mediator_nats": "mediator", "reward": "mean",
    "reward_q1": "first quarter", "reward_q2": "second", "reward_q3": "third", "reward_q4": "last quarter",
}  # fmt: skip


def curves(lines: Sequence[Document]) -> list[Html]:
    """Return the panels that a log has at least two values for."""
    # Before the first update nothing is learnt, and the scale would be spoilt.
    places = [
        (float(place), line) for place, line in enumerate(lines) if (line["phase"], line.get("round")) != (1, 0)
    ]
    if len(places) < 2:
        return []
    phases = [(next(some)[0], name) for (_, name), some in groupby(places, key=lambda one: _phase(one[1]))]
    known = dict.fromkeys(key for line in lines for key in line)
    drawn = []
    for panel in PANELS:
        series = _series(places, [key for key in known if key.startswith(panel.prefixes)])
        if series:
            drawn.append(_draw(panel, series, phases, (places[0][0], places[-1][0])))
    return drawn


def _phase(line: Document) -> tuple[int, str]:
    return line["phase"], line["method"]


def _series(places: Sequence[tuple[float, Document]], keys: Sequence[str]) -> list[Series]:
    found: list[Series] = []
    for key in keys:
        some = [(x, line) for x, line in places if key in line]
        points = [(x, float(line[key])) for x, line in some]
        if len(points) > 1:
            name = _NAMES.get(key, key.removeprefix("reward_").replace("_", " "))
            titles = [
                f"{name} {charts.number(line[key])} after {charts.number(line['seconds'] / 60)} min of training"
                for _, line in some
            ]
            found.append(Series(name, points, colour(len(found)), titles=titles, dots=len(points) < 60))
    return found


def _draw(panel: Panel, series: Sequence[Series], phases: Sequence[tuple[float, str]], x: charts.Interval) -> Html:
    ys = [y for one in series for _, y in one.points]
    axes = Axes(x, charts.span(ys, margin=0.1), x_title="evaluations while training")
    last = ", ".join(f"{one.name} {charts.number(one.points[-1][1])}" for one in series)
    return tag(
        "figure",
        tag("figcaption", tag("b", panel.title), " ", tag("span", panel.told, class_="soft")),
        charts.legend([(one.name, one.colour) for one in series]) if len(series) > 1 else None,
        charts.chart(
            f"{panel.title} over training. At the end: {last}.",
            axes,
            charts.marks(axes, phases),
            charts.lines(axes, series),
        ),
    )
