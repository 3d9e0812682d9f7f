"""Score: parts on the grid before they become one Piece, and music21's streams and files as such.

1. Repeats are played as a player reads them: back to the last start sign, endings by number, then D.C. or
   D.S. (al Fine). Nothing nests, so signs that do not match cannot multiply a tune; "al Coda" is not followed.
2. Whole measures stand on bar lines. What an upbeat or a section's short last measure lacks, and no neighbour
   makes up, is filled with silence and counted: transcribers of folk tunes leave it to the player.
3. Text reaches music21 from memory: it caches nothing, and no XML entity is ever expanded.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from seqgan_music.errors import InputError
from seqgan_music.music.notes import DEFAULT_QPM, DEFAULT_VELOCITY, Meter, Note, Piece, Tempo

SCORE_SUFFIXES = frozenset({".abc", ".musicxml", ".mxl", ".xml", ".krn"})
SLOWEST_QPM, FASTEST_QPM = 10.0, 400.0
EPSILON = 1e-4  # beats; music21 gives odd fractions of a beat as floats

_Change = TypeVar("_Change", Meter, Tempo)


class UnusableError(InputError):
    """A file without a usable piece. `reason` is its stable category, the message a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


@dataclass
class Part:
    """One voice, staff or track as written: notes in ticks in any order, overlaps and all."""

    name: str = ""
    program: int = 0
    notes: list[Note] = field(default_factory=list)


@dataclass
class Score:
    """What a file holds before one Piece is made of it: parts, and the meters and tempos they share, in ticks."""

    ticks_per_beat: int
    name: str = ""
    parts: list[Part] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    tempos: list[Tempo] = field(default_factory=list)


def piece_from_score(score: Score, counts: Counter[str] | None = None) -> Piece:
    """Merge the parts into one Piece whose notes of one pitch never overlap.

    Of notes with one onset and pitch the longest stays, an earlier note is cut where its pitch is struck again,
    meters move to the next bar line, silent bars before the first onset go. `counts` learns what was changed.
    """
    counts = Counter() if counts is None else counts
    grid = score.ticks_per_beat
    notes = _without_overlaps([note for part in score.parts for note in part.notes], counts)
    meters, moved = _at_bar_lines(score.meters, grid)
    counts["meters_moved_to_bar_line"] += len(moved)
    tempos = _clamped(score.tempos, counts)
    program = next((part.program for part in score.parts if part.notes), 0)
    start, end = 0, 1
    if notes:
        first, end = notes[0].onset, max(note.end for note in notes)
        meter = next(meter for meter in reversed(meters) if meter.onset <= first)
        start = first - (first - meter.onset) % meter.bar_ticks(grid)
        counts["silent_bars_removed"] += _bars_before(start, meters, grid)
    if start:
        notes = [replace(note, onset=note.onset - start) for note in notes]
    return Piece(
        tuple(notes),
        grid,
        _from_tick(start, [meter for meter in meters if meter.onset < end]),
        _from_tick(start, [tempo for tempo in tempos if tempo.onset < end]),
        program,
        score.name,
    )


def with_upbeat(score: Score, counts: Counter[str]) -> Score:
    """Return the score begun later in its first bar, if that puts every change of meter on a bar line.

    Sequencers write an upbeat at tick 0 and say nothing of it; a later change of meter betrays it.
    """
    _, waits = _at_bar_lines(score.meters, score.ticks_per_beat)
    if not waits:
        return score

    def later(events: list[_Change]) -> list[_Change]:
        return [replace(event, onset=event.onset + waits[0]) if event.onset else event for event in events]

    meters = later(score.meters)
    if _at_bar_lines(meters, score.ticks_per_beat)[1]:
        return score
    counts["upbeats_filled"] += 1
    for part in score.parts:
        part.notes = [replace(note, onset=note.onset + waits[0]) for note in part.notes]
    return replace(score, meters=meters, tempos=later(score.tempos))


def piece_from_stream(stream: Any, ticks_per_beat: int, name: str, max_notes: int = 50_000) -> Piece:
    """Return a music21 Score, Part or flat Stream as one Piece, repeats played and ties merged.

    Raises UnusableError where it would have more than `max_notes` notes.
    """
    return piece_from_score(score_from_stream(stream, ticks_per_beat, name, max_notes))


