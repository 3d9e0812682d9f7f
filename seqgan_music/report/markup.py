"""HTML and SVG as values: text is escaped wherever it goes in, so that no file name can become markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"meta", "link", "br", "hr", "img", "input", "col", "source"}
_DRAWN = {"path", "rect", "line", "circle"}


class Html(str):
    """Markup that stands as it is; any other text is escaped."""

    __slots__ = ()


Content = str | Iterable["Content"] | None


def tag(name: str, /, *content: Content, **attributes: object) -> Html:
    """Return an element. `class_` stands for class, an underscore inside a name for a hyphen.

    An attribute that is None or False is left out, True is written without a value. Content may be text, elements,
    lists of both, or None.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(_printable(_short(value)))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    inside = join(content)
    if name in _DRAWN and not inside:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{inside}</{name}>")


def join(content: Content) -> Html:
    """Return content as markup, its plain text escaped."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(_printable(content)))
    return Html("".join(join(part) for part in content))


def _printable(text: str) -> str:
    # Lone surrogates (file names need not be text) cannot be written as UTF-8, control characters are not HTML.
    if text.isprintable():  # sound is a million characters
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
