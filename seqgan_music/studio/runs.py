"""Which runs the studio offers: those of a folder, one named besides, and the model that comes along."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqgan_music.compose import BUNDLED, newest_run
from seqgan_music.errors import RunError

_MOST = 200


@dataclass(frozen=True)
class Runs:
    """The runs under `root`, found anew each time: one may have been trained since. `named` comes first."""

    root: Path
    named: Path | None = None

    def found(self) -> dict[str, Path]:
        """Return the folders of runs that can write, by the name that the page knows them by."""
        folders = [self.named] if self.named else []
        if self.root.is_dir():
            with suppress(RunError):
                folders.append(newest_run(self.root))
            inside = [
                path.parent
                for pattern in ("*/config.toml", "*/seed-*/config.toml")
                for path in self.root.glob(pattern)
                if not path.parent.is_symlink()  # `latest` is one of the others
            ]
            folders += sorted(inside, key=lambda run: (_changed(run), run.name), reverse=True)
        named: dict[str, Path] = {}
        real: set[Path] = set()
        for folder in [*folders[:_MOST], BUNDLED]:
            if folder.resolve() not in real and (folder / "checkpoints" / "best.json").is_file():
                real.add(folder.resolve())
                named[self._name(folder, named)] = folder
        return named

    def _name(self, folder: Path, taken: dict[str, Path]) -> str:
        try:
            name = folder.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            name = folder.resolve().name
        same = [one for one in taken if one == name or one.startswith(f"{name} (")]
        return f"{name} ({len(same) + 1})" if same else name


def _changed(run: Path) -> float:
    with suppress(OSError):
        return (run / "config.toml").stat().st_mtime
    return 0.0
