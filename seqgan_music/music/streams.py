"""music21 streams -> Score: measures in the order, and on the bar lines, that a player gives them.

1. Repeats are played as a player reads them: back to the last start sign, endings by number, then D.C. or
   D.S. (al Fine). Nothing nests, so signs that do not match cannot multiply a tune; "al Coda" is not followed.
2. Whole measures stand on bar lines. What an upbeat or a section's short last measure lacks, and no neighbour
   makes up, is filled with silence and counted: transcribers of folk tunes leave it to the player.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from seqgan_music.music.notes import DEFAULT_VELOCITY, Meter, Note, Piece, Tempo
from seqgan_music.music.scores import Part, Score, piece_from_score, usable_meter
from seqgan_music.music.unusable import UnusableError, printable

EPSILON = 1e-4  # beats; music21 gives odd fractions of a beat as floats


def piece_from_stream(stream: Any, ticks_per_beat: int, name: str, max_notes: int = 50_000) -> Piece:
    """Return a music21 Score, Part or flat Stream as one Piece, repeats played and ties merged.

    Raises UnusableError where it would have more than `max_notes` notes.
    """
    return piece_from_score(score_from_stream(stream, ticks_per_beat, name, max_notes))


def score_from_stream(
    stream: Any, ticks_per_beat: int, name: str, max_notes: int = 50_000, counts: Counter[str] | None = None
) -> Score:
    """Return a music21 stream as a Score: sounding pitches, ties merged, repeats played, the pickup filled up.

    Grace notes, chord symbols and percussion are left out and counted. Raises UnusableError past `max_notes`.
    """
    from music21 import stream as m21

    counts = Counter() if counts is None else counts
    staves: list[Any] = [el for el in stream if isinstance(el, m21.Part)] or [stream]
    measured: list[list[Any]] = [[el for el in staff if isinstance(el, m21.Measure)] or [staff] for staff in staves]
    measures = measured[0]
    # Staves that do not share their bars are read as written: a repeat would tear them apart.
    together = all(len(own) == len(measures) for own in measured)
    order = play_order(measures, _endings(stream, staves[0])) if together else list(range(len(measures)))
    readers = [_Staff(staff, counts) for staff in staves]
    read = [[reader.measure(el) for el in own] for reader, own in zip(readers, measured, strict=True)]
    offsets = [
        [0.0 if el is staff else float(el.offset) for el in own]
        for staff, own in zip(staves, measured, strict=True)
    ]
    lengths = [after - before for before, after in pairwise(offsets[0])] + [float(measures[-1].highestTime)]
    bars = _bars(read[0], ticks_per_beat, counts)
    closes = [getattr(getattr(el, "rightBarline", None), "type", "regular") != "regular" for el in measures]
    starts, lines = _starts(order, lengths, [4 * n / d for n, d in bars], closes, counts if together else Counter())
    if not together:
        starts = lines = [starts[0] + offset for offset in offsets[0]]
    score = Score(ticks_per_beat, name)
    score.meters = [Meter(_tick(line, ticks_per_beat), *bars[i]) for i, line in zip(order, lines, strict=True)]
    score.meters[0] = replace(score.meters[0], onset=0)
    for reader, own, own_offsets in zip(readers, read, offsets, strict=True):
        own_starts = starts if together else [starts[0] + offset for offset in own_offsets]
        plan = list(zip([own[index] for index in order] if together else own, own_starts, strict=True))
        heard = _played(plan, max_notes)
        max_notes -= len(heard)
        reader.part.notes = [_on_grid(note, ticks_per_beat, counts) for note in heard]
        score.parts.append(reader.part)
        for measure, start in plan:
            score.tempos += [Tempo(_tick(start + at, ticks_per_beat), qpm) for at, qpm in measure.tempos]
    upbeat = _tick(starts[0], ticks_per_beat)  # what it begins with is in force from the bar line on
    score.tempos = [replace(tempo, onset=0) if tempo.onset <= upbeat else tempo for tempo in score.tempos]
    return score


def play_order(measures: Sequence[Any], endings: Sequence[Any] = ()) -> list[int]:
    """Return the indices of music21 `measures` in the order a player takes them. `endings` are RepeatBrackets."""
    from music21 import bar, repeat

    passes: list[frozenset[int]] = [frozenset()] * len(measures)
    index_of = {id(measure): index for index, measure in enumerate(measures)}
    for bracket in endings:
        spanned = [index_of[id(el)] for el in bracket.getSpannedElements() if id(el) in index_of]
        for index in range(min(spanned), max(spanned) + 1) if spanned else ():
            passes[index] = frozenset(bracket.numberRange)
    marks: dict[str, int] = {}
    begins, turns = [False] * len(measures), [1] * len(measures)
    for index, measure in enumerate(measures):
        for element in measure:
            if isinstance(element, bar.Repeat):
                if element.direction == "start":
                    begins[index] = True
                else:
                    turns[index] = min(element.times or 2, 8)
            elif isinstance(element, repeat.RepeatExpression):
                marks.setdefault(type(element).__name__, index)
    order, last_pass = _with_repeats(begins, turns, passes)
    jump = next((name for name in ("DaCapoAlFine", "DaCapo", "DalSegnoAlFine", "DalSegno") if name in marks), None)
    back = 0 if jump is None or jump.startswith("DaCapo") else marks.get("Segno")
    if jump and back is not None and back <= marks[jump]:
        stop = marks.get("Fine", len(measures) - 1) if jump.endswith("AlFine") else marks[jump]
        order += [index for index in range(back, stop + 1) if index in last_pass]
    return order


def _with_repeats(begins: list[bool], turns: list[int], passes: list[frozenset[int]]) -> tuple[list[int], set[int]]:
    order: list[int] = []
    last_pass: set[int] = set()
    index = section = 0
    turn = 1
    while index < len(begins):
        if begins[index] and index > section and turn == 1:
            section = index
        if passes[index]:
            group = index
            while group < len(passes) and passes[group]:
                group += 1
            chosen = [i for i in range(index, group) if turn in passes[i]]
            rounds = min(8, max(max(numbers) for numbers in passes[index:group]))
            order += chosen
            returns = any(turns[i] > 1 for i in chosen) and turn < rounds
            if turns[group - 1] > 1 and len(set(passes[index:group])) == 1 and turn < rounds + 1:
                returns = bool(chosen)  # a first ending whose second one has no bracket
            if returns:
                index, turn = section, turn + 1
            else:
                last_pass.update(chosen)
                index, section, turn = group, group, 1
            continue
        order.append(index)
        last_pass.add(index)
        if turns[index] > turn:
            index, turn = section, turn + 1
        else:
            index += 1
            if turns[index - 1] > 1:
                section, turn = index, 1
    return order, last_pass


def _bars(measures: list[_Measure], ticks_per_beat: int, counts: Counter[str]) -> list[tuple[int, int]]:
    """Return the meter in force in each written measure."""
    bars: list[tuple[int, int]] = []
    for measure in measures:
        bar = bars[-1] if bars else (4, 4)
        for meter in measure.meters[:1]:
            if usable_meter(*meter, ticks_per_beat):
                bar = meter
            else:
                counts["meters_ignored"] += 1
        bars.append(bar)
    return bars


def _starts(
    order: list[int], lengths: list[float], bars: list[float], closes: list[bool], counts: Counter[str]
) -> tuple[list[float], list[float]]:
    """Return the start of each played measure and its bar line before it, so that whole measures stand on these.

    What a measure lacks is silent: before it where it leads on (an upbeat), else after it. Measures that make up
    a bar between them, as at a repeat with an upbeat, lack nothing. `lengths` and `bars` are beats, `closes` says
    which measures end a section.
    """
    first = lengths[0] if len(lengths) > 1 else bars[0]
    now = bars[0] - first if 0 < first < bars[0] else 0.0
    starts: list[float] = []
    lines: list[float] = []
    line = 0.0
    for place, index in enumerate(order):
        before = order[place - 1] if place else index
        whole = lengths[index] > bars[index] - EPSILON
        if place and (whole or bars[index] != bars[before]):
            gap = -(now - line) % bars[before]
            if EPSILON < gap < bars[before] - EPSILON:
                counts["bars_filled"] += 1
                partial = lengths[before] < bars[before] - EPSILON
                if partial and index == before + 1 and not closes[before]:
                    starts[-1] += gap  # an upbeat
                now += gap
            line = now
        starts.append(now)
        lines.append(line)
        now += lengths[index]
    return starts, lines


class _Tone(NamedTuple):
    """One written note head: `offset` and `length` in beats, `offset` from the measure's start."""

    offset: float
    length: float
    pitch: int
    velocity: int
    tie: str


