"""The reader of untrusted files: every odd kind gives its exact result, nothing raises, nothing goes uncounted."""

import os
import random
from itertools import pairwise

import odd_midi
import pretty_midi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_midi import (
    BEAT,
    GOOD,
    ODD,
    SCALE,
    SCALE_NOTES,
    SCALE_TRACK,
    chunk,
    meta,
    meter,
    midi,
    name,
    note,
    off,
    on,
    tempo,
)

from seqgan_music.config import ReadingConfig
from seqgan_music.music.notes import Meter, Tempo
from seqgan_music.music.reading import SUFFIXES, Reading, read

TUNE = chunk(name("Flute"), b"\x00\xc0\x49", *(note(pitch + 12) for pitch in SCALE))
CHORDS = chunk(name("Piano"), *(on(0, p, channel=1) + on(0, p + 4, channel=1) for p in (48, 53)),
               *(off(8 * BEAT if p == 48 else 0, p, channel=1) for p in (48, 52, 53, 57)))  # fmt: skip
BASS = chunk(name("Bass"), *(note(pitch - 24, channel=2) for pitch in SCALE))


@pytest.fixture
def reading(tmp_path):
    def of(data: bytes, suffix: str = ".mid", **settings) -> Reading:
        path = tmp_path / f"tune{suffix}"
        path.write_bytes(data)
        return read(path, ReadingConfig(**settings))

    return of


def notes_of(reading: Reading, piece: int = 0) -> list[tuple[int, int, int]]:
    return [(n.onset, n.pitch, n.duration) for n in reading.pieces[piece].notes]


def check_invariants(reading: Reading, config: ReadingConfig) -> None:
    """What holds for every reading of anything."""
    assert (reading.reason is None) == bool(reading.pieces)
    assert reading.reason != "failed", reading.detail
    assert reading.detail
    assert reading.detail.isprintable()
    assert all(value > 0 for value in reading.counts.values())
    for piece in reading.pieces:
        assert piece.notes == tuple(sorted(piece.notes, key=lambda n: (n.onset, n.pitch)))
        assert 1 <= len(piece.notes) <= config.max_notes
        assert 0 < piece.end <= config.max_beats * config.ticks_per_beat
        assert all(n.duration >= 1 and 21 <= n.pitch <= 108 and 1 <= n.velocity <= 127 for n in piece.notes)
        assert 0 <= piece.program <= 127
        assert next(iter(piece.bars())).end > piece.notes[0].onset
        for events in (piece.meters, piece.tempos):
            assert events[0].onset == 0
            assert all(one.onset < two.onset for one, two in pairwise(events))
        assert all(10 <= t.qpm <= 400 for t in piece.tempos)
        for one, two in pairwise(piece.meters):
            assert (two.onset - one.onset) % one.bar_ticks(piece.ticks_per_beat) == 0
        by_pitch = sorted(piece.notes, key=lambda n: (n.pitch, n.onset))
        assert all(one.pitch != two.pitch or one.end <= two.onset for one, two in pairwise(by_pitch))


@pytest.mark.parametrize("kind", ODD)
def test_every_odd_file_gives_its_exact_result(reading, kind):
    data, expected = ODD[kind]
    got = reading(data)
    assert (got.reason or notes_of(got)) == expected
    check_invariants(got, ReadingConfig())


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("good", {}),
        ("RMID", {"bytes_before_header": 20}),
        ("two files in one", {"bytes_after_last_track": len(midi(chunk(note(30))))}),
        ("fewer tracks declared", {"undeclared_tracks": 1}),
        ("more tracks declared", {"missing_tracks": 8}),
        ("chunk length too short", {"wrong_chunk_lengths": 1}),
        ("cut inside a track", {"truncated_tracks": 1, "unended_notes": 1}),
        ("events after the end of track", {"bytes_after_track_end": len(note(30) + odd_midi.END)}),
        ("bad key signature", {"undecodable_events": 1}),
        ("tempo 0", {"tempos_clamped": 1}),
        ("meter 0/4", {"meters_ignored": 1}),
        ("velocity above 127", {"clipped_values": 1}),
        ("one pitch struck 20,000 times", {"unended_notes": 19_999, "overlaps_trimmed": 1}),
        ("zero-length notes", {"zero_length_notes": 2}),
        ("shorter than the grid", {"short_notes_lengthened": 1, "onsets_moved_to_grid": 1}),
        ("overlap of one pitch", {"overlaps_trimmed": 1}),
        ("one pitch twice at once", {"doubled_notes_merged": 1}),
        ("drums only", {"drum_notes": 64}),
        ("drums and a tune", {"drum_notes": 8}),
        ("outside the 88 keys", {"moved_by_octaves": 4}),
        ("two bars of silence", {"silent_bars_removed": 2}),
        ("no events", {"empty_tracks": 1}),
    ],
)
def test_what_was_changed_is_counted(reading, kind, counts):
    assert reading(ODD[kind][0]).counts == counts


