"""One tune in ABC notation -> Score, in meter throughout or refused: what a tune-book means, not just what it says.

The one reader of ABC, for users' files and the embedded books alike. It knows pitches, lengths, tuplets, ties,
chords, bar lines, repeats with endings, and the fields K, L, M and Q; text of any kind costs linear time. Several
voices, and music that its meter does not fit, are refused: `score_files` leaves those to music21's streams. D.C.
and D.S. are not followed; ornaments, chord symbols and words are passed over.

On the 4,248 tunes of the embedded books it agrees with music21's tokens on all but 24. In those it is right about
ties and accidentals inside chords and about `A>-B`, or the text is damaged. A tune costs 3 ms, through music21's
streams 110 ms; those let no accidental last to the bar line, which all tune-books mean.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

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
_FIFTHS = "FCGDAEB"  # the order of sharps, and of tonics from one flat on
_MODES = {
    **{"lyd": 1, "ion": 0, "maj": 0, "": 0, "mix": -1},
    **{"dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4, "loc": -5},
}
"""Sharps that a mode has more than the major key on its tonic, by the three letters that ABC reads."""
_NATURALS = dict(zip("CDEFGAB", (60, 62, 64, 65, 67, 69, 71), strict=True))

_FIELD = re.compile(r"([A-Za-z]):(?![|:])(.*)")
# A bar line, with the number of an ending if one follows; or such a number alone.
_BAR = re.compile(r"(:*\|[|\]:]*|::+|\[\|)(?:\s*\[?([1-9](?:[,-][1-9])*)(?![\d/]))?|\[([1-9](?:[,-][1-9])*)")
_UNPLAYED = re.compile(r'%.*|"[^"]*"|![^!\s]*!|\{[^{}]*\}|\((?!\d)|y\d*')
_INLINE = re.compile(r"\[([A-Za-z]):([^\[\]]*)\]")
_NOTE = re.compile(r"([_^=]{0,2})([a-gA-Gz])([,']*)(\d{0,4})(/{0,4})(\d{0,4})")
_TOKEN = re.compile(
    r"\((?P<tuplet>\d[:\d]*)|(?P<broken>[<>]+)|(?P<tie>-)|"
    r"\[(?P<chord>[^\[\]]*)\](?P<times>\d{0,4}/{0,4}\d{0,4})|"
    r"(?P<note>[_^=]{0,2}[a-gA-Gz][,']*\d{0,4}/{0,4}\d{0,4})"
)


@dataclass(slots=True)
class _Tone:
    """A note, chord or rest: MIDI `pitches` from the lowest, `length` in units, `tied` to the next tone."""

    pitches: tuple[int, ...]
    length: int
    tied: bool = False


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


@dataclass
class _State:
    """What fields and notes say of the notes that follow. `unit` is the length of a plain letter, in units."""

    unit: int = 0
    meter: tuple[int, int] | None = None
    signature: dict[str, int] = field(default_factory=dict)  # letter -> semitones
    accidentals: dict[str, int] = field(default_factory=dict)  # those of this measure, in all octaves
    tuplet: Fraction = Fraction(1)
    tuplet_left: int = 0  # notes that the tuplet still holds
    latest: _Tone | None = None
    key: str | None = None
    qpm: float | None = None


def read_tune(
    text: str,
    name: str,
    ticks_per_beat: int = TICKS_PER_BEAT,
    *,
    top_line: bool = False,
    max_notes: int = 50_000,
    counts: Counter[str] | None = None,
) -> tuple[Score, str | None]:
    """Return an ABC tune, repeats played and without grace notes, and its key; `top_line` takes chords' top notes.

    `counts` learns what was changed or dropped.
    Raises UnusableError for a tune of several voices, without a meter, with a wrong measure inside a section, or of
    more than `max_notes` notes and rests.
    """
    counts = Counter() if counts is None else counts
    head, fragments, bars = _split_at_bars(text, max_notes, counts)
    state = _State()
    for line in head:
        _take_field(line, state)
    measures = _measures(fragments, bars, state, ticks_per_beat)
    order = _playing_order(measures, max_notes)
    if sum(len(measures[index].tones) for index in order) > max_notes:
        raise _too_many(max_notes)
    played = [
        replace(measures[i], tones=[_Tone(t.pitches, t.length, t.tied) for t in measures[i].tones]) for i in order
    ]
    score, tones = _laid_out(played, ticks_per_beat, counts)
    score.name = name
    score.parts = [Part(notes=_notes(tones, ticks_per_beat, top_line, counts))]
    score.tempos = [Tempo(0, state.qpm)] if state.qpm else []
    return score, state.key


def titles(text: str) -> list[str]:
    """Return what the T: fields of a tune say, without TeX accents."""
    found = re.findall(r"(?m)^T:[ \t]*(\S.*)$", re.sub(r"\\[`'^\"~,/]", "", text))
    return [" ".join(title.split()) for title in found]


def key_name(sharps: int, mode: str | None) -> str | None:
    """Return the major or minor key of that many sharps (flats below 0), whichever is nearer to the mode."""
    near = "minor" if (mode or "maj")[:3].lower() in ("m", "min", "dor", "phr", "aeo", "loc") else "major"
    return f"{_SIGNATURES[near][sharps + 6]} {near}" if abs(sharps) <= 6 else None


def _split_at_bars(
    tune: str, max_notes: int, counts: Counter[str]
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Return the header that music needs, the music between bar lines, and the (bar line, ending) between those."""
    head: list[str] = []
    body: list[str] = []
    for line in tune.splitlines():
        tagged = _FIELD.match(line)
        begun = bool(head) and head[-1].startswith("K:")
        if (
            (tagged and tagged[1] == "V")
            or "[V:" in line
            or (begun and not tagged and "&" in _UNPLAYED.sub("", line))
        ):
            raise UnusableError("several voices", "more than one voice")
        if not tagged and begun:
            body.append(_INLINE.sub(lambda m: f"\n{m[1]}:{m[2]}\n" if m[1] in "KLM" else "", line))
        elif tagged and tagged[1] in ("KLM" if begun else "XTMLKQ"):
            (body if begun else head).append(line.split("%")[0])
        else:
            counts["tempo_changes_dropped"] += begun and line.startswith("Q:")
    if not head or not head[-1].startswith("K:"):
        raise UnusableError("without a key", "there is no K: field")
    lines = [line if _FIELD.match(line) else _playable(line, counts) for line in "\n".join(body).splitlines()]
    music = "\n".join(lines)
    if sum(len(re.findall("[a-gA-Gz]", line)) for line in lines if not _FIELD.match(line)) > max_notes:
        raise _too_many(max_notes)
    fragments, bars, start = [], [], 0
    for bar in _BAR.finditer(music):
        fragments.append(music[start : bar.start()])
        bars.append((bar[1] or "", bar[2] or bar[3] or ""))
        start = bar.end()
    return head, [*fragments, music[start:]], bars


