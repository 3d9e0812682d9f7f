"""One new piece and what is known of how it came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music.arguments import AnyPath, checked
from seqgan_music.compose.bars import bars_of
from seqgan_music.music.notes import Piece

if TYPE_CHECKING:
    from seqgan_music.music.metrics.originality import CopiedRun

HEAT_MEANS = ("below every held-out bar", "above every held-out bar")
"""What the critic's ranks of bars are at 0 and at 1."""


@dataclass(frozen=True, repr=False)
class Composition:
    """One new piece, the ids behind it (a primer's left out), the seed that makes it again, and what went wrong.

    `dropped` counts tokens that made no sense, by kind; `finished` is false where the generator had to be stopped
    before the length asked for. Where copying was limited, `copied` is the longest run of new notes that the
    training music has too (its `notes`, the `source`, the bars `start_bar` here and `source_bar` there), and
    `refusals` counts how often a note was taken back for it. Where candidates were weighed, `effective` is the
    number of them that the least certain choice rested on. Where bars of a piece were written anew, `changed` is
    the share of notes that differ from it. Where it is the best of several, `why` says by what.

    The rest is for its files: `title` (the run's name), `comment` (the command that writes the piece again),
    `signature` (a key signature that was asked for) and `heat` (the critic's rank of each bar, 0 to 1).
    """

    piece: Piece
    ids: tuple[int, ...]
    seed: int
    dropped: Counter[str]
    finished: bool = True
    copied: CopiedRun | None = None
    refusals: int = 0
    effective: float | None = None
    changed: float | None = None
    why: Mapping[str, Any] | None = None
    title: str = ""
    comment: str = ""
    signature: str | None = None
    heat: tuple[float, ...] | None = None

    def __str__(self) -> str:
        """Return it in a line for people: "16 bars, 98 notes, 32.0 seconds, seed 1"."""
        return f"{self.bars} bars, {len(self.piece.notes)} notes, {self.seconds:.1f} seconds, seed {self.seed}"

    def __repr__(self) -> str:
        """Return the same as text of its kind: its hundreds of notes would bury whatever it is printed among."""
        return f"<Composition: {self}>"

    def _repr_svg_(self) -> str:
        """Return its piano roll, which notebooks show."""
        from seqgan_music.music.formats.roll import roll_svg

        return roll_svg(self.piece, title=self._title(of_page=True), heat=self.heat, heat_means=HEAT_MEANS)

    @property
    def bars(self) -> int:
        """Bars up to that in which the last note ends."""
        return len(bars_of(self.piece))

    @property
    def seconds(self) -> float:
        """Time from the start to the end of the last note."""
        return self.piece.seconds_at(self.piece.end)

    @checked()
    def write(
        self,
        path: AnyPath,
        *,
        score: bool = False,
        title: str | None = None,
        soundfont: AnyPath | None = None,
    ) -> Path:
        """Write a file, whole or not at all, in the format of its suffix, and return its path.

        Formats: .mid .wav .flac .mp3 .ogg .musicxml .mxl .svg .png. With `score`, .svg and .png are notation (extra
        `score`) instead of a piano roll. `soundfont` is a SoundFont 2 file that sound is played with. The file's
        text says with which command the piece can be made again. Raises ConfigError (no such format, or one that is
        not installed), InputError (a bad SoundFont) and OutputError.
        """
        from seqgan_music.music import formats

        path = Path(path)
        of_page = path.suffix.lower() not in (".mid", ".midi")
        options = formats.Options(
            title=self._title(of_page=of_page) if title is None else title,
            comment=self.comment or None,
            key=self.signature,
            score=score,
            soundfont=Path(soundfont) if soundfont is not None else None,
            heat=self.heat,
            heat_means=HEAT_MEANS,
        )
        formats.write(self.piece, path, options)
        return path

    def _title(self, *, of_page: bool) -> str | None:
        """A track is named after the run; a page, which may be printed, says which of its pieces it is."""
        return f"{self.title}, seed {self.seed}" if of_page and self.title else self.title or None
