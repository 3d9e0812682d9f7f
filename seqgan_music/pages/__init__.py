"""What the report and the studio have in common: colours and type (`base.css`), rolls that seek (`roll.js`)."""

from __future__ import annotations

from importlib.resources import files


def shared(name: str) -> str:
    """Return one of this folder's files for a page: "base.css", "roll.js"."""
    return (files(__package__) / name).read_text(encoding="utf-8")