def pieces_from_file(path: Path, ticks_per_beat: int) -> list[Piece]:
    """Return the pieces of one ABC, MusicXML or Humdrum file. Raises UnusableError where there are none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableError("unreadable", f"{path} cannot be read: {error.strerror}.") from None
    return [piece_from_score(score) for score in scores_from_bytes(data, path.suffix, path.stem, ticks_per_beat)]


def scores_from_bytes(
    data: bytes,
    suffix: str,
    name: str,
    ticks_per_beat: int,
    max_notes: int = 50_000,
    max_bytes: int = 32_000_000,
    counts: Counter[str] | None = None,
) -> list[Score]:
    """Return the scores in the bytes of a file whose `suffix` is one of SCORE_SUFFIXES.

    A tune-book of ABC gives one Score a tune, named by its title; tunes that music21 cannot read are counted.
    `max_bytes` bounds what a compressed file may unpack to. Raises UnusableError.
    """
    from music21.converter import subConverters

    counts = Counter() if counts is None else counts
    suffix = suffix.lower()
    converter: Any
    if suffix == ".abc":
        texts, converter = _tunes(_decoded(data)), subConverters.ConverterABC
    elif suffix == ".krn":
        texts, converter = [_decoded(data)], subConverters.ConverterHumdrum
    else:
        texts, converter = [_music_xml(data, max_bytes)], subConverters.ConverterMusicXML
    scores, problem = [], ""
    left = max_notes
    for number, text in enumerate(texts, 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader = converter()
                reader.parseData(text)
                for stream in getattr(reader.stream, "scores", None) or [reader.stream]:
                    title = _title(stream) or (name if len(texts) == 1 else f"{name} {number}")
                    score = score_from_stream(stream, ticks_per_beat, title, left, counts)
                    left -= sum(len(part.notes) for part in score.parts)
                    scores.append(score)
        except UnusableError:
            raise
        except Exception as error:  # music21 raises whatever its parsers stumble upon
            problem = str(error).strip() or type(error).__name__
            counts["unreadable_tunes"] += 1
    if problem and not any(part.notes for score in scores for part in score.parts):
        raise UnusableError("damaged", f"music21 cannot read it: {printable(problem)}.")
    return scores


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


def printable(text: str, length: int = 80) -> str:
    """Return foreign text fit for one line of a terminal: printable and not too long."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * length])
    return " ".join(line.split())[:length]


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


def usable_meter(numerator: int, denominator: int, ticks_per_beat: int) -> bool:
    """Say whether a meter can be one: 1..64 over a power of two to 64, its bar a whole number of ticks."""
    return (
        1 <= numerator <= 64
        and denominator in (1, 2, 4, 8, 16, 32, 64)
        and numerator * 4 * ticks_per_beat % denominator == 0
    )


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


def _title(stream: Any) -> str:
    metadata = getattr(stream, "metadata", None)
    return printable(str((metadata.title or metadata.movementName or "") if metadata else ""))