def test_notes_outside_the_keys_can_be_dropped(reading):
    got = reading(ODD["outside the 88 keys"][0], out_of_range="drop")
    assert [pitch for _, pitch, _ in notes_of(got)] == [21, 108]
    assert got.counts["out_of_range_dropped"] == 4
    assert reading(midi(chunk(note(3))), out_of_range="drop").reason == "no notes"


@pytest.mark.parametrize(
    ("limit", "data", "reason"),
    [
        ({"max_notes": 7}, GOOD, "too many notes"),
        ({"max_beats": 7}, GOOD, "too long"),
        ({"max_notes": 8}, midi(chunk(*[tempo(BEAT, 500_000)] * 9), SCALE_TRACK), "too many events"),
        ({"max_tracks": 1}, midi(SCALE_TRACK, SCALE_TRACK), "too many tracks"),
        ({"max_megabytes": (len(GOOD) - 1) / 1e6}, GOOD, "too large"),
    ],
)
def test_limits_hold_to_the_last_unit(reading, limit, data, reason):
    assert reading(data, **limit).reason == reason
    one_more = {key: value + (1 if value >= 1 else 1.1e-6) for key, value in limit.items()}
    assert reading(data, **one_more).reason is None


def test_format_2_holds_pieces_of_their_own(reading):
    got = reading(midi(chunk(note(60)), chunk(meter(0, 3, 2), note(62), note(64)), form=2))
    assert [notes_of(got, i) for i in range(2)] == [[(0, 60, 12)], [(0, 62, 12), (12, 64, 12)]]
    assert [piece.meters[0] for piece in got.pieces] == [Meter(0, 4, 4), Meter(0, 3, 4)]
    assert [piece.name for piece in got.pieces] == ["tune 1", "tune 2"]


def test_grid_holds_triplets_and_sixteenths(reading):
    got = reading(midi(chunk(*(note(60 + i, 160) for i in range(3)), *(note(60 + i, 120) for i in range(4)))))
    assert [onset for onset, _, _ in notes_of(got)] == [0, 4, 8, 12, 15, 18, 21]
    assert "onsets_moved_to_grid" not in got.counts


def test_onsets_go_to_the_nearest_tick(reading):
    got = reading(midi(chunk(on(19, 60), off(BEAT, 60), on(0, 62), off(441, 62))))  # half a tick is 20
    assert notes_of(got) == [(0, 60, 12), (12, 62, 12)]
    assert got.counts["onsets_moved_to_grid"] == 2


def test_meters_and_tempos_of_any_track_are_taken(reading):
    first = chunk(tempo(0, 500_000), meter(0, 3, 2))
    second = chunk(*(note(pitch) for pitch in SCALE), tempo(0, 250_000))
    third = chunk(meter(6 * BEAT, 2, 2), tempo(0, 1_000_000))
    piece = reading(midi(first, second, third)).pieces[0]
    assert piece.meters == (Meter(0, 3, 4), Meter(72, 2, 4))
    assert piece.tempos == (Tempo(0, 120.0), Tempo(72, 60.0))


def test_tempos_are_clamped_and_repeats_of_them_dropped(reading):
    got = reading(midi(chunk(tempo(0, 512_821), tempo(BEAT, 512_821), tempo(BEAT, 1), tempo(BEAT, 2**24 - 1)),
                       chunk(note(60, 9 * BEAT))))  # fmt: skip
    assert got.pieces[0].tempos == (Tempo(0, 117.0), Tempo(24, 400.0), Tempo(36, 10.0))
    assert got.counts["tempos_clamped"] == 2


