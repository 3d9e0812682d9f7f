"""Samples as players: piano roll with a playhead, sound, the critic's score by bar, the nearest training tune."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from seqgan_music.compose import bars_of
from seqgan_music.music.formats.roll import BEAT_WIDTH, LEFT, roll_svg
from seqgan_music.music.notes import Piece
from seqgan_music.report.listening import Heard, Nearest, Sample
from seqgan_music.report.markup import Html, tag

_STRIP, _BRACKET = 30, 16
"""Heights in pixels of the critic's strip and of the line that marks shared notes."""


def players(samples: Sequence[Sample]) -> list[Html]:
    """Return a player for each sample; shades of all critic's strips are on one scale."""
    scores = [score for sample in samples for score in sample.scores]
    scale = (min(scores), max(scores)) if scores else (0.0, 1.0)
    return [_player(sample, scale) for sample in samples]


def _player(sample: Sample, scale: tuple[float, float]) -> Html:
    piece = sample.heard.piece
    under = []
    if sample.scores:
        under.append(_strip(piece, sample.scores, scale))
    if sample.nearest is not None:
        under.append(_bracket(piece, sample.nearest))
    return tag(
        "article",
        tag("h3", sample.title),
        tag("p", sample.told, class_="soft"),
        _roll(sample.heard, sample.title, under),
        tag(
            "p",
            f"The critic ranks it above {_percent(sample.rank)} of held-out pieces cut to as many bars.",
            class_="soft",
        )
        if sample.rank is not None
        else None,
        _beside(sample.nearest) if sample.nearest is not None else _nothing_shared(),
        class_="sample real" if sample.real else "sample",
    )


def _beside(nearest: Nearest) -> Html:
    copied = nearest.copied
    text = f"Nearest training tune: {copied}."
    return tag(
        "details",
        tag("summary", text, class_="nearest"),
        tag("p", f"The training tune from bar {copied.source_bar} on:", class_="soft"),
        _roll(nearest.excerpt, f"Training tune {copied.source}", []),
    )


def _nothing_shared() -> Html:
    return tag("p", "No two notes in a row stand in the training music.", class_="soft")


def _roll(heard: Heard, name: str, under: list[Html]) -> Html:
    """Return a roll that scrolls and seeks, and its sound."""
    piece = heard.piece
    seconds = piece.seconds_at(piece.end)
    width = piece.end * BEAT_WIDTH / piece.ticks_per_beat
    rate = width / seconds if seconds else 0.0
    first = bars_of(piece)[0]
    sound = b64encode(heard.mp3).decode("ascii")
    return tag(
        "div",
        tag("audio", controls=True, preload="metadata", src=f"data:audio/mpeg;base64,{sound}", aria_label=name),
        tag(
            "div",
            tag(
                "div",
                Html(roll_svg(piece)),
                under,
                tag("i", class_="playhead"),
                class_="roll",
                role="slider",
                tabindex="0",
                aria_label=f"{name}: position in seconds; arrow keys move by a bar, space plays",
                aria_valuemin="0",
                aria_valuemax=f"{seconds:.0f}",
                aria_valuenow="0",
                data_left=LEFT,
                data_rate=f"{rate:.4f}",
                data_bar=f"{piece.seconds_at(first.end):.4f}",
            ),
            class_="scroll",
        ),
        class_="player",
    )


def _strip(piece: Piece, scores: Sequence[float], scale: tuple[float, float]) -> Html:
    """Draw the critic's rank of each bar: the better it fits those around it, the deeper the shade."""
    low, high = scale
    cells = []
    for number, (bar, score) in enumerate(zip(bars_of(piece), scores, strict=True), 1):
        x, width = _x(piece, bar.start), _x(piece, bar.end) - _x(piece, bar.start)
        shade = 0.08 + 0.92 * (score - low) / ((high - low) or 1.0)
        title = tag("title", f"bar {number}: above {_percent(score)} of held-out bars")
        cells.append(
            tag("rect", title, x=x, y=2, width=width - 1.0, height=_STRIP - 4, class_="heat", fill_opacity=shade)
        )
        if width >= 30:
            cells.append(tag("text", f"{100 * score:.0f}", x=x + 4, y=_STRIP / 2 + 4, class_="score"))
    return _under(piece, _STRIP, "The critic's rank of each bar among held-out bars, in per cent", cells)


def _bracket(piece: Piece, nearest: Nearest) -> Html:
    """Draw a line under the notes that are shared with the nearest training tune."""
    x, right = _x(piece, nearest.begin), _x(piece, nearest.end)
    text = f"{nearest.copied.notes} notes shared"
    line = tag("path", d=f"M{x:.1f} 1V5H{right:.1f}V1", class_="bracket")
    return _under(piece, _BRACKET, text, [line, tag("text", text, x=x, y=_BRACKET - 1, class_="score")])


def _under(piece: Piece, height: int, label: str, drawn: list[Html]) -> Html:
    """Return a drawing as wide as the piece's roll."""
    width = int(max(_x(piece, piece.end), _x(piece, bars_of(piece)[-1].end))) + 8
    return tag("svg", drawn, width=width, height=height, role="img", aria_label=label, class_="under")


def _x(piece: Piece, tick: int) -> float:
    return LEFT + tick * BEAT_WIDTH / piece.ticks_per_beat


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