def _too_many(max_notes: int) -> UnusableError:
    return UnusableError("too many notes", f"It has more than {max_notes:,} notes (max_notes).")


def _playable(line: str, counts: Counter[str]) -> str:
    """Return a line of ABC with pitches, lengths, tuplets, ties and bar lines only: all that is ever played."""

    def passed_over(match: re.Match[str]) -> str:
        if match[0].startswith("{"):
            counts["grace_notes_dropped"] += len(re.findall("[a-gA-G]", match[0]))
        elif match[0].startswith('"') and match[0][1] not in "^_<>@":
            counts["chord_symbols_dropped"] += 1
        return ""

    return re.sub(r"[^a-gA-Gz0-9,'/^=_<>(|\[\]: -]", "", _UNPLAYED.sub(passed_over, line).replace("x", "z"))


def _take_field(line: str, state: _State) -> None:
    kind, value = line[0], line[2:].strip()
    if kind == "M":
        parts = re.fullmatch(r"\(?(\d{1,3}(?:\+\d{1,3})*)\)?/(\d{1,3})", value)
        common = {"C": (4, 4), "C|": (2, 2)}.get(value)
        state.meter = (sum(map(int, parts[1].split("+"))), int(parts[2])) if parts else common
        if not state.unit and state.meter and state.meter[1]:
            state.unit = _UNITS // (4 if 4 * state.meter[0] < 3 * state.meter[1] else 2)
    elif kind == "L" and (unit := re.match(r"1/(\d{1,3})", value)) and int(unit[1]):
        state.unit = 4 * _UNITS // int(unit[1])
    elif kind == "K":
        _take_key(value, state)
    elif kind == "Q" and state.qpm is None:
        said = re.sub('"[^"]*"', "", value).strip()
        tempo = re.fullmatch(r"(?:((?:\d{1,3}/\d{1,3}\s*)+)=)?\s*(\d{1,4}(?:\.\d{1,4})?)", said)
        if tempo:
            parts_of_beat = [part.split("/") for part in (tempo[1] or "1/4").split()]
            state.qpm = float(tempo[2]) * sum(4 * int(n) / (int(d) or 1) for n, d in parts_of_beat) or None