def test_one_meter_a_bar_line_and_the_last_counts(reading):
    data = midi(
        chunk(meter(0, 6, 3), meter(0, 3, 2), meter(0, 3, 2), note(60, 12 * BEAT), meter(0, 65, 2), meter(0, 3, 7))
    )
    got = reading(data)
    assert got.pieces[0].meters == (Meter(0, 3, 4),)
    assert got.counts == {"meters_ignored": 2}


def test_silent_bars_go_and_take_their_meters_with_them(reading):
    data = midi(chunk(meter(0, 3, 2), meter(6 * BEAT, 2, 2)), chunk(on(9 * BEAT, 60), off(4 * BEAT, 60)))
    got = reading(data)
    assert notes_of(got) == [(12, 60, 48)]
    assert got.pieces[0].meters == (Meter(0, 2, 4),)
    assert got.counts["silent_bars_removed"] == 3


def test_an_upbeat_shows_by_a_later_change_of_meter(reading):
    tune = chunk(note(60), *(note(62) for _ in range(4)), note(64, 3 * BEAT))
    got = reading(midi(chunk(meter(0, 4, 2), meter(5 * BEAT, 3, 2)), tune))
    assert notes_of(got)[:2] == [(36, 60, 12), (48, 62, 12)]
    assert got.pieces[0].meters == (Meter(0, 4, 4), Meter(96, 3, 4))
    assert got.counts == {"upbeats_filled": 1}


def test_meter_changes_that_no_upbeat_explains_wait_for_the_bar_line(reading):
    changes = chunk(meter(0, 4, 2), meter(5 * BEAT, 3, 2), meter(5 * BEAT, 4, 2))
    got = reading(midi(changes, chunk(note(60, 20 * BEAT))))
    assert got.pieces[0].meters == (Meter(0, 4, 4), Meter(96, 3, 4), Meter(132, 4, 4))
    assert got.counts == {"meters_moved_to_bar_line": 2}


def test_all_tracks_are_merged(reading):
    got = reading(midi(TUNE, CHORDS, BASS))
    assert len(got.pieces[0].notes) == 20
    assert got.track is None
    assert got.pieces[0].program == 0x49


@pytest.mark.parametrize(
    ("wanted", "pitches", "track"),
    [
        ("1", [p + 12 for p in SCALE], "track 1 'Flute', 8 notes"),
        ("3", [p - 24 for p in SCALE], "track 3 'Bass', 8 notes"),
        ("flute", [p + 12 for p in SCALE], "track 1 'Flute', 8 notes"),
        ("BAS", [p - 24 for p in SCALE], "track 3 'Bass', 8 notes"),
        ("melody", [p + 12 for p in SCALE], "track 1 'Flute', 8 notes"),
        ("piano", [48, 52, 53, 57], "track 2 'Piano', 4 notes"),
    ],
)
def test_a_track_is_taken_by_number_name_or_likeness(reading, wanted, pitches, track):
    got = reading(midi(TUNE, CHORDS, BASS), track=wanted)
    assert [pitch for _, pitch, _ in notes_of(got)] == pitches
    assert got.track == track
    assert got.counts["other_tracks_dropped"] == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_melody_is_found_wherever_it_stands(reading, order):
    tracks = [TUNE.replace(b"Flute", b"Track"), CHORDS.replace(b"Piano", b"Track"), BASS.replace(b"Bass", b"Trac")]
    got = reading(midi(*(tracks[i] for i in order)), track="melody")
    assert [pitch for _, pitch, _ in notes_of(got)] == [p + 12 for p in SCALE]


@pytest.mark.parametrize("wanted", ["0", "4", "tuba", "99999999999999999999", "²"])
def test_a_track_that_is_not_there_is_named_with_those_that_are(reading, wanted):
    got = reading(midi(TUNE, CHORDS, BASS), track=wanted)
    assert got.reason == "no such track"
    assert f"'{wanted}'" in got.detail
    assert "1 'Flute', 2 'Piano', 3 'Bass'" in got.detail


