"""The sections of the page: verdict, samples, comparison with held-out music, learning curves, training music."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from seqgan_music.music import scan_table
from seqgan_music.report import charts, comparison
from seqgan_music.report.curves import curves
from seqgan_music.report.listening import Sample
from seqgan_music.report.markup import Content, Html, tag
from seqgan_music.report.players import players
from seqgan_music.report.sources import Document, Sources

_MEANINGS = {
    "BEATS MLE": "Nearer to held-out music at the same diversity, harder to tell from it, and no more copied.",
    "TRADED DIVERSITY FOR QUALITY": "Its samples are safer, as those of a lower temperature are; nothing was won.",
    "NO EFFECT": "No difference to maximum likelihood that this evaluation could see.",
    "WORSE": "Farther from held-out music than maximum likelihood alone.",
    "COLLAPSED": "It has lost the diversity of the music that it learnt from.",
    "COPIES": "It repeats its training music more than real music does.",
    "MIXED": "Better by some measures, not by others.",
    "NOT JUDGED": "There is too little music or too few temperatures to tell.",
}
_TONES = {"BEATS MLE": "good", "WORSE": "bad", "COLLAPSED": "bad", "COPIES": "bad"}
"""Skipped files named for each reason."""


def section(name: str, title: str, *content: Content) -> Html:
    """Return a section that the page's navigation finds by `name`."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title")


def tiles(sources: Sources) -> Html:
    """Return the few figures that say what run this is."""
    found: list[tuple[str, str]] = []
    totals = (sources.scan or {}).get("totals")
    if isinstance(totals, dict):
        with suppress(KeyError, TypeError, ValueError):
            found.append((f"{totals['pieces']:,}", "pieces of music"))
            found.append((f"{totals['notes']:,}", "notes"))
    methods = dict.fromkeys(line["method"] for line in sources.lines)
    if methods:
        found.append((" → ".join(methods), "training"))
        found.append((_duration(max(line["seconds"] for line in sources.lines)), "trained for"))
    bits = [(line[key], key) for line in sources.lines for key in line if key.startswith("validation_bits_per_")]
    if bits:
        lowest, key = min(bits)
        found.append((f"{lowest:.2f}", f"bits a {key.removeprefix('validation_bits_per_')}, best on validation"))
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for value, name in found], class_="tiles")


def verdict(sources: Sources) -> Html:
    """Return the verdict card: did the further phases help, and which checkpoint is used."""
    evaluation = sources.evaluation
    notes = tag("ul", [tag("li", note) for note in sources.notes], class_="notes") if sources.notes else None
    if evaluation is None:
        return section(
            "verdict",
            "Did the adversarial phase help?",
            tag("p", "Not evaluated yet: nothing here has been compared with held-out music. Do it by"),
            tag("pre", f"seqgan-music evaluate {shlex.quote(str(sources.folder))}\n"),
            notes,
        )
    cards = [
        tag(
            "div",
            tag("p", tag("strong", one["verdict"], class_="badge"), " ", tag("span", one["name"], class_="method")),
            tag("p", _MEANINGS.get(one["verdict"], "")),
            tag("p", one["why"], class_="soft"),
            class_=f"card {_TONES.get(one['verdict'], 'neutral')}",
        )
        for one in evaluation.get("verdicts", ())
    ]
    if not cards:
        cards = [
            tag("p", "There is no phase after maximum likelihood to judge: this is what all others start from.")
        ]
    chosen = evaluation.get("chosen")
    return section(
        "verdict",
        "Did the adversarial phase help?",
        tag("p", "The run was trained further since: evaluate it again.", class_="bad badge")
        if sources.stale
        else None,
        tag("div", cards, class_="cards"),
        tag("p", "What ", tag("code", "sample"), f" uses: {chosen['name']}. {_sentence(chosen['why'])}")
        if isinstance(chosen, dict)
        else None,
        notes,
    )


def listen(samples: Sequence[Sample]) -> Html:
    """Return the samples to hear and see."""
    if not samples:
        return section("listen", "Listen", tag("p", "This report was written without samples."))
    judged = any(sample.scores for sample in samples)
    return section(
        "listen",
        "Listen",
        tag(
            "p",
            "Click into a roll to go there; with the keyboard, arrows move by a bar and space plays. ",
            "Under the rolls stands how well each bar fits those around it, as the run's critic ranks it among "
            "bars of held-out music: the deeper the shade, the better. "
            if judged
            else None,
            "The nearest training tune is the one with the longest run of notes in common, in any key.",
        ),
        tag("div", players(samples), class_="samples"),
    )