def _take_key(value: str, state: _State) -> None:
    """Take the signature of a K: field: a tonic with its mode, accidentals of its own, or the pipes' (HP, Hp)."""
    found = re.match(r"([A-G])([#b]?)\s*([A-Za-z]*)", value)
    mode, sharps = "", 0
    if found:
        mode = found[3][:3].lower() if found[3][:3].lower() in _MODES else "m" * (found[3] == "m")
        sharps = _FIFTHS.index(found[1]) - 1 + 7 * (found[2] == "#") - 7 * (found[2] == "b") + _MODES[mode]
    elif value[:2].upper() == "HP":
        sharps = 2
    letters = _FIFTHS[:sharps] if sharps >= 0 else _FIFTHS[sharps:]
    state.signature = dict.fromkeys(letters, 1 if sharps > 0 else -1)
    for signs, letter in re.findall(r"(?<=\s)([_^=]{1,2})([a-gA-G])\b", f" {value}"):
        state.signature[letter.upper()] = signs.count("^") - signs.count("_")
    state.key = state.key or key_name(sharps, mode)


def _measures(
    fragments: list[str], bars: list[tuple[str, str]], state: _State, ticks_per_beat: int
) -> list[_Measure]:
    """Return the measures that hold anything, each with all that the bar lines around it say."""
    measures: list[_Measure] = []
    opens, ending = False, frozenset[int]()
    for fragment, (bar, passes) in zip(fragments, [*bars, ("|]", "")], strict=True):
        tones: list[_Tone] = []
        for text in re.split(r"(?m)^([KLM]:.*)$", fragment):
            if _FIELD.match(text):
                _take_field(text, state)
            else:
                _take_tones(text, state, tones)
        state.accidentals.clear()
        if any(tone.length for tone in tones):
            if state.meter is None or not usable_meter(*state.meter, ticks_per_beat):
                raise UnusableError("without a meter", "there is no meter to count bars by")
            length = 4 * _UNITS * state.meter[0] // state.meter[1]
            measures.append(_Measure(tones, length, state.meter, opens, ending))
            opens, ending = False, frozenset()
        if measures:
            measures[-1].closes |= bar.startswith(":")
            measures[-1].seam |= (bar, passes) != ("|", "")
        opens |= bar.endswith(":")
        ending = frozenset(map(int, re.findall(r"\d", passes))) or ending
    return measures


def _take_tones(text: str, state: _State, tones: list[_Tone]) -> None:
    """Append what the text of a measure plays, or of a part of it."""
    waiting = 1.0  # how much longer the note after a broken rhythm's sign is
    after_tone = False
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "tuplet":
            _take_tuplet(token["tuplet"], state)
        elif kind == "broken" and after_tone:
            short = 0.5 ** min(len(token[0]), 3)
            before, waiting = (2 - short, short) if token[0][0] == ">" else (short, 2 - short)
            tones[-1].length = round(tones[-1].length * before)
        elif kind == "tie" and state.latest:
            state.latest.tied = True
        elif kind in ("note", "times"):
            state.latest = _tone(token, state, waiting)
            tones.append(state.latest)
            waiting = 1.0
        after_tone = kind in ("note", "times")


