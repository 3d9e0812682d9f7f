"""The whole page: its sections, style and script in one file that asks for nothing from anywhere."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

from seqgan_music import __version__
from seqgan_music.pages import shared
from seqgan_music.report import sections
from seqgan_music.report.listening import Sample
from seqgan_music.report.markup import Html, tag
from seqgan_music.report.sources import Sources

_PARTS = {
    "verdict": "Verdict",
    "listen": "Listen",
    "figures": "Figures",
    "learning": "Learning",
    "music": "Training music",
}


_DAMAGED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)

log = logging.getLogger(__name__)


def page(sources: Sources, samples: Sequence[Sample]) -> str:
    """Return the report as HTML, without what a damaged evaluation.json or scan.json would have told."""
    try:
        return _page(sources, samples)
    except _DAMAGED as error:
        found: Exception = error
    without = {
        "evaluation": replace(sources, evaluation=None),
        "scan": replace(sources, scan=None),
        "evaluation and scan": replace(sources, evaluation=None, scan=None),
    }
    for damaged, rest in without.items():
        with suppress(*_DAMAGED):
            made = _page(rest, samples)
            log.warning(
                "What %s of %s say is damaged (%r): the report does without", damaged, sources.folder, found
            )
            return made
    raise found


def _page(sources: Sources, samples: Sequence[Sample]) -> str:
    own = files(__package__)
    style, script = (
        Html(shared(base) + (own / name).read_text(encoding="utf-8"))
        for base, name in (("base.css", "page.css"), ("roll.js", "page.js"))
    )
    # Of scripts only this very one runs, and nothing is loaded: not even a mistake in escaping could do harm.
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; media-src data:; script-src 'sha256-{digest}'"
    name = sources.folder.resolve().name
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"seqgan-music {__version__}"),
        tag("title", f"{name}: seqgan-music"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("p", f"seqgan-music {__version__}", class_="soft"),
            tag("h1", name),
            sections.tiles(sources),
            tag("nav", [tag("a", text, href=f"#{part}") for part, text in _PARTS.items()], aria_label="Sections"),
        ),
        tag(
            "main",
            sections.verdict(sources),
            sections.listen(samples),
            sections.figures(sources),
            sections.learning(sources),
            sections.music(sources),
        ),
        tag("script", script, type="module"),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