def test_channels_are_the_tracks_of_a_file_with_one(reading):
    data = midi(chunk(*(on(0, p, channel=c) + off(BEAT, p, channel=c) for c, p in ((3, 72), (5, 40)))), form=0)
    assert notes_of(reading(data, track="2")) == [(12, 40, 12)]
    assert reading(data, track="channel 4").track == "track 1 'channel 4', 1 notes"


def test_the_melody_of_one_polyphonic_track_is_its_top_line(reading):
    got = reading(
        midi(chunk(on(0, 60), on(0, 72), on(BEAT, 48), off(0, 60), off(BEAT, 72), off(0, 48))), track="melody"
    )
    assert notes_of(got) == [(0, 72, 12), (12, 48, 12)]
    assert got.counts == {"below_top_line_dropped": 1, "cut_by_top_line": 1}


def test_names_from_outside_are_made_fit_for_a_terminal(reading):
    got = reading(midi(chunk(name("a\x1b[31m\n\u202eb"), note(60)), TUNE), track="1")
    assert got.track == "track 1 'a [31m b', 1 notes"
    got = reading(midi(chunk(meta(0, 3, b"Fl\xf6te"), note(60)), TUNE), track="flöte")
    assert got.reason is None


def test_the_piece_is_named_after_the_file(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \n 1.MID")
    path.write_bytes(GOOD)
    piece = read(path, ReadingConfig()).pieces[0]
    assert piece.name == "caf 1"
    assert piece.name.encode()


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    (tmp_path / "folder.mid").mkdir()
    os.mkfifo(tmp_path / "pipe.mid")
    (tmp_path / "gone.mid").symlink_to("nowhere.mid")
    (tmp_path / "loop.mid").symlink_to("loop.mid")
    (tmp_path / "zero.mid").symlink_to("/dev/zero")
    reasons = {path.stem: read(path, ReadingConfig()).reason for path in tmp_path.iterdir()}
    assert reasons == {
        "folder": "not a file", "pipe": "not a file", "zero": "not a file",
        "gone": "unreadable", "loop": "unreadable",
    }  # fmt: skip
    assert read(tmp_path / ("n" * 300 + ".mid"), ReadingConfig()).reason == "unreadable"
    assert read(tmp_path / "nul\0.mid", ReadingConfig()).reason == "unreadable"


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "tune.mid").write_bytes(GOOD)
    (tmp_path / "link.MIDI").symlink_to("tune.mid")
    assert notes_of(read(tmp_path / "link.MIDI", ReadingConfig())) == SCALE_NOTES


@pytest.mark.parametrize("suffix", [".mid", ".MID", ".Midi", ".kar"])
def test_suffixes_are_read_in_any_case(reading, suffix):
    assert suffix.lower() in SUFFIXES
    assert notes_of(reading(GOOD, suffix)) == SCALE_NOTES
    assert reading(GOOD, ".mp3").reason == "not music"


ticks = st.integers(0, 40)
plain_notes = st.lists(st.tuples(ticks, st.integers(21, 108), st.integers(1, 30), st.integers(1, 127)), min_size=1)
any_byte_quiet = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def separated(notes):
    """Return the notes without those that meet an earlier one of their pitch."""
    kept, ends = [], {}
    for onset, pitch, duration, velocity in sorted(notes):
        if ends.get(pitch, -1) < onset:
            kept.append((onset, pitch, duration, velocity))
            ends[pitch] = onset + duration
    return kept


@any_byte_quiet
@given(notes=plain_notes, ticks_per_beat=st.sampled_from([4, 12, 24]), factor=st.integers(1, 40))
def test_any_notes_on_the_grid_read_back_exactly(reading, notes, ticks_per_beat, factor):
    notes = separated(notes)
    events = sorted([(o, 1, p, v) for o, p, _, v in notes] + [(o + d, 0, p, 0) for o, p, d, _ in notes])
    now, body = 0, b""
    for when, _, pitch, velocity in events:
        body += on((when - now) * factor, pitch, velocity)
        now = when
    got = reading(midi(chunk(body), division=ticks_per_beat * factor), ticks_per_beat=ticks_per_beat)
    start = notes[0][0] // (4 * ticks_per_beat) * 4 * ticks_per_beat
    assert [(n.onset + start, n.pitch, n.duration, n.velocity) for n in got.pieces[0].notes] == notes
    assert set(got.counts) <= {"silent_bars_removed"}