def _take_tuplet(text: str, state: _State) -> None:
    """Take p:q:r, p notes in the time of q for the next r notes; what is not said follows from p and the meter."""
    p, q, r, *_ = [int(number[:3] or 0) for number in f"{text}::".split(":")]
    if p:
        compound = (
            state.meter is not None and state.meter[0] % 3 == 0 and (state.meter[0] > 3 or state.meter[1] > 4)
        )
        usual = {1: 1, 2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(p, 3 if compound else 2)
        state.tuplet, state.tuplet_left = Fraction(q or usual, p), r or p


def _tone(token: re.Match[str], state: _State, times: float) -> _Tone:
    """Return a note, or a chord as long as its first note."""
    heads = _NOTE.findall(token["note"] or token["chord"])
    length = state.unit * times * _times(*heads[0][3:]) if heads else 0.0
    if token["times"]:
        length *= _times(*_NOTE.findall("z" + token["times"])[0][3:])
    if state.tuplet_left:
        state.tuplet_left -= 1
        length = length * state.tuplet.numerator / state.tuplet.denominator
    pitches = sorted(_pitch(signs, letter, octaves, state) for signs, letter, octaves, *_ in heads if letter != "z")
    return _Tone(tuple(pitches), round(length), bool(token["chord"]) and "-" in token["chord"])


def _times(number: str, slashes: str, divisor: str) -> float:
    """Return 3/2 for "3/2" and "3/", 1/4 for "//"."""
    return int(number or 1) / ((int(divisor) or 1) if divisor and slashes else 2 ** len(slashes))


def _pitch(signs: str, letter: str, octaves: str, state: _State) -> int:
    name = letter.upper()
    if signs:
        state.accidentals[name] = signs.count("^") - signs.count("_")
    alter = state.accidentals.get(name, state.signature.get(name, 0))
    octave = octaves.count("'") - octaves.count(",") + (letter != name)
    return _NATURALS[name] + alter + 12 * octave


def _playing_order(measures: list[_Measure], most: int) -> list[int]:
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
        if len(order) > most:  # endings without end
            raise _too_many(most)
        if current and following and (measure.closes or 1 in current):
            order += range(section, fork)
        elif measure.closes and (not current or 1 in current):
            order += range(section, fork if current else index + 1)
            section, marked, current = index + 1, False, frozenset()
        elif measure.closes or (measure.seam and not following and (current or not marked)):
            section, marked, current = index + 1, False, frozenset()
    return order


def _laid_out(
    played: list[_Measure], ticks_per_beat: int, counts: Counter[str]
) -> tuple[Score, list[tuple[int, _Tone]]]:
    """Return the meters, and (onset in units, tone), of measures that follow each other as the meter has them.

    Printers let a section end as short as the pickup that it returns to, and often get this wrong. At a seam,
    a pickup is put before the next bar line and the last tone before it gives way, or a rest fills the bar.
    """
    score = Score(ticks_per_beat)
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
                counts["notes_cut_for_pickups"] += 1
                begin, phase = begin if phase else begin - bar, pickup
            elif not 0 < phase <= pickup:
                begin, phase = begin + before.bar if phase else begin, pickup
            else:
                phase = pickup
        if phase == 0 or before is None:
            score.meters.append(Meter(begin * ticks_per_beat // _UNITS, *measure.meter))
        for tone in measure.tones:
            tones.append((begin + phase, tone))
            phase += tone.length
        if phase == bar:
            begin, phase = begin + bar, 0
        elif phase > bar or not measure.seam:
            raise UnusableError("out of meter", _misfit(place, measure))
    return score, tones


def _misfit(place: int, measure: _Measure) -> str:
    held, wanted = _beats(measure.length), _beats(measure.bar)
    return f"measure {place + 1} as played holds {held} beats, where the meter has {wanted}"


def _beats(units: int) -> str:
    return str(Fraction(units, _UNITS))


def _notes(tones: list[tuple[int, _Tone]], ticks_per_beat: int, top_line: bool, counts: Counter[str]) -> list[Note]:
    notes: list[Note] = []
    tied: dict[int, int] = {}  # pitch -> index of the note that goes on, if the next tone has it too
    until = 0
    for onset, tone in tones:
        end = onset + tone.length
        start, stop = ((units * ticks_per_beat + _UNITS // 2) // _UNITS for units in (onset, end))
        goes_on = tied if until == onset else {}
        tied, until = {}, end
        for pitch in tone.pitches[-1:] if top_line else tone.pitches:
            if not tone.length:
                continue
            index = goes_on.get(pitch, len(notes))
            if index < len(notes):
                notes[index] = replace(notes[index], duration=max(1, stop - notes[index].onset))
            else:
                notes.append(Note(start, pitch, max(1, stop - start)))
                counts["onsets_moved_to_grid"] += onset * ticks_per_beat % _UNITS != 0
                counts["short_notes_lengthened"] += stop == start
            if tone.tied:
                tied[pitch] = index
    return notes
