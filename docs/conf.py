"""The documentation as pages: what `make site` tells Sphinx, which builds them into site/."""

from __future__ import annotations

import re

import seqgan_music
from seqgan_music.library import measuring, music, run

# What these modules import for checkers alone: without it signatures name our aliases, and not what they stand for.
for module in (measuring, music, run):
    vars(module).update({name: getattr(seqgan_music, name) for name in seqgan_music.__all__ if name[0].isupper()})

project = "seqgan-music"
author = "The seqgan-music maintainers"
copyright = "the seqgan-music maintainers"
version = release = seqgan_music.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["*.py"]
html_theme = "furo"
html_title = f"seqgan-music {release}"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
# Docstrings hold Markdown's single backticks; to reStructuredText they are this role: a link where it is a public
# name, else code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def setup(app: object) -> None:
    """Let docstrings, which name these pages as they lie beside the code, link to them."""

    def linked(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
        lines[:] = [re.sub(r"\bdocs/(\w+)\.md", r":doc:`\1`", line) for line in lines]

    app.connect("autodoc-process-docstring", linked)  # type: ignore[attr-defined]
