"""Bytes of Standard MIDI files, well-formed, odd and broken, written by hand so that no library has a say in them.

`ODD` maps a telling name to (bytes, what a reader must make of them): a reason for refusal, or the notes as
(onset, pitch, duration) on a grid of 12 ticks a beat. All tracks count 480 ticks a beat unless said otherwise.
"""

from __future__ import annotations

import struct

BEAT = 480
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
SCALE_NOTES = [(12 * place, pitch, 12) for place, pitch in enumerate(SCALE)]


def vlq(value: int) -> bytes:
    """Return a variable-length quantity."""
    parts = [value & 127]
    while value := value >> 7:
        parts.append(value & 127 | 128)
    return bytes(reversed(parts))


def on(delta: int, pitch: int, velocity: int = 80, channel: int = 0) -> bytes:
    return vlq(delta) + bytes((0x90 | channel, pitch, velocity))


def off(delta: int, pitch: int, channel: int = 0) -> bytes:
    return vlq(delta) + bytes((0x80 | channel, pitch, 0))


def note(pitch: int, length: int = BEAT, channel: int = 0) -> bytes:
    return on(0, pitch, channel=channel) + off(length, pitch, channel)


def meta(delta: int, kind: int, payload: bytes = b"") -> bytes:
    return vlq(delta) + bytes((0xFF, kind)) + vlq(len(payload)) + payload


def name(text: str) -> bytes:
    return meta(0, 0x03, text.encode())


def tempo(delta: int, microseconds: int) -> bytes:
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


def meter(delta: int, numerator: int, power: int) -> bytes:
    return meta(delta, 0x58, bytes((numerator, power, 24, 8)))


END = meta(0, 0x2F)


def chunk(*events: bytes, end: bytes = END, length: int | None = None) -> bytes:
    body = b"".join(events) + end
    return b"MTrk" + struct.pack(">I", len(body) if length is None else length) + body


def midi(*chunks: bytes, form: int = 1, division: int = BEAT, declared: int | None = None) -> bytes:
    count = len(chunks) if declared is None else declared
    return b"MThd" + struct.pack(">IHHH", 6, form, count, division) + b"".join(chunks)


SCALE_EVENTS = b"".join(note(pitch) for pitch in SCALE)
SCALE_TRACK = chunk(SCALE_EVENTS)
GOOD = midi(SCALE_TRACK, form=0)


def _running_status() -> bytes:
    events = b"".join(vlq(0) + bytes((p, 80)) + vlq(BEAT) + bytes((p, 0)) for p in SCALE)
    return vlq(0) + b"\x90" + events[1:]


