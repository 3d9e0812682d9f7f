"""One tune in ABC notation -> Score, in meter throughout or refused: what a tune-book means, not just what it says.

Read token by token (music21's abcFormat), never through music21's streams: ten times faster, and repeats cannot
multiply. D.C. and D.S. are not followed; ornaments, chord symbols and words are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

from seqgan_music.music.notes import Meter, Note, Tempo
from seqgan_music.music.scores import Part, Score, usable_meter
from seqgan_music.music.unusable import UnusableError

TICKS_PER_BEAT = 480
_UNITS = 10_080
"""A beat while measures are counted: divisible by all tuplets to 10, so that whole numbers are exact."""
_SIGNATURES = {
    "major": ["Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#"],
    "minor": ["Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#"],
}  # tonics from six flats to six sharps

_FIELD = re.compile(r"([A-Za-z]):(?![|:])(.*)")
# A bar line, with the number of an ending if one follows; or such a number alone.
_BAR = re.compile(r"(:*\|[|\]:]*|::+|\[\|)(?:\s*\[?([1-9](?:[,-][1-9])*)(?![\d/]))?|\[([1-9](?:[,-][1-9])*)")
_UNPLAYED = re.compile(r'%.*|"[^"]*"|![^!\s]*!|\{[^}]*\}|\((?!\d)|y\d*')
_INLINE = re.compile(r"\[([A-Za-z]):([^\]]*)\]")


@dataclass(slots=True)
class _Tone:
    """A note or rest of a tune. `pitch` is a MIDI number or None, `length` in units, `tied` to the next tone."""

    pitch: int | None
    length: int
    tied: bool


@dataclass(slots=True)
class _Measure:
    """What stands between two bar lines, and what those say. `bar` is how long the meter would have it."""

    tones: list[_Tone]
    bar: int
    meter: tuple[int, int]
    opens: bool  # a repeat begins before it
    ending: frozenset[int]  # the passes that this ending, beginning here, is for
    closes: bool = False  # a repeat ends after it
    seam: bool = False  # any bar line but the plain one follows

    @property
    def length(self) -> int:
        return sum(tone.length for tone in self.tones)


def read_tune(text: str, name: str) -> tuple[Score, str | None]:
    """Return an ABC tune's melody: chords by their top note, no grace notes, repeats played, in meter throughout.

    Raises UnusableError for a tune of several voices, without a meter, or with a wrong measure inside a section.
    """
    from music21 import abcFormat

    head, fragments, bars = _split_at_bars(text)
    handler = abcFormat.ABCHandler()
    # Before version 2, music21 lets no accidental last to the bar line, which all these books mean.
    handler.process("%abc-2.1\n" + head + "\n" + "\n|\n".join(fragments))
    measures = _measures(handler.tokens, bars, abcFormat)
    played = [replace(measures[i], tones=[replace(t) for t in measures[i].tones]) for i in _playing_order(measures)]
    score = _laid_out(played)
    score.name = name
    key = None
    for token in handler.tokens:
        if isinstance(token, abcFormat.ABCMetadata):
            if (
                token.isTempo()
                and not score.tempos
                and (mark := token.getMetronomeMarkObject())
                and (qpm := mark.getQuarterBPM())
            ):
                score.tempos = [Tempo(0, float(qpm))]
            elif token.isKey() and key is None and (signature := token.getKeySignatureObject()):
                key = key_name(signature)
    return score, key


def key_name(signature: Any) -> str | None:
    """Return the major or minor key of a music21 signature's accidentals, whichever is nearer to its mode."""
    mode = getattr(signature, "mode", None) or "major"
    near = "minor" if mode in ("minor", "dorian", "phrygian", "aeolian", "locrian") else "major"
    return f"{_SIGNATURES[near][signature.sharps + 6]} {near}" if abs(signature.sharps) <= 6 else None