@any_byte_quiet
@given(data=st.binary(max_size=300), headed=st.booleans())
def test_random_bytes_never_raise(reading, data, headed):
    whole = midi(b"MTrk" + len(data).to_bytes(4, "big") + data) if headed else data
    check_invariants(reading(whole), ReadingConfig())


@any_byte_quiet
@given(seed=st.integers(0, 2**32), size=st.integers(1, 12))
def test_damaged_good_files_never_raise(reading, seed, size):
    chance = random.Random(seed)
    data = bytearray(midi(chunk(tempo(0, 400_000), meter(0, 6, 3)), TUNE, CHORDS, chunk(note(38, channel=9))))
    for _ in range(size):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randrange(9)]
            case 2:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randrange(30)]
            case 3:
                data[at] = chance.choice(b"\x00\x7f\x80\xf0\xf7\xff")
        data = data or bytearray(1)
    for track in ("all", "melody", "1"):
        check_invariants(reading(bytes(data), track=track), ReadingConfig())


delta = st.sampled_from([0, 1, 7, 40, 480, 1920, 70_000])
seven = st.integers(0, 127)
event = st.one_of(
    st.builds(on, delta, seven, seven, st.integers(0, 15)),
    st.builds(off, delta, seven, st.integers(0, 15)),
    st.builds(meta, delta, st.integers(0, 127), st.binary(max_size=6)),
    st.builds(tempo, delta, st.integers(0, 2**24 - 1)),
    st.builds(meter, delta, st.integers(0, 255), st.integers(0, 255)),
)
divisions = st.one_of(st.integers(0, 65_535), st.sampled_from([1, 96, 480, 0xE728]))


@any_byte_quiet
@given(
    tracks=st.lists(st.lists(event, max_size=30), max_size=4),
    form=st.integers(0, 2),
    division=divisions,
    settings=st.fixed_dictionaries({
        "ticks_per_beat": st.sampled_from([4, 12, 48]),
        "track": st.sampled_from(["all", "melody", "2"]),
        "out_of_range": st.sampled_from(["octave", "drop"]),
        "max_notes": st.sampled_from([5, 50_000]),
        "max_beats": st.sampled_from([3, 20_000]),
    }),
)  # fmt: skip
def test_random_events_stay_within_the_limits(reading, tracks, form, division, settings):
    data = midi(*(chunk(*events) for events in tracks), form=form, division=division)
    check_invariants(reading(data, **settings), ReadingConfig(**settings))


@any_byte_quiet
@given(notes=plain_notes, program=st.integers(0, 127))
def test_files_of_pretty_midi_agree_with_pretty_midi(reading, tmp_path, notes, program):
    written = pretty_midi.PrettyMIDI(resolution=120, initial_tempo=100)
    instrument = pretty_midi.Instrument(program=program)
    instrument.notes = [
        pretty_midi.Note(velocity, pitch, onset * 0.05, (onset + duration) * 0.05)  # a tick of 1/12 beat is 0.05 s
        for onset, pitch, duration, velocity in separated(notes)
    ]
    written.instruments.append(instrument)
    written.time_signature_changes.append(pretty_midi.TimeSignature(6, 8, 0.0))
    written.write(str(tmp_path / "pm.mid"))
    piece = read(tmp_path / "pm.mid", ReadingConfig()).pieces[0]
    theirs = pretty_midi.PrettyMIDI(str(tmp_path / "pm.mid")).instruments[0].notes
    first = min(n.start for n in theirs)
    start = round(first / 0.05) // 36 * 36
    assert [(n.onset + start, n.pitch, n.duration, n.velocity) for n in piece.notes] == sorted(
        (round(n.start / 0.05), n.pitch, round((n.end - n.start) / 0.05), n.velocity) for n in theirs
    )
    assert piece.meters == (Meter(0, 6, 8),)
    assert piece.tempos == (Tempo(0, 100.0),)
    assert piece.program == program