@dataclass
class _Measure:
    """What one written measure holds, read once however often it is played."""

    tones: list[_Tone] = field(default_factory=list)
    meters: list[tuple[int, int]] = field(default_factory=list)
    tempos: list[tuple[float, float]] = field(default_factory=list)


class _Staff:
    """Reads the measures of one staff. What an instrument says holds for the measures after it."""

    def __init__(self, stream: Any, counts: Counter[str]) -> None:
        self.stream, self.counts = stream, counts
        self.part = Part(printable(str(getattr(stream, "partName", None) or "")))
        self.drums, self.semitones = False, 0
        self._read: dict[int, _Measure] = {}
        for element in stream:
            if "Instrument" in element.classSet:
                self._instrument(element)

    def measure(self, stream: Any) -> _Measure:
        if id(stream) not in self._read:
            measure = self._read[id(stream)] = _Measure()
            for offset, element in _elements(stream, 0.0):
                classes = element.classSet
                if "GeneralNote" in classes:
                    measure.tones += self._tones(offset, element)
                elif "TimeSignature" in classes:
                    measure.meters.append((element.numerator, element.denominator))
                elif "MetronomeMark" in classes and (qpm := element.getQuarterBPM()):
                    measure.tempos.append((offset, float(qpm)))
                elif "Instrument" in classes:
                    self._instrument(element)
            # A tie may lead from one voice to another, which stand one after the other in a measure.
            measure.tones.sort(key=lambda tone: tone.offset)
        return self._read[id(stream)]

    def _instrument(self, element: Any) -> None:
        self.part.program = element.midiProgram or self.part.program
        self.drums = element.midiChannel == 9 or "UnpitchedPercussion" in element.classSet
        if element.transposition is not None and self.stream.atSoundingPitch is False:
            self.semitones = int(element.transposition.semitones)

    def _tones(self, offset: float, element: Any) -> list[_Tone]:
        classes = element.classSet
        if "Rest" in classes:
            return []
        if "Harmony" in classes:
            self.counts["chord_symbols_dropped"] += 1
            return []
        if element.duration.isGrace:
            self.counts["grace_notes_dropped"] += 1
            return []
        heads = element.notes if "ChordBase" in classes else (element,)
        if self.drums or "Unpitched" in classes or "PercussionChord" in classes:
            self.counts["drum_notes"] += len(heads)
            return []
        length = float(element.quarterLength)
        velocity = (element.volume.velocity if element.hasVolumeInformation() else None) or DEFAULT_VELOCITY
        return [
            _Tone(offset, length, head.pitch.midi + self.semitones, velocity, head.tie.type if head.tie else "")
            for head in heads
        ]


