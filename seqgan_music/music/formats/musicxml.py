"""Music -> MusicXML: a score for MuseScore, Sibelius, Finale, Dorico, and for reading back.

What stands on the page is decided by `notation.layout`; music21 writes it down. `.mxl` is the same, compressed. The
same music gives the same bytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from seqgan_music.errors import ConfigError
from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.formats import Options
from seqgan_music.music.notation import layout
from seqgan_music.music.notation.rhythm import TYPES, Value
from seqgan_music.music.notes import Piece

MOST_NOTES = 20_000
"""Notes that a score may have: a hundred pages, and a minute of music21's time."""

_PERCUSSION = {
    35: "E4", 36: "F4", 37: "C5", 38: "C5", 39: "C5", 40: "C5", 41: "A4", 42: "G5", 43: "A4", 44: "D4", 45: "D5",
    46: "G5", 47: "D5", 48: "E5", 49: "A5", 50: "E5", 51: "F5", 52: "A5", 53: "F5", 55: "A5", 57: "A5", 59: "F5",
}  # fmt: skip
"""Places on the staff of the drums that have one by custom; the others stand on the middle line."""
_CYMBALS = {42, 44, 46, 49, 51, 52, 53, 55, 57, 59}
_CONTAINER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<container><rootfiles>'
    '<rootfile full-path="score.musicxml" media-type="application/vnd.recordare.musicxml+xml"/>'
    "</rootfiles></container>\n"
)


class Musicxml:
    """Scores as MusicXML."""

    suffixes = (".musicxml", ".mxl")
    about = "MusicXML, a score for notation programs"
    score = None

    def absent(self, suffix: str) -> str | None:
        """Return None: music21 comes along."""
        return None

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Refuse music that is too long to be a score. Raises ConfigError."""
        check_length(music)

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write the score."""
        data = musicxml_bytes(music, title=options.title, comment=options.comment, key=options.key)
        if path.suffix.lower() == ".mxl":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
                for name, content in (("META-INF/container.xml", _CONTAINER.encode()), ("score.musicxml", data)):
                    file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
            data = packed.getvalue()
        path.write_bytes(data)


def check_length(music: Arrangement | None) -> None:
    """Raise ConfigError for music of more than MOST_NOTES notes."""
    if music is not None and len(music.together.notes) > MOST_NOTES:
        raise ConfigError(
            f"{len(music.together.notes):,} notes are more than the {MOST_NOTES:,} of the longest score that is"
            " written. Take a part of the music."
        )


def musicxml_bytes(
    music: Piece | Arrangement, *, title: str | None = None, comment: str | None = None, key: str | None = None
) -> bytes:
    """Return music as a MusicXML document, in the key of that name ("F# minor") or the one that fits it best."""
    from music21.musicxml.m21ToXml import GeneralObjectExporter

    score = layout.lay_out(Arrangement.of(music), key)
    exporter = GeneralObjectExporter(_stream(score, title, comment))
    exporter.makeNotation = False
    text = exporter.parse().decode("utf-8")
    # music21 dates what it writes, which would make each copy another file.
    text = re.sub(r"\s*<encoding-date>.*?</encoding-date>", "", text)
    text = re.sub(r'\s*<creator type="composer">Music21</creator>', "", text)
    return _with_plain_ids(text).encode("utf-8")


def _with_plain_ids(text: str) -> str:
    """Give instruments names in the order they come in, where music21 draws them at random."""
    ids = dict.fromkeys(re.findall(r'<score-instrument id="([^"]+)"', text))
    for number, found in enumerate(ids, 1):
        text = text.replace(f'id="{found}"', f'id="P{number}-I1"')
    return text


def _stream(score: layout.Score, title: str | None, comment: str | None) -> Any:
    from music21 import layout as m21_layout
    from music21 import metadata, stream

    whole = stream.Score()
    whole.metadata = metadata.Metadata(title=_printable(title or " "))
    whole.metadata.movementName = _printable(title) if title else None
    if comment:
        whole.metadata.add("description", _printable(comment))
    number = 0
    for part in score.parts:
        staves = []
        for staff in part.staves:
            number += 1
            made = stream.PartStaff() if len(part.staves) > 1 else stream.Part()
            made.id = f"P{number}"
            made.partName = _printable(part.name)
            made.atSoundingPitch = True
            made.insert(0, _instrument(part, number))
            for index, measure in enumerate(staff.measures):
                _append_measure(made, score, part, staff, index, measure, first=number == 1)
            staves.append(made)
            whole.insert(0, made)
        if len(staves) > 1:
            whole.insert(0, m21_layout.StaffGroup(staves, symbol="brace", barTogether=True))
    return whole


def _instrument(part: layout.Part, number: int) -> Any:
    from music21 import instrument

    # music21's own classes may transpose, or bring names and clefs of their own.
    made = instrument.UnpitchedPercussion() if part.drums else instrument.Instrument()
    made.partId = f"P{number}"
    made.instrumentId = f"I{number}"
    made.midiProgram = part.program
    made.midiChannel = 9 if part.drums else (number - 1) % 16 + ((number - 1) % 16 >= 9)
    made.partName = _printable(part.name)
    made.instrumentName = _printable(part.name) or "Instrument"
    return made


