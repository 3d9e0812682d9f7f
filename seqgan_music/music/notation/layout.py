"""An arrangement -> a laid-out score: parts, staves, bars, voices, and in them values with ties and beams.

All that is to be decided about a page's notes is decided here, in ticks; a writer only translates. A first bar that
is silent for half its length or more is a pickup, and begins with its first note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from seqgan_music.music.arrangement import Arrangement, Track
from seqgan_music.music.notation import spelling
from seqgan_music.music.notation.grid import on_grid
from seqgan_music.music.notation.rhythm import Beam, Node, Value, beams, meter_tree, values
from seqgan_music.music.notation.spelling import Signature
from seqgan_music.music.notation.voices import chords, staves, voices
from seqgan_music.music.notes import Bar, Note

_CLOSE_TEMPO = 0.04
"""Share by which a tempo must differ from the last one to be written: players' and exporters' ritards are many."""

Clef = Literal["treble", "bass", "percussion"]
Tie = Literal["", "start", "stop", "continue"]


@dataclass
class Head:
    """One note of a chord: `pitch` is a MIDI number, `shown` whether an accidental, or a natural, is written."""

    pitch: int
    letter: str
    alter: int
    octave: int
    tie: Tie
    shown: bool = False


@dataclass
class Event:
    """A chord of one note or more, or a rest where it has none. `hidden` rests only fill a voice up."""

    value: Value
    heads: list[Head]
    hidden: bool = False
    beams: list[Beam] = field(default_factory=list)


@dataclass
class Measure:
    """One bar of a staff: a list of events for each voice, ticks counted from the bar's start.

    `first` is the tick it begins at, above 0 only for a pickup; `whole_rest` says that it is silent.
    """

    bar: Bar
    first: int
    voices: list[list[Event]]
    whole_rest: bool = False


@dataclass
class Staff:
    """One staff of a part."""

    clef: Clef
    measures: list[Measure]


@dataclass
class Part:
    """What one track is written as: a staff, or two of a keyboard."""

    name: str
    program: int
    drums: bool
    staves: list[Staff]


@dataclass
class Score:
    """A score on a grid of `ticks_per_beat`; `tempos` are (bar index, quarter notes a minute)."""

    parts: list[Part]
    ticks_per_beat: int
    signature: Signature
    tempos: list[tuple[int, float]]


def lay_out(music: Arrangement, key: str | None = None) -> Score:
    """Return music as a score, in the key of that name or the one that fits it best. Tracks without notes go."""
    music = on_grid(music)
    bars = list(music.together.bars())
    while bars and bars[-1].end < music.together.end:
        bars.append(Bar(bars[-1].end, bars[-1].length, bars[-1].meter))
    if not bars:
        meter = music.meters[0]
        length = meter.bar_ticks(music.ticks_per_beat)
        bars = [Bar(0, length, (meter.numerator, meter.denominator))]
    tuned = [note for track in music.tracks if not track.drums for note in track.notes]
    signature = Signature.parse(key) if key else spelling.find(tuned)
    pickup = _pickup(bars, music)
    trees = {bar.meter: meter_tree(*bar.meter, music.ticks_per_beat) for bar in bars}
    tracks = [track for track in music.tracks if track.notes] or [Track(())]
    parts = []
    for number, track in enumerate(tracks, 1):
        name = track.name or ("Drums" if track.drums else f"Track {number}" if len(tracks) > 1 else "")
        split = [list(track.notes)] if track.drums or not track.notes else staves(track.notes)
        written = [
            _staff(notes, place, track.drums, bars, pickup, trees, signature, music.ticks_per_beat)
            for place, notes in enumerate(split)
        ]
        parts.append(Part(name, track.program, track.drums, written))
    return Score(parts, music.ticks_per_beat, signature, _tempos(music, bars))


def _pickup(bars: Sequence[Bar], music: Arrangement) -> int:
    """Return the tick at which the first bar begins to be written."""
    first = min((note.onset for note in music.together.notes), default=0)
    if len(bars) < 2 or not bars[0].length <= 2 * first < 2 * bars[0].length:
        return 0
    return first if first % 3 == 0 else first - first % (music.ticks_per_beat // 2)


def _tempos(music: Arrangement, bars: Sequence[Bar]) -> list[tuple[int, float]]:
    """Return the tempo of the first bar, and of each bar in which a clearly other one begins."""
    found = [(0, music.tempos[0].qpm)]
    for index, bar in enumerate(bars):
        begun = [tempo.qpm for tempo in music.tempos if bar.start <= tempo.onset < bar.end]
        if begun and abs(begun[-1] / found[-1][1] - 1) > _CLOSE_TEMPO:
            found = [*found, (index, begun[-1])] if index else [(0, begun[-1])]
    return found


def _staff(
    notes: list[Note],
    place: int,
    drums: bool,
    bars: Sequence[Bar],
    pickup: int,
    trees: dict[tuple[int, int], Node],
    signature: Signature,
    ticks_per_beat: int,
) -> Staff:
    both = (sorted(notes), list[Note]()) if drums else voices(notes)
    clef: Clef = "percussion" if drums else _clef([note.pitch for note in notes] or [72 - 24 * place])
    starts = [0, 0]
    measures = []
    for index, bar in enumerate(bars):
        first = pickup if index == 0 else 0
        inside = []
        for number, voice in enumerate(both):
            while starts[number] < len(voice) and _over(voice, starts[number], bar.start):
                starts[number] += 1
            inside.append([n for n in voice[starts[number] :] if n.onset < bar.end and n.end > bar.start])
        measures.append(_measure(bar, first, inside, trees[bar.meter], signature, ticks_per_beat, drums))
    return Staff(clef, measures)


def _clef(pitches: Sequence[int]) -> Clef:
    """Return the clef whose five lines, E4 to F5 or G2 to A3, more of the notes come near to."""
    treble = sum(max(0, 64 - pitch, pitch - 77) for pitch in pitches)
    bass = sum(max(0, 43 - pitch, pitch - 57) for pitch in pitches)
    return "treble" if treble <= bass else "bass"


def _over(voice: Sequence[Note], place: int, tick: int) -> bool:
    return voice[place].end <= tick


def _measure(
    bar: Bar,
    first: int,
    inside: Sequence[Sequence[Note]],
    tree: Node,
    signature: Signature,
    ticks_per_beat: int,
    drums: bool,
) -> Measure:
    sounding = [notes for notes in inside if notes]
    if not sounding and not first:
        return Measure(bar, first, [], whole_rest=True)
    sounding = sounding or [[]]  # a rest for a whole bar is as long as its meter says, which a pickup is not
    written = []
    for notes in sounding:
        spans = list(chords(notes, bar.start + first, bar.end))
        if drums:
            spans = _struck(spans, bar, ticks_per_beat)
        edges = [spans[0][0] - bar.start, *(end - bar.start for _, end, _ in spans)]
        events: list[Event] = []
        for index, parts in values(edges, [not chord for _, _, chord in spans], tree, ticks_per_beat):
            chord = spans[index][2]
            for value in parts:
                tied = [_tie(note, bar.start + value.start, bar.start + value.end) for note in chord]
                heads = [
                    Head(note.pitch, *signature.spell(note.pitch), "" if drums else tie)
                    for note, tie in sorted(zip(chord, tied, strict=True), key=lambda pair: pair[0].pitch)
                ]
                events.append(Event(value, heads))
        for index, own in beams([e.value if e.heads else None for e in events], tree, ticks_per_beat).items():
            events[index].beams = own
        written.append(events)
    if len(written) == 2:
        for event in written[1]:
            event.hidden = not event.heads
    _show_accidentals(written, signature)
    return Measure(bar, first, written)


def _struck(
    spans: Sequence[tuple[int, int, list[Note]]], bar: Bar, ticks_per_beat: int
) -> list[tuple[int, int, list[Note]]]:
    """Write drums as struck at once: each lasts to the next one, or to the end of its beat."""
    onsets = sorted({note.onset for _, _, chord in spans for note in chord if note.onset >= spans[0][0]})
    struck: dict[int, list[Note]] = {note.onset: [] for _, _, chord in spans for note in chord}
    for _, _, chord in spans:
        for note in chord:
            if note not in struck[note.onset]:
                struck[note.onset].append(note)
    begin = spans[0][0]
    edges = sorted({begin, bar.end, *onsets})
    found: list[tuple[int, int, list[Note]]] = []
    for start, end in pairwise(edges):
        chord = struck.get(start, [])
        until = min(end, start + ticks_per_beat - (start - bar.start) % ticks_per_beat)
        if chord and until < end:
            found += [(start, until, chord), (until, end, [])]
        else:
            found.append((start, end, chord))
    return found


def _tie(note: Note, start: int, end: int) -> Tie:
    before, after = note.onset < start, note.end > end
    return "continue" if before and after else "stop" if before else "start" if after else ""


def _show_accidentals(written: Sequence[Sequence[Event]], signature: Signature) -> None:
    """Mark the heads whose accidental differs from what holds in the bar: the signature's, or an earlier one's.

    A tied note takes its accidental over the bar line, and no other note does.
    """
    events = sorted((event for voice in written for event in voice), key=lambda event: event.value.start)
    holding: dict[tuple[str, int], int] = {}
    for event in events:
        for head in event.heads:
            place = (head.letter, head.octave)
            if head.tie in ("stop", "continue"):
                continue
            head.shown = holding.get(place, signature.alter(head.letter)) != head.alter
            holding[place] = head.alter
