"""Parts of your own beside those of the package: a folder with files as its folders of choices have them."""

from __future__ import annotations

from pathlib import Path

from seqgan_music import choices
from seqgan_music.arguments import AnyPath, checked
from seqgan_music.errors import InputError

KINDS = {
    "discriminators": "seqgan_music.learning.discriminators",
    "formats": "seqgan_music.music.formats",
    "methods": "seqgan_music.learning.methods",
    "objectives": "seqgan_music.music.objectives",
    "oracles": "seqgan_music.learning.oracles",
    "tokenizers": "seqgan_music.music.tokenizers",
}
"""Folders of choices that may have files from elsewhere."""


@checked()
def plug_in(folder: AnyPath) -> list[str]:
    """Let files of a folder be chosen by their names, and return them: "discriminators/my_critic", ...

    `my_parts/tokenizers/swing_grid.py` defines the class `SwingGrid` and is chosen by `{"name": "swing_grid"}`;
    beside `tokenizers/` there may be `discriminators/`, `methods/`, `objectives/`, `formats/` and `oracles/`. Their
    code is run when they are chosen. A run that was trained with such a part needs it again: call this before
    `load`, in every process. docs/library.md has an example, CONTRIBUTING.md says what each kind must define.

    Raises InputError where the folder holds no such file, ConfigError where a name is taken.
    """
    root = Path(folder)
    own = {kind: root / kind for kind in KINDS if (root / kind).is_dir()}
    found = [f"{kind}/{name}" for kind, place in own.items() for name in choices.files(place)]
    if not found:
        raise InputError(f"{root} holds no part: files go into folders named {', '.join(KINDS)}.")
    for kind, place in own.items():
        choices.check_free(KINDS[kind], place)
    for kind, place in own.items():
        choices.extend(KINDS[kind], place)
    return found
