"""seqgan-music: learn a style from a folder of MIDI files and write new music in it, with a sequence GAN.

    import seqgan_music

    run = seqgan_music.train("midi_data/", config="quick")
    for song in run.sample(3, bars=16, seed=1):
        song.write(f"song-{song.seed}.mid")

What stands in `__all__` is the public interface: it changes by semantic versioning, and docs/library.md shows it.
Each name is imported when it is first used, so that `import seqgan_music` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "compose.composition": ("Composition",),
    "config": ("Config",),
    "critic.judging": ("Judgement",),
    "critic.scoring": ("Scored",),
    "errors": ("ConfigError", "InputError", "OutputError", "RankError", "RunError", "SeqganMusicError"),
    "evaluate.bootstrap": ("Estimate",),
    "library.comparing": ("compare",),
    "library.evaluation": ("Evaluation",),
    "library.extending": ("plug_in",),
    "library.measuring": ("features", "measure"),
    "library.music": ("read", "read_all", "scan", "tokenizer", "write"),
    "library.run": ("Run", "load"),
    "library.training": ("presets", "train"),
    "music.notes": ("Meter", "Note", "Piece", "Tempo"),
    "music.scanning": ("Scan",),
    "music.tokenizers": ("Decoded", "Tokenizer"),
}
"""Where each public name stands."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if TYPE_CHECKING:  # the same for who reads types: checkers, editors, the documentation
    from seqgan_music.compose.composition import Composition
    from seqgan_music.config import Config
    from seqgan_music.critic.judging import Judgement
    from seqgan_music.critic.scoring import Scored
    from seqgan_music.errors import (
        ConfigError,
        InputError,
        OutputError,
        RankError,
        RunError,
        SeqganMusicError,
    )
    from seqgan_music.evaluate.bootstrap import Estimate
    from seqgan_music.library.comparing import compare
    from seqgan_music.library.evaluation import Evaluation
    from seqgan_music.library.extending import plug_in
    from seqgan_music.library.measuring import features, measure
    from seqgan_music.library.music import read, read_all, scan, tokenizer, write
    from seqgan_music.library.run import Run, load
    from seqgan_music.library.training import presets, train
    from seqgan_music.music.notes import Meter, Note, Piece, Tempo
    from seqgan_music.music.scanning import Scan
    from seqgan_music.music.tokenizers import Decoded, Tokenizer
else:  # hidden from checkers, for whom any misspelt name would be one

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """List the public names, and what every module has."""
        return sorted({*(name for name in globals() if name.startswith("__")), *__all__})


__all__ = [
    "Composition",
    "Config",
    "ConfigError",
    "Decoded",
    "Estimate",
    "Evaluation",
    "InputError",
    "Judgement",
    "Meter",
    "Note",
    "OutputError",
    "Piece",
    "RankError",
    "Run",
    "RunError",
    "Scan",
    "Scored",
    "SeqganMusicError",
    "Tempo",
    "Tokenizer",
    "__version__",
    "compare",
    "features",
    "load",
    "measure",
    "plug_in",
    "presets",
    "read",
    "read_all",
    "scan",
    "tokenizer",
    "train",
    "write",
]