def figures(sources: Sources) -> Html:
    """Return what the evaluation found, as pictures and tables."""
    evaluation = sources.evaluation
    if evaluation is None:
        return section("figures", "Against held-out music", tag("p", "Not evaluated yet, see above."))
    shown, more = comparison.features(evaluation)
    temperatures = [t for t in evaluation.get("temperatures", ()) if t != 1]
    key = [("real (filled)", comparison.REAL), *comparison.colours(evaluation).items()]
    return section(
        "figures",
        "Against held-out music",
        tag("p", _basis(evaluation), class_="soft"),
        [tag("p", note, class_="soft") for note in evaluation.get("notes", ())],
        tag(
            "div",
            comparison.quality_and_diversity(evaluation)
            or tag("p", "Without a Fréchet distance and self-BLEU-4 there is no picture of quality and diversity."),
            tag("div", comparison.form(evaluation), comparison.drift(evaluation), class_="stack"),
            class_="pair",
        ),
        tag(
            "p",
            "Trained phases at temperature 1, with 95% intervals. "
            "↓ lower is better, ↑ higher is better, ≈ like real music is better.",
            class_="soft",
        ),
        comparison.table(evaluation),
        [
            tag("details", tag("summary", f"Temperature {t:g}"), comparison.table(evaluation, t))
            for t in temperatures
        ],
        comparison.differences(evaluation),
        _copies(evaluation),
        [
            tag("h3", "Distributions of features, at temperature 1"),
            tag(
                "p",
                "Share of windows of 16 bars; those that differ most from real music come first.",
                class_="soft",
            ),
            charts.legend(key),
            tag("div", shown, class_="grid small"),
        ]
        if shown
        else None,
        tag("details", tag("summary", f"{len(more)} further features"), tag("div", more, class_="grid small"))
        if more
        else None,
    )


def learning(sources: Sources) -> Html:
    """Return the learning curves."""
    panels = curves(sources.lines)
    if not panels:
        return section("learning", "Learning curves", tag("p", "Too few evaluations were logged to draw curves."))
    return section("learning", "Learning curves", tag("div", panels, class_="grid"))


def music(sources: Sources) -> Html:
    """Return what the run was trained on: what was kept, skipped, and why."""
    title = "What it was trained on"
    scan = sources.scan
    if scan is None:
        return section("music", title, tag("p", "scan.json of this run is missing or damaged."))
    try:
        reasons = _reasons(scan)
        text = scan_table.table(scan)
        totals = scan["totals"]
        skipped = totals["files"] - totals["kept_files"]
        kept = f"{totals['kept_files']:,} files were kept, {skipped:,} skipped, from {scan['folder']}."
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError):
        return section("music", title, tag("p", "scan.json of this run is not what this version writes."))
    return section(
        "music",
        title,
        tag("p", kept),
        reasons,
        tag("details", tag("summary", "The whole scan"), tag("pre", text)),
        tag("details", tag("summary", "Settings (config.toml)"), tag("pre", sources.config)),
    )


def _reasons(scan: Document) -> Html | None:
    found = scan_table.examples(scan)
    if not found:
        return None
    lines = [
        tag(
            "tr",
            tag("th", reason.replace("_", " "), scope="row"),
            tag("td", f"{count:,}"),
            tag("td", [tag("div", scan_table.example(*some)) for some in found[reason]], class_="text"),
        )
        for reason, count in scan["reasons"].items()
    ]
    head = tag(
        "tr", [tag("th", text, scope="col", class_="text") for text in ("skipped because", "times", "for example")]
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", lines)), class_="scroll", tabindex="0")


def _basis(evaluation: Mapping[str, Any]) -> str:
    """Say what was compared, and how often the test split has been looked at."""
    data = evaluation.get("data", {})
    parts = []
    if "test_pieces" in data and "test_windows" in data:
        parts.append(f"{data['test_pieces']:,} held-out pieces with {data['test_windows']:,} windows of 16 bars")
    if "windows_compared" in data:
        parts.append(f"{data['windows_compared']:,} windows compared in every row")
    if isinstance(cutoff := evaluation.get("cutoff"), float) and cutoff > 0:
        parts.append(f"no token less likely than {cutoff:g} was drawn, bits are of all")
    parts.append(f"split: {evaluation.get('split', 'test')}, seed {evaluation.get('seed', '')}")
    read = len(evaluation.get("read", ()))
    again = (
        f" The test split has been read {read} times: what is chosen by it is no longer held out."
        if read > 1
        else ""
    )
    return f"{_sentence('; '.join(parts))} Intervals are from resampled pieces.{again}"


def _copies(evaluation: Mapping[str, Any]) -> Html | None:
    """Tell the longest copied runs of all pieces that were evaluated."""
    told = [
        f"{one['notes']} notes from bar {one['bar']} of {one['file']} on, as in {one['source']},"
        f" bar {one['source_bar']}"
        for one in evaluation.get("copies", ())
    ]
    if not told:
        return None
    title = "The longest runs of notes in common with the training music, of all pieces that were evaluated"
    return tag("details", tag("summary", title), tag("ul", [tag("li", text) for text in told]))


def _sentence(text: str) -> str:
    text = text.rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
