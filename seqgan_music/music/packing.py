"""Pieces as arrays and bytes: what a worker sends, the cache keeps, and searches over thousands of pieces read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DRUMS, PROGRAMS, UNSAID, Meter, Note, Piece, Tempo

if TYPE_CHECKING:
    from seqgan_music.music.reading import Reading

Array = npt.NDArray[np.int32]
COLUMNS = 5


@dataclass(frozen=True)
class Facts:
    """What a table says of a piece.

    notes:   number of notes
    beats:   length in quarter notes, to the end of the last note
    seconds: the same by the tempo map
    onsets:  ticks at which a note begins
    chords:  those at which more than one does
    lowest, highest: MIDI pitches, drums apart; 0 without notes
    meters:  "3/4", "6/8", ... in order of appearance, each once
    qpm:     mean tempo over the piece, quarter notes per minute
    """

    notes: int
    beats: float
    seconds: float
    onsets: int
    chords: int
    lowest: int
    highest: int
    meters: tuple[str, ...]
    qpm: float

    @classmethod
    def of(cls, piece: Piece) -> Facts:
        """Measure a piece."""
        onsets, sizes = np.unique([note.onset for note in piece.notes], return_counts=True)
        pitches = [note.pitch for note in piece.tuned.notes]
        beats, seconds = piece.end / piece.ticks_per_beat, piece.seconds_at(piece.end)
        return cls(
            notes=len(piece.notes),
            beats=beats,
            seconds=seconds,
            onsets=len(onsets),
            chords=int((sizes > 1).sum()),
            lowest=min(pitches, default=0),
            highest=max(pitches, default=0),
            meters=tuple(dict.fromkeys(f"{meter.numerator}/{meter.denominator}" for meter in piece.meters)),
            qpm=60 * beats / seconds if seconds else piece.tempos[0].qpm,
        )


@dataclass(frozen=True)
class PackedPiece:
    """A piece whose notes are an array (M, 5), a row as the fields of `Note`. Made with its facts."""

    name: str
    ticks_per_beat: int
    meters: tuple[Meter, ...]
    tempos: tuple[Tempo, ...]
    program: int
    facts: Facts
    notes: Array

    @classmethod
    def pack(cls, piece: Piece) -> PackedPiece:
        """Return the packed form of a piece."""
        notes = [(n.onset, n.pitch, n.duration, n.velocity, n.instrument) for n in piece.notes]
        return cls(
            name=piece.name,
            ticks_per_beat=piece.ticks_per_beat,
            meters=piece.meters,
            tempos=piece.tempos,
            program=piece.program,
            facts=Facts.of(piece),
            notes=np.array(notes, dtype=np.int32).reshape(-1, COLUMNS),
        )

    def unpack(self) -> Piece:
        """Return the piece."""
        return Piece(
            notes=tuple(Note(*row) for row in self.notes.tolist()),
            ticks_per_beat=self.ticks_per_beat,
            meters=self.meters,
            tempos=self.tempos,
            program=self.program,
            name=self.name,
        )

    @property
    def tuned(self) -> Array:
        """The notes but for drums."""
        instrument = self.notes[:, 4]
        tuned: Array = self.notes[(instrument == UNSAID) | (instrument % PROGRAMS != DRUMS)]
        return tuned

    @cached_property
    def digest(self) -> str:
        """Hash of all that a tokenizer may read: everything but the name."""
        rest = [self.ticks_per_beat, *map(_plain, self.meters), *map(_plain, self.tempos), self.program]
        return hashlib.sha256(json.dumps(rest).encode() + self.notes.tobytes()).hexdigest()


@dataclass(frozen=True)
class PackedReading:
    """A `Reading` with packed pieces."""

    pieces: tuple[PackedPiece, ...]
    reason: str | None
    detail: str
    counts: Mapping[str, int]
    track: str | None

    @classmethod
    def pack(cls, reading: Reading) -> PackedReading:
        """Return the packed form of what was read from a file."""
        pieces = tuple(map(PackedPiece.pack, reading.pieces))
        return cls(pieces, reading.reason, reading.detail, dict(reading.counts), reading.track)

    def to_bytes(self) -> bytes:
        """Return one line of JSON followed by the notes of all pieces as little-endian 32-bit integers."""
        header = {
            "reason": self.reason,
            "detail": self.detail,
            "counts": dict(self.counts),
            "track": self.track,
            "pieces": [
                {
                    "name": piece.name,
                    "ticks_per_beat": piece.ticks_per_beat,
                    "meters": list(map(_plain, piece.meters)),
                    "tempos": list(map(_plain, piece.tempos)),
                    "program": piece.program,
                    "facts": asdict(piece.facts),
                }
                for piece in self.pieces
            ],
        }
        notes = b"".join(piece.notes.astype("<i4").tobytes() for piece in self.pieces)
        return json.dumps(header).encode() + b"\n" + notes

    @classmethod
    def from_bytes(cls, data: bytes) -> PackedReading:
        """Undo `to_bytes`. Raises ValueError, KeyError or TypeError where the bytes are something else."""
        line, _, body = data.partition(b"\n")
        header = json.loads(line)
        notes = np.frombuffer(body, dtype="<i4").astype(np.int32, copy=False).reshape(-1, COLUMNS)
        pieces, start = [], 0
        for entry in header.pop("pieces"):
            meters, tempos, facts = entry.pop("meters"), entry.pop("tempos"), entry.pop("facts")
            end = start + facts["notes"]
            if end > len(notes):
                raise ValueError("fewer notes than said")
            pieces.append(
                PackedPiece(
                    **entry,
                    meters=tuple(Meter(*values) for values in meters),
                    tempos=tuple(Tempo(*values) for values in tempos),
                    facts=Facts(**{**facts, "meters": tuple(facts["meters"])}),
                    notes=notes[start:end],
                )
            )
            start = end
        return cls(pieces=tuple(pieces), **header)


def _plain(value: Meter | Tempo) -> list[Any]:
    if isinstance(value, Meter):
        return [value.onset, value.numerator, value.denominator]
    return [value.onset, value.qpm]