def _append_measure(
    part: Any,
    score: layout.Score,
    of: layout.Part,
    staff: layout.Staff,
    index: int,
    measure: layout.Measure,
    *,
    first: bool,
) -> None:
    from music21 import bar, clef, key, meter, stream

    pickup = staff.measures[0].first > 0
    made = stream.Measure(number=index if pickup else index + 1)
    if index == 0:
        clefs: dict[str, Any] = {
            "treble": clef.TrebleClef,
            "bass": clef.BassClef,
            "percussion": clef.PercussionClef,
        }
        made.insert(0, clefs[staff.clef]())
        if not of.drums:
            made.insert(0, key.KeySignature(score.signature.fifths))
        if pickup:
            made.paddingLeft = Fraction(measure.first, score.ticks_per_beat)
            made.showNumber = stream.enums.ShowNumber.NEVER
    if index == 0 or measure.bar.meter != staff.measures[index - 1].bar.meter:
        made.insert(0, meter.TimeSignature("{}/{}".format(*measure.bar.meter)))
    if first:
        for at, qpm in score.tempos:
            if at == index:
                made.insert(0, _tempo(qpm, measure.bar.meter))
    if measure.whole_rest:
        made.insert(0, _whole_rest(measure, score.ticks_per_beat))
    for number, events in enumerate(measure.voices, 1):
        voice = made if len(measure.voices) == 1 else stream.Voice(id=str(number))
        stem = None if len(measure.voices) == 1 else ("up", "down")[number - 1]
        spans = _tuplet_ends(events)
        for place, event in enumerate(events):
            element = _element(event, of.drums, spans.get(place), score.ticks_per_beat)
            if stem and event.heads:
                element.stemDirection = stem
            voice.insert(Fraction(event.value.start - measure.first, score.ticks_per_beat), element)
        if voice is not made:
            made.insert(0, voice)
    if index + 1 == len(staff.measures):
        made.rightBarline = bar.Barline("final")
    part.insert(Fraction(measure.bar.start - (staff.measures[0].first if index else 0), score.ticks_per_beat), made)


def _whole_rest(measure: layout.Measure, ticks_per_beat: int) -> Any:
    from music21 import note

    rest = note.Rest(quarterLength=Fraction(measure.bar.length - measure.first, ticks_per_beat))
    rest.fullMeasure = True
    return rest


def _tempo(qpm: float, bar_meter: tuple[int, int]) -> Any:
    from music21 import duration, tempo

    numerator, denominator = bar_meter
    compound = numerator % 3 == 0 and numerator > 3 and denominator == 8
    number = round(qpm / 1.5 if compound else qpm, 1)
    return tempo.MetronomeMark(
        number=int(number) if number == int(number) else number,
        referent=duration.Duration(1.5 if compound else 1.0),
    )


def _tuplet_ends(events: list[layout.Event]) -> dict[int, str]:
    """Return what happens to a bracket at an event, by its index: "start", "stop" or "startStop"."""
    members: dict[tuple[int, int], list[int]] = {}
    for place, event in enumerate(events):
        if event.value.tuplet:
            members.setdefault(event.value.tuplet, []).append(place)
    ends = {}
    for places in members.values():
        ends.update({places[0]: "start", places[-1]: "stop"} if len(places) > 1 else {places[0]: "startStop"})
    return ends


def _element(event: layout.Event, drums: bool, end: str | None, ticks_per_beat: int) -> Any:
    """Return a note, chord or rest of music21."""
    from music21 import chord, note, percussion

    made: Any
    if not event.heads:
        made = note.Rest()
        if event.hidden:
            made.style.hideObjectOnPrint = True
    elif drums:
        hits = [_drum(head.pitch) for head in event.heads]
        made = hits[0] if len(hits) == 1 else percussion.PercussionChord(hits)
    else:
        heads = [_head(head) for head in event.heads]
        made = heads[0] if len(heads) == 1 else chord.Chord(heads)
    made.duration = _duration(event.value, end, ticks_per_beat)
    for own in event.beams:
        kind, _, direction = own.kind.partition("-")
        made.beams.append(kind, direction or None)
    return made


def _head(head: layout.Head) -> Any:
    from music21 import note, pitch, tie

    made: Any = note.Note()
    made.pitch = pitch.Pitch(f"{head.letter}{head.octave}")
    if head.alter or head.shown:
        made.pitch.accidental = pitch.Accidental(head.alter)
        made.pitch.accidental.displayStatus = head.shown
    if head.tie:
        made.tie = tie.Tie(head.tie)
    return made


def _drum(number: int) -> Any:
    from music21 import note

    made = note.Unpitched(displayName=_PERCUSSION.get(number, "B4"))
    if number in _CYMBALS:
        made.notehead = "x"
    return made


def _duration(value: Value, end: str | None, ticks_per_beat: int) -> Any:
    from music21 import duration

    made: Any = duration.Duration(type=TYPES[value.type], dots=value.dots)
    if value.tuplet:
        length = Fraction(value.tuplet[1] - value.tuplet[0], ticks_per_beat)  # beats that three values take
        normal = duration.Duration(quarterLength=length / 2)
        tuplet: Any = duration.Tuplet(3, 2, normal.type)
        tuplet.type = end
        made.appendTuplet(tuplet)
    return made


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
