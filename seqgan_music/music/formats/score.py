"""Music -> a picture of its score, SVG or PNG: our MusicXML, engraved by verovio. Needs the extra `score`."""

from __future__ import annotations

import math
import re
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seqgan_music.errors import ConfigError
from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.formats import Options
from seqgan_music.music.formats.musicxml import check_length, musicxml_bytes
from seqgan_music.music.notes import Piece

_NEEDED = {".svg": ("verovio",), ".png": ("verovio", "resvg_py")}
_ZOOM, _PIXELS, _SIDE = 2.0, 60_000_000, 60_000
"""Pixels of a PNG for one of the SVG, less where they would be more than so many (240 MB) in all or on a side."""
_HEAD = 50
"""Pixels that a title takes."""
_ENGRAVING = {
    "scale": 40,
    "pageWidth": 2100,
    "pageHeight": 60_000,  # verovio's most: systems follow each other, and nobody turns a picture's page
    "adjustPageHeight": True,
    "footer": "none",
    "header": "none",  # the title is written by us: verovio nests its text so that not every program centres it
    "pageMarginTop": 50,
    "smuflTextFont": "none",
    "xmlIdSeed": 1,  # names of elements are random otherwise, and each picture another file
    "spacingSystem": 8,
}
_NOTES = {"\ueca3": "𝅗𝅥", "\ueca5": "♩", "\ueca7": "♪", "\u00a0\uecb7": ".", " \uecb7": ".", "\uecb7": "."}
"""Notes in tempo marks: verovio takes them from a font of its own, which no other program has."""


class Score:
    """Engraved notation."""

    suffixes = (".svg", ".png")
    about = "an engraved score, with --score"
    score = True

    def absent(self, suffix: str) -> str | None:
        """Say which packages are missing."""
        missing = [name for name in _NEEDED[suffix] if find_spec(name) is None]
        if not missing:
            return None
        return (
            f"engraving a score needs {' and '.join(missing)}, which the extra 'score' brings:"
            " pip install 'seqgan-music[score]'. Without it .musicxml can be written."
        )

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Refuse music that is too long to be a score. Raises ConfigError."""
        check_length(music)

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write the picture."""
        svg = score_svg(music, title=options.title, key=options.key)
        if path.suffix.lower() == ".svg":
            path.write_text(svg, encoding="utf-8")
        else:
            path.write_bytes(_png(svg))


def score_svg(music: Piece | Arrangement, *, title: str | None = None, key: str | None = None) -> str:
    """Return the score as one SVG document, 840 pixels wide and as high as it takes.

    Raises ConfigError where verovio is not installed.
    """
    absent = Score().absent(".svg")
    if absent:
        raise ConfigError(absent)
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    # The path of the fonts belongs to a thread: in any but the first verovio would draw nothing, and not say so.
    toolkit = verovio.toolkit(False)
    toolkit.setResourcePath(str(files("verovio") / "data"))
    toolkit.setOptions(_ENGRAVING)
    document = musicxml_bytes(music, title=title, key=key).decode("utf-8")
    if not toolkit.loadData(document):
        raise RuntimeError("verovio does not read our MusicXML")
    pages = [toolkit.renderToSVG(number) for number in range(1, toolkit.getPageCount() + 1)]
    return _page(pages, title)


def _page(pages: list[str], title: str | None) -> str:
    """Return pages under each other as one picture on white, under a title."""
    sizes = [_size(page) for page in pages]
    top = _HEAD if title else 0
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes) + top
    label = escape("".join(c if c.isprintable() else " " for c in title or "score"))
    inside = [f'<rect width="{width}" height="{height}" fill="#fff"/>']
    if title:
        inside.append(
            f'<text x="{width / 2:g}" y="38" text-anchor="middle" font-family="Times, serif" font-size="24">'
            f"{label}</text>"
        )
    for page, (_, own) in zip(pages, sizes, strict=True):
        inside.append(page.replace("<svg ", f'<svg y="{top}" ', 1))
        top += own
    picture = "\n".join(inside)
    for note, known in _NOTES.items():
        picture = picture.replace(note, known)
    picture = re.sub(r'font-family="Leipzig" font-size="\d+px"', 'font-size="560px"', picture)
    return (
        f'<svg width="{width}px" height="{height}px" viewBox="0 0 {width} {height}" version="1.1" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'role="img" aria-label="{label}">\n{picture}\n</svg>\n'
    )


def _size(svg: str) -> tuple[int, int]:
    found = re.search(r'<svg [^>]*?width="(\d+)px" height="(\d+)px"', svg)
    if found is None:
        raise RuntimeError("verovio draws a page without a size")
    return int(found[1]), int(found[2])


def _png(svg: str) -> bytes:
    import matplotlib
    import resvg_py

    width, height = _size(svg)
    zoom = min(_ZOOM, math.sqrt(_PIXELS / (width * height)), _SIDE / height)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # STIX is as wide as Times, for which verovio leaves room; DejaVu has the notes of tempo marks.
    named = ("STIXGeneral.ttf", "STIXGeneralBol.ttf", "STIXGeneralItalic.ttf", "DejaVuSans.ttf")
    options: dict[str, Any] = {
        "font_files": [str(fonts / name) for name in named],
        "font_family": "STIXGeneral",
        "serif_family": "STIXGeneral",
        "skip_system_fonts": True,  # so that every machine draws the same
    }
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, background="white", zoom=zoom, **options))