def _riff(data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"RMIDdata" + struct.pack("<I", len(data)) + data


Expected = str | list[tuple[int, int, int]]

ODD: dict[str, tuple[bytes, Expected]] = {
    "good": (GOOD, SCALE_NOTES),
    "running status": (midi(chunk(_running_status())), SCALE_NOTES),
    "running status after a meta event": (
        midi(chunk(on(0, 60), meta(0, 1, b"la"), vlq(BEAT) + bytes((60, 0)))),
        [(0, 60, 12)],
    ),
    "lost running status": (midi(chunk(b"\x00\x3c\x50" + SCALE_EVENTS)), "damaged"),
    "empty file": (b"", "empty"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "not MIDI"),
    "zip": (b"PK\x03\x04" + bytes(60), "not MIDI"),
    "resource fork": (b"\x00\x05\x16\x07" + bytes(78), "not MIDI"),
    "cut in the header": (GOOD[:10], "damaged"),
    "header only": (midi(), "no notes"),
    "no events": (midi(chunk()), "no notes"),
    "RMID": (_riff(GOOD), SCALE_NOTES),
    "RMID with padding": (_riff(GOOD) + b"\0", SCALE_NOTES),
    "junk before the header": (b"Content-Type: audio/midi\r\n\r\n" + GOOD, SCALE_NOTES),
    "junk after the tracks": (GOOD + b"\xff\x00\x13garbage \x80\x90", SCALE_NOTES),
    "two files in one": (GOOD + midi(chunk(note(30))), SCALE_NOTES),
    "longer header": (b"MThd\0\0\0\x08" + GOOD[8:14] + b"\0\0" + SCALE_TRACK, SCALE_NOTES),
    "header length 0": (b"MThd\0\0\0\0" + GOOD[8:], SCALE_NOTES),
    "foreign chunk": (midi(b"XFIH\0\0\0\x04abcd", SCALE_TRACK, declared=1), SCALE_NOTES),
    "fewer tracks declared": (midi(chunk(tempo(0, 500_000)), SCALE_TRACK, declared=1), SCALE_NOTES),
    "more tracks declared": (midi(SCALE_TRACK, declared=9), SCALE_NOTES),
    "format 3": (midi(SCALE_TRACK, form=3), "damaged"),
    "chunk length too short": (midi(chunk(SCALE_EVENTS, length=11), chunk(note(48))), [(0, 48, 12), *SCALE_NOTES]),
    "chunk length too long": (midi(chunk(SCALE_EVENTS, length=70), chunk(note(48))), [(0, 48, 12), *SCALE_NOTES]),
    "chunk length absurd": (midi(chunk(SCALE_EVENTS, length=2**31), chunk(note(48))), [(0, 48, 12), *SCALE_NOTES]),
    "cut inside a track": (GOOD[: -len(END) - 2], SCALE_NOTES),
    "no end of track": (midi(chunk(SCALE_EVENTS, end=b"")), SCALE_NOTES),
    "events after the end of track": (midi(chunk(SCALE_EVENTS, END, note(30))), SCALE_NOTES),
    "bad key signature": (midi(chunk(meta(0, 0x59, b"\x12\x00"), SCALE_EVENTS)), SCALE_NOTES),
    "empty tempo": (midi(chunk(meta(0, 0x51), SCALE_EVENTS)), SCALE_NOTES),
    "empty meter": (midi(chunk(meta(0, 0x58), SCALE_EVENTS)), SCALE_NOTES),
    "tempo 0": (midi(chunk(tempo(0, 0), SCALE_EVENTS)), SCALE_NOTES),
    "meter 0/4": (midi(chunk(meter(0, 0, 2), SCALE_EVENTS)), SCALE_NOTES),
    "meter 4/2^200": (midi(chunk(meter(0, 4, 200), SCALE_EVENTS)), SCALE_NOTES),
    "controller above 127": (midi(chunk(b"\x00\xb0\x07\xff", SCALE_EVENTS)), SCALE_NOTES),
    "velocity above 127": (midi(chunk(on(0, 60, 200), off(BEAT, 60))), [(0, 60, 12)]),
    "pitch above 127": (midi(chunk(on(0, 200), SCALE_EVENTS)), SCALE_NOTES),
    "stray real-time byte": (midi(chunk(b"\x00\xf8", SCALE_EVENTS)), SCALE_NOTES),
    "undefined status byte": (midi(chunk(b"\x00\xf4", SCALE_EVENTS)), "damaged"),
    "system exclusive": (midi(chunk(b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7", SCALE_EVENTS)), SCALE_NOTES),
    "system exclusive past the end": (midi(chunk(SCALE_EVENTS, b"\x00\xf0\x8f\xff\xff\x7f")), SCALE_NOTES),
    "text past the end": (midi(chunk(SCALE_EVENTS, b"\x00\xff\x01\x7fabc")), SCALE_NOTES),
    "endless quantity": (midi(chunk(b"\xff" * 1_000_000)), "damaged"),
    "endless length": (midi(chunk(b"\x00\xff\x01" + b"\xff" * 1_000_000)), "damaged"),
    "division 0": (midi(SCALE_TRACK, division=0), "damaged"),
    "division 1": (midi(chunk(b"".join(note(p, 1) for p in SCALE)), division=1), SCALE_NOTES),
    "division 32767": (midi(chunk(b"".join(note(p, 32_767) for p in SCALE)), division=32_767), SCALE_NOTES),
    # 25 frames by 40 ticks are 1,000 ticks a second: half a second is a beat at 120 qpm, whatever a tempo says.
    "SMPTE": (midi(chunk(tempo(0, 999_999), *(note(p, 500) for p in SCALE)), division=0xE728), SCALE_NOTES),
    "SMPTE drop frame": (midi(chunk(note(60, 2997)), division=0xE364), [(0, 60, 24)]),
    "SMPTE of 31 frames": (midi(SCALE_TRACK, division=0xE128), "damaged"),
    "SMPTE of 0 ticks": (midi(SCALE_TRACK, division=0xE700), "damaged"),
    "grid bomb": (midi(chunk(*(on(2**24, p) + off(1, p) for p in (60, 62))), division=1), "too long"),
    "note for ever": (midi(chunk(on(0, 60), off(2**28 - 1, 60)), division=1), "too long"),
    "silent for ever": (midi(chunk(vlq(2**28 - 1) + note(60)[1:])), [(6, 60, 12)]),
    "far end of track": (midi(chunk(SCALE_EVENTS, end=meta(2**28 - 1, 0x2F))), SCALE_NOTES),
    "too many tracks": (midi(*[SCALE_TRACK] * 600), "too many tracks"),
    "too many notes": (midi(chunk(b"\x00\x90\x3c\x50" + b"\x00\x3c\x50" * 50_000)), "too many notes"),
    "a million controllers": (
        midi(chunk(b"\x00\xb0\x07\x40" + b"\x00\x07\x41" * 1_000_000, note(60))),
        [(0, 60, 12)],
    ),
    "one pitch struck 20,000 times": (
        midi(chunk(*[on(40, 60)] * 20_000, off(40, 60))),
        [(place, 60, 1) for place in range(1, 20_001)],
    ),
    "no note-offs": (
        midi(chunk(on(0, 60), on(BEAT, 60), on(BEAT, 64), end=meta(BEAT, 0x2F))),
        [(0, 60, 12), (12, 60, 24), (24, 64, 12)],
    ),
    "note-offs alone": (midi(chunk(off(0, 60), off(9, 62))), "no notes"),
    "zero-length notes": (midi(chunk(note(60, 0), note(62), note(64, 0))), [(0, 60, 1), (0, 62, 12), (12, 64, 1)]),
    "shorter than the grid": (midi(chunk(note(60, 3), note(62, 477))), [(0, 60, 1), (0, 62, 12)]),
    "overlap of one pitch": (
        midi(chunk(on(0, 60), on(BEAT, 60), off(BEAT, 60), off(BEAT, 60))),
        [(0, 60, 12), (12, 60, 24)],
    ),
    "one pitch twice at once": (midi(chunk(on(0, 60), on(0, 60), off(BEAT, 60), off(BEAT, 60))), [(0, 60, 24)]),
    "struck again before its end": (
        midi(chunk(on(0, 60), on(BEAT, 60), off(0, 60), off(BEAT, 60))),
        [(0, 60, 12), (12, 60, 12)],
    ),
    "drums only": (midi(chunk(*[note(38, channel=9)] * 64)), "drums only"),
    "drums and a tune": (midi(chunk(*[note(38, channel=9)] * 8), SCALE_TRACK), SCALE_NOTES),
    "outside the 88 keys": (
        midi(chunk(note(0), note(20), note(21), note(108), note(109), note(127))),
        [(0, 24, 12), (12, 32, 12), (24, 21, 12), (36, 108, 12), (48, 97, 12), (60, 103, 12)],
    ),
    "two bars of silence": (midi(chunk(on(9 * BEAT, 60), off(BEAT, 60))), [(12, 60, 12)]),
}