def _split_at_bars(tune: str) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Return the header that music needs, the music between bar lines, and the (bar line, ending) between those."""
    head: list[str] = []
    body: list[str] = []
    for line in tune.splitlines():
        tagged = _FIELD.match(line)
        begun = bool(head) and head[-1].startswith("K:")
        if (tagged and tagged[1] == "V") or "[V:" in line:
            raise UnusableError("several voices", "more than one voice")
        if not tagged and begun:
            body.append(_INLINE.sub(lambda m: f"\n{m[1]}:{m[2]}\n" if m[1] in "KLM" else "", line))
        elif tagged and tagged[1] in ("KLM" if begun else "XTMLKQ"):
            (body if begun else head).append(f"{line.split('%')[0]}\n" if begun else line.split("%")[0])
    if not head or not head[-1].startswith("K:"):
        raise UnusableError("without a key", "there is no K: field")
    lines = [line if _FIELD.match(line) else _playable(line) for line in "\n".join(body).splitlines()]
    fragments, bars, start = [], [], 0
    music = "\n".join(lines)
    for bar in _BAR.finditer(music):
        fragments.append(music[start : bar.start()])
        bars.append((bar[1] or "", bar[2] or bar[3] or ""))
        start = bar.end()
    fragments.append(music[start:])
    return "\n".join(head), ["\n".join(map(_unbarred, fragment.split("\n"))) for fragment in fragments], bars


def _playable(line: str) -> str:
    """Return a line of ABC with pitches, lengths, tuplets, ties and bar lines only: all that is ever played."""
    return re.sub(r"[^a-gA-Gz0-9,'/^=_<>(|\[\]: -]", "", _UNPLAYED.sub("", line).replace("x", "z"))


def _unbarred(line: str) -> str:
    """Return a line without what music21 would take for a bar line of its own."""
    if _FIELD.match(line):
        return line
    return re.sub(r"(\(\d[:\d]*)|\[(?=[^\]]*$)|[:|]", lambda match: match[1] or "", line)


def _measures(tokens: list[Any], bars: list[tuple[str, str]], abc: Any) -> list[_Measure]:
    """Return the measures that hold anything, each with all that the bar lines around it say."""
    measures: list[_Measure] = []
    tones: list[_Tone] = []
    meter: tuple[int, int] | None = None
    opens, ending = False, frozenset[int]()
    marks = iter([*bars, ("|]", "")])
    for token in [*tokens, None]:
        if isinstance(token, abc.ABCMetadata) and token.isMeter():
            parameters = token.getTimeSignatureParameters()
            meter = (int(parameters[0]), int(parameters[1])) if parameters else None
        elif isinstance(token, abc.ABCNote):
            tones.append(_tone(token, abc))
        elif token is None or isinstance(token, abc.ABCBar):
            if any(tone.length for tone in tones):
                if meter is None or not usable_meter(*meter, TICKS_PER_BEAT):
                    raise UnusableError("without a meter", "there is no meter to count bars by")
                measures.append(_Measure(tones, 4 * _UNITS * meter[0] // meter[1], meter, opens, ending))
                tones, opens, ending = [], False, frozenset()
            bar, passes = next(marks)
            if measures:
                measures[-1].closes |= bar.startswith(":")
                measures[-1].seam |= (bar, passes) != ("|", "")
            opens |= bar.endswith(":")
            ending = frozenset(map(int, re.findall(r"\d", passes))) or ending
    return measures


def _tone(token: Any, abc: Any) -> _Tone:
    length = Fraction(token.quarterLength).limit_denominator(_UNITS)
    if token.activeTuplet:
        length *= Fraction(token.activeTuplet.numberNotesNormal, token.activeTuplet.numberNotesActual)
    names = [token.pitchName]
    if isinstance(token, abc.ABCChord):
        names = [note.pitchName for note in token.subTokens if isinstance(note, abc.ABCNote)]
    pitches = [_midi_pitch(name) for name in names if name]
    return _Tone(max(pitches, default=None), round(length * _UNITS), token.tie in ("start", "continue"))


@cache
def _midi_pitch(name: str) -> int:
    from music21 import pitch

    return int(pitch.Pitch(name).midi)


def _playing_order(measures: list[_Measure]) -> list[int]:
    """Return the indices of `measures` as played: repeats twice, with their endings.

    As ABC 2.1 (section 4.8) has it, a repeat without a beginning goes back to the last repeat or double bar.
    """
    order: list[int] = []
    section = fork = 0
    marked = False  # the section's beginning is a repeat sign, which a double bar does not undo
    current = frozenset[int]()
    for index, measure in enumerate(measures):
        following = measures[index + 1].ending if index + 1 < len(measures) else frozenset()
        if measure.opens:
            section, marked, current = index, True, frozenset()
        if measure.ending:
            current = measure.ending
            fork = index if 1 in current else fork
        order.append(index)
        if current and following and (measure.closes or 1 in current):
            order += range(section, fork)
        elif measure.closes and (not current or 1 in current):
            order += range(section, fork if current else index + 1)
            section, marked, current = index + 1, False, frozenset()
        elif measure.closes or (measure.seam and not following and (current or not marked)):
            section, marked, current = index + 1, False, frozenset()
    return order


def _laid_out(played: list[_Measure]) -> Score:
    """Return measures one after another, such that bars begin where the meter has them begin.

    Printers let a section end as short as the pickup that it returns to, and often get this wrong. At a seam,
    a pickup is put before the next bar line and the last tone before it gives way, or a rest fills the bar.
    """
    score = Score(TICKS_PER_BEAT)
    begin = phase = 0  # of the bar at hand, and how much of it is filled, both in units
    tones: list[tuple[int, _Tone]] = []
    for place, measure in enumerate(played):
        length, bar = measure.length, measure.bar
        before = played[place - 1] if place else None
        if (before is None or before.seam) and phase + length != bar:
            if length > bar:
                raise UnusableError("out of meter", _misfit(place, measure))
            pickup = bar - length
            overlap = (phase or bar) - pickup
            if before is None:
                phase = pickup
            elif length < bar and overlap > 0 and tones[-1][1].length > overlap and before.bar == bar:
                tones[-1][1].length -= overlap
                begin, phase = begin if phase else begin - bar, pickup
            elif not 0 < phase <= pickup:
                begin, phase = begin + before.bar if phase else begin, pickup
            else:
                phase = pickup
        if phase == 0 or before is None:
            score.meters.append(Meter(begin * TICKS_PER_BEAT // _UNITS, *measure.meter))
        for tone in measure.tones:
            tones.append((begin + phase, tone))
            phase += tone.length
        if phase == bar:
            begin, phase = begin + bar, 0
        elif phase > bar or not measure.seam:
            raise UnusableError("out of meter", _misfit(place, measure))
    score.parts = [Part(notes=_notes(tones))]
    return score


def _misfit(place: int, measure: _Measure) -> str:
    held, wanted = _beats(measure.length), _beats(measure.bar)
    return f"measure {place + 1} as played holds {held} beats, where the meter has {wanted}"


def _beats(units: int) -> str:
    return str(Fraction(units, _UNITS))


def _notes(tones: list[tuple[int, _Tone]]) -> list[Note]:
    notes: list[Note] = []
    tied = False
    for onset, tone in tones:
        start, end = _tick(onset), _tick(onset + tone.length)
        if tone.pitch is None or end <= start:
            tied = False
            continue
        if tied and notes[-1].pitch == tone.pitch and notes[-1].end == start:
            notes[-1] = replace(notes[-1], duration=end - notes[-1].onset)
        else:
            notes.append(Note(start, tone.pitch, end - start))
        tied = tone.tied
    return notes


def _tick(units: int) -> int:
    return (units * TICKS_PER_BEAT + _UNITS // 2) // _UNITS