@dataclass
class _Heard:
    """One sounding note in beats, ties merged."""

    onset: float
    end: float
    pitch: int
    velocity: int


def _played(plan: list[tuple[_Measure, float]], left: int) -> list[_Heard]:
    """Return the notes of the measures at their starts (beats). Raises UnusableError past `left` notes."""
    heard: list[_Heard] = []
    tied: dict[int, _Heard] = {}
    for measure, start in plan:
        for offset, length, pitch, velocity, tie in measure.tones:
            onset = start + offset
            note = tied.pop(pitch, None) if tie in ("stop", "continue") else None
            if note is not None and abs(note.end - onset) < EPSILON:
                note.end = onset + length
            else:
                note = _Heard(onset, onset + length, pitch, velocity)
                heard.append(note)
            if tie in ("start", "continue"):
                tied[pitch] = note
        if len(heard) > left:
            raise UnusableError("too many notes", "It has more notes than max_notes allows.")
    return heard


def _tick(beat: float, ticks_per_beat: int) -> int:
    return int(beat * ticks_per_beat + 0.5)


def _on_grid(note: _Heard, ticks_per_beat: int, counts: Counter[str]) -> Note:
    onset, end = _tick(note.onset, ticks_per_beat), _tick(note.end, ticks_per_beat)
    counts["onsets_moved_to_grid"] += abs(note.onset * ticks_per_beat - onset) > EPSILON * ticks_per_beat
    counts["short_notes_lengthened"] += end == onset
    return Note(onset, note.pitch, max(1, end - onset), min(max(note.velocity, 1), 127))


def _elements(stream: Any, start: float) -> Iterator[tuple[float, Any]]:
    """Yield (beats from the measure's start, element), voices included, as iteration makes offsets cheap."""
    for element in stream:
        offset = start + float(element.offset)
        if element.isStream:
            yield from _elements(element, offset)
        else:
            yield offset, element


def _endings(*streams: Any) -> list[Any]:
    return [element for stream in streams for element in stream if "RepeatBracket" in element.classSet]
