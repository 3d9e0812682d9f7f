"""Files of music for the fuzzer: MIDI, ABC, Humdrum, MusicXML plain and packed."""

from __future__ import annotations

import io
import zipfile
from functools import cached_property
from pathlib import Path
from random import Random

import mutations
from conftest import ROOT
from fuzz_reader import READ, REFUSED, Reader
from odd_midi import ODD
from tunes import midi, tune

XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN" "http://www.musicxml.org/x.dtd">
<score-partwise version="3.1"><work><work-title>A tune</work-title></work>
<part-list><score-part id="P1"><part-name>Flute</part-name></score-part></part-list><part id="P1">
<measure number="1"><attributes><divisions>2</divisions><key><fifths>1</fifths></key>
<time><beats>3</beats><beat-type>4</beat-type></time></attributes>
<direction><sound tempo="96"/></direction>
<note><pitch><step>G</step><octave>4</octave></pitch><duration>2</duration><type>quarter</type></note>
<note><chord/><pitch><step>B</step><alter>-1</alter><octave>4</octave></pitch><duration>2</duration></note>
<note><rest/><duration>4</duration></note></measure>
<measure number="2"><barline location="right"><repeat direction="backward"/></barline>
<note><pitch><step>A</step><octave>4</octave></pitch><duration>6</duration><tie type="start"/></note></measure>
</part></score-partwise>
"""
ABC_TUNE = """X:1
T:The Hare
M:6/8
L:1/8
Q:3/8=100
K:Gmix
|:d2B cAG|[1 (3ABc d2 e>f:|[2 [GBd]3- G2z|] "Am"{g}A2_B ^c'3|
"""
ABC_VOICES = "X:2\nT:Two\nM:3/4\nL:1/8\nK:Ddor\nV:1\nA2 B2 c2|d6|\nV:2\nD,6|A,6|\n"
KERN = "**kern\t**kern\n*M4/4\t*M4/4\n*k[f#]\t*k[f#]\n=1\t=1\n4G\t4g\n4A\t8aL\n.\t8bJ\n2B;\t2dd\n==\t==\n*-\t*-\n"


class Music(Reader):
    """A file of music, as every command reads one: in a worker process."""

    bounded = True

    def __init__(self, suffix: str) -> None:
        self.suffix, self.name = suffix, suffix[1:]

    @cached_property
    def seeds(self) -> list[bytes]:
        made: dict[str, list[bytes]] = {
            ".mid": [
                *(midi(tune(seed, 12)) for seed in (1, 2)),
                *(data for name, (data, _) in ODD.items() if len(data) < 3000),
                *(path.read_bytes() for path in sorted((ROOT / "midi_data").rglob("*.mid"))[:4]),
            ],
            ".abc": [ABC_TUNE.encode(), ABC_VOICES.encode(), (ABC_TUNE + "\n" + ABC_VOICES).encode()],
            ".krn": [KERN.encode(), *_music21("*.krn", 3)],
            ".musicxml": [XML.encode(), XML.encode("utf-16"), *_music21("*.xml", 2)],
            ".mxl": [packed(XML.encode()), packed(XML.encode(), stored=True), *_music21("*.mxl", 2)],
        }
        return made[self.suffix]

    def case(self, dice: Random) -> bytes:
        if self.suffix == ".mxl" and dice.random() < 0.6:  # damage what is inside
            inside = mutations.damaged(XML.encode(), dice, [XML.encode()])
            return packed(inside, stored=dice.random() < 0.5)
        return super().case(dice)

    def prepare(self, place: Path, data: bytes) -> Path:
        path = place / f"case{self.suffix}"
        path.write_bytes(data)
        return path

    def try_(self, path: Path) -> str:
        return read_music(str(path))


def read_music(path: str) -> str:
    """Read and check in this process; workers call it by name."""
    from test_reading import check_invariants

    from seqgan_music.config import ReadingConfig
    from seqgan_music.music.arranging import arranged
    from seqgan_music.music.reading import read

    config = ReadingConfig()
    reading = read(Path(path), config)
    check_invariants(reading, config)
    assert len(reading.detail) <= 1000, f"{len(reading.detail)} characters of detail"
    if path.endswith(".mid"):  # `render` reads all tracks, drums and pedal
        made = arranged(Path(path), config)
        assert made.arrangement is not None or made.reason != "failed", made.detail
    return READ if reading.pieces else REFUSED


def _music21(pattern: str, count: int) -> list[bytes]:
    import importlib.util

    spec = importlib.util.find_spec("music21")
    assert spec is not None
    assert spec.origin is not None
    found = (Path(spec.origin).parent / "corpus").rglob(pattern)
    smallest = sorted(found, key=lambda path: (path.stat().st_size, path))
    return [path.read_bytes() for path in smallest[:count]]


def packed(xml: bytes, *, stored: bool = False) -> bytes:
    """Return a compressed MusicXML file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="score.xml"/></container>')
        archive.writestr("score.xml", xml)
    return buffer.getvalue()