def _decoded(data: bytes) -> str:
    """Return text in UTF-16 with a mark, in UTF-8, or else in Latin-1: no other coding may hide an entity."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _tunes(text: str) -> list[str]:
    """Return the tunes of an ABC book, each with the fields that stand above the first one."""
    heads = [match.start() for match in re.finditer(r"^X:", text, re.MULTILINE)]
    if len(heads) < 2:
        return [text]
    preface = "".join(f"{line}\n" for line in text[: heads[0]][:2000].splitlines() if re.match(r"[A-Za-z]:", line))
    # A tune's own X: must come first, or music21 counts the preface as a tune.
    return [
        head + "\n" + preface + body
        for start, end in zip(heads, [*heads[1:], len(text)], strict=True)
        for head, _, body in [text[start:end].partition("\n")]
    ]


def _music_xml(data: bytes, max_bytes: int) -> str:
    text = _decoded(_unpacked(data, max_bytes) if data[:2] == b"PK" else data)
    if "<!ENTITY" in text or re.search(r"<!DOCTYPE[^>\[]{0,2000}\[", text):
        raise UnusableError("unsafe XML", "It declares XML entities, which no score needs; export it again.")
    if "<score-timewise" in text:
        raise UnusableError("not MusicXML", "It is MusicXML in score-timewise order; save it as score-partwise.")
    if "<score-partwise" not in text:
        raise UnusableError("not MusicXML", "It holds no <score-partwise>, so it is not a MusicXML score.")
    return text


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            inside = [name for name in names if name.lower().endswith((".xml", ".musicxml"))]
            if "META-INF/container.xml" in names:
                with archive.open("META-INF/container.xml") as file:
                    root = re.search(rb'full-path="([^"]+)"', file.read(100_000))
                inside = [name for name in inside if root and name == root[1].decode("utf-8", "replace")] or inside
            inside = [name for name in inside if not name.startswith("META-INF/")]
            if not inside:
                raise UnusableError("not MusicXML", "The archive holds no score.")
            with archive.open(inside[0]) as file:
                text = file.read(max_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UnusableError("damaged", f"The archive cannot be unpacked: {printable(str(error))}.") from None
    if len(text) > max_bytes:
        raise UnusableError("too large", f"It unpacks to more than {max_bytes // 1_000_000} MB.")
    return text


def _without_overlaps(notes: list[Note], counts: Counter[str]) -> list[Note]:
    latest: dict[int, int] = {}  # pitch -> where its latest note stands in `kept`
    kept: list[Note] = []
    for note in sorted(notes, key=attrgetter("onset", "pitch", "duration")):
        place = latest.get(note.pitch)
        if place is not None:
            before = kept[place]
            if before.onset == note.onset:  # sorted by duration too: the later one is at least as long
                counts["doubled_notes_merged"] += 1
                kept[place] = note
                continue
            if before.end > note.onset:
                counts["overlaps_trimmed"] += 1
                kept[place] = replace(before, duration=note.onset - before.onset)
        latest[note.pitch] = len(kept)
        kept.append(note)
    return kept


def _at_bar_lines(meters: list[Meter], ticks_per_beat: int) -> tuple[list[Meter], list[int]]:
    """Return the meters, each from a bar line on, and by how many ticks those inside a bar had to wait."""
    placed, waits = [Meter(0, 4, 4)], []
    for meter in sorted(meters, key=attrgetter("onset")):
        now = placed[-1]
        length = now.bar_ticks(ticks_per_beat)
        onset = now.onset + -(-(meter.onset - now.onset) // length) * length
        if onset == now.onset:
            placed.pop()
        elif (meter.numerator, meter.denominator) == (now.numerator, now.denominator):
            continue
        if onset != meter.onset:
            waits.append(onset - meter.onset)
        placed.append(replace(meter, onset=onset))
    return placed, waits


def _clamped(tempos: list[Tempo], counts: Counter[str]) -> list[Tempo]:
    kept = [Tempo(0, DEFAULT_QPM)]
    for tempo in sorted(tempos, key=attrgetter("onset")):
        qpm = round(min(max(tempo.qpm, SLOWEST_QPM), FASTEST_QPM), 2)
        counts["tempos_clamped"] += not SLOWEST_QPM <= tempo.qpm <= FASTEST_QPM
        kept.append(Tempo(tempo.onset, qpm))
    return kept


def _from_tick(start: int, events: Sequence[_Change]) -> tuple[_Change, ...]:
    """Return the meters or tempos in force from `start` on, counted from there; those that change nothing go."""
    kept: list[_Change] = []
    for event in events:
        moved = replace(event, onset=max(0, event.onset - start))
        if kept and kept[-1].onset == moved.onset:
            kept.pop()
        if not kept or replace(moved, onset=kept[-1].onset) != kept[-1]:
            kept.append(moved)
    return tuple(kept)


def _bars_before(tick: int, meters: list[Meter], ticks_per_beat: int) -> int:
    ends = [*(min(tick, meter.onset) for meter in meters[1:]), tick]
    spans = zip(meters, ends, strict=True)
    return sum(max(0, end - meter.onset) // meter.bar_ticks(ticks_per_beat) for meter, end in spans)
