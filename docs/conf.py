"""The documentation as pages: what `make site` tells Sphinx, which builds them into site/."""

from __future__ import annotations

import seqgan_music

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
# Docstrings hold Markdown's single backticks; to reStructuredText they are this role.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
