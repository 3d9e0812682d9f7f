"""Files whose beats and bars are not where their notes are: found, moved by one constant, and else left alone."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from odd_midi import chunk, meter, midi, note

from seqgan_music.config import ReadingConfig
from seqgan_music.music.alignment import aligned
from seqgan_music.music.arranging import read_arrangement
from seqgan_music.music.notes import Meter
from seqgan_music.music.reading import read
from seqgan_music.music.smf import DRUM_CHANNEL, PEDAL, MidiFile, RawNote, Track

BEAT = 480


def song(seed: int, later: int = 0, beats: int = 4, bars: int = 24, part: int = 4) -> list[RawNote]:
    """Return a tune in parts of beats over chords that change with the bar, all of it so many ticks later."""
    dice = random.Random(seed)
    notes: list[RawNote] = []
    root = 0
    for bar in range(bars):
        root = dice.choice([key for key in (0, 5, 7, 9) if key != root])
        start = later + bar * beats * BEAT
        chord = [36 + root, *(48 + (root + step) % 12 for step in (0, 4, 7))]
        notes += [(start, start + beats * BEAT, pitch, 80) for pitch in chord]
        for beat in range(beats):
            for place in [0, *sorted(dice.sample(range(1, part), dice.randrange(part)))]:
                onset = start + beat * BEAT + place * BEAT // part
                notes.append((onset, onset + BEAT // part, 60 + (root + dice.choice([0, 4, 7])) % 12, 80))
    return notes


def file(*tracks: Track, form: int = 1, ticks: Fraction | int = BEAT) -> MidiFile:
    return MidiFile(form, Fraction(ticks), list(tracks))


def onsets(found: MidiFile) -> list[int]:
    return [one[0] for track in found.tracks for notes in track.notes.values() for one in notes]


@given(st.integers(0, 9999), st.integers(20, 4 * BEAT - 20), st.sampled_from([(4, 4), (3, 4)]))
def test_a_song_beside_its_beats_is_put_on_bar_lines(seed: int, later: int, bar: tuple[int, int]) -> None:
    near_a_sixteenth = min(later % (BEAT // 4), -later % (BEAT // 4)) <= BEAT // 32
    assume(not near_a_sixteenth and BEAT // 8 < later % BEAT < BEAT - BEAT // 8)
    notes = song(seed, later, beats=bar[0])
    counts: Counter[str] = Counter()
    found = aligned(file(Track(meters=[(0, *bar)]), Track(notes={0: notes})), counts)
    assert +counts == {"beats_moved_to_notes": 1}
    assert found.tracks[0].meters == [(0, *bar)]
    first = onsets(found)[0]
    assert first % (bar[0] * BEAT) == 0
    assert [onset - first for onset in onsets(found)] == [one[0] - later for one in notes]


@given(st.integers(0, 9999), st.integers(0, 7))
def test_bars_of_one_beat_become_bars_of_four(seed: int, beats_later: int) -> None:
    notes = song(seed, beats_later * BEAT)
    counts: Counter[str] = Counter()
    found = aligned(file(Track(notes={0: notes}, meters=[(0, 4, 4), (0, 1, 4)])), counts)
    assert +counts == {"one_beat_bars_joined": 1}
    assert found.tracks[0].meters == [(0, 4, 4)]
    assert onsets(found)[0] % (4 * BEAT) == 0


@given(st.integers(0, 9999), st.integers(16, BEAT // 8 - 1), st.sampled_from([1, -1]))
def test_a_file_that_is_a_little_late_or_early_keeps_its_bars(seed: int, by: int, sign: int) -> None:
    notes = song(seed, BEAT + sign * by)  # a beat off the bar line, by chords: of bars the file is believed
    found = aligned(file(Track(notes={0: notes}, meters=[(0, 4, 4)])), Counter())
    assert onsets(found)[0] % (4 * BEAT) == BEAT


def test_what_is_said_of_time_moves_with_the_notes() -> None:
    later = 3 * BEAT + 200
    track = Track(
        "piano",
        notes={0: song(1, later), DRUM_CHANNEL: [(later, later + 10, 35, 99)]},
        programs={0: [(0, 4), (later + 5, 6)]},
        controls={(0, PEDAL): [(0, 0), (later + 7, 127)]},
        tempos=[(0, 500_000), (later + 9, 400_000)],
    )
    (found,) = aligned(file(track), Counter()).tracks
    by = found.notes[0][0][0] - later
    assert 0 < by < 4 * BEAT
    assert found.notes[DRUM_CHANNEL] == [(later + by, later + by + 10, 35, 99)]
    assert found.controls == {(0, PEDAL): [(0, 0), (later + by + 7, 127)]}
    assert found.tempos == [(0, 500_000), (later + by + 9, 400_000)]
    assert (found.name, found.programs) == ("piano", {0: [(0, 4), (later + by + 5, 6)]})


@given(st.integers(0, 9999), st.sampled_from([4, 3]), st.integers(-BEAT // 40, BEAT // 40))
def test_notes_on_the_grid_of_their_file_stay(seed: int, part: int, late: int) -> None:
    given_ = file(Track(notes={0: song(seed, BEAT + late, part=part)}))
    counts: Counter[str] = Counter()
    assert aligned(given_, counts) == given_
    assert not +counts


@given(st.integers(0, 9999))
def test_performances_stay(seed: int) -> None:
    dice = random.Random(seed)
    notes = [(onset, onset + 100, 60, 80) for onset in (dice.randrange(200 * BEAT) for _ in range(200))]
    given_ = file(Track(notes={0: notes}))
    assert aligned(given_, Counter()) == given_


@given(st.integers(0, 9999), st.floats(0.52, 0.72))
def test_swing_stays(seed: int, swing: float) -> None:
    dice = random.Random(seed)
    places = sorted({beat * BEAT + dice.randrange(2) * round(swing * BEAT) for beat in range(100) for _ in (0, 1)})
    given_ = file(Track(notes={0: [(place, place + 100, 60, 80) for place in places]}))
    assert aligned(given_, Counter()) == given_


def test_files_whose_meter_changes_know_their_bars() -> None:
    given_ = file(Track(notes={0: song(1, 200)}, meters=[(0, 4, 4), (200, 3, 4)]))
    assert aligned(given_, Counter()) == given_


@pytest.mark.parametrize("ticks", [Fraction(1000, 3), Fraction(1)])
def test_files_without_beats_or_notes_or_ticks_stay(ticks: Fraction) -> None:
    for tracks in ([], [Track()], [Track(notes={0: [(3, 4, 60, 80)]}, meters=[(0, 0, 4), (0, 255, 1 << 40)])]):
        given_ = file(*tracks, ticks=ticks)
        assert aligned(given_, Counter()).tracks == tracks


def test_independent_sequences_are_moved_each_by_its_own() -> None:
    tracks = [Track(notes={0: song(1, 200)}), Track(notes={0: song(2)}), Track(notes={0: song(3, 700)})]
    counts: Counter[str] = Counter()
    found = aligned(file(*tracks, form=2), counts)
    assert counts["beats_moved_to_notes"] == 2
    assert all(track.notes[0][0][0] % (4 * BEAT) == 0 for track in found.tracks)
    assert found.tracks[1] == tracks[1]


def test_a_reader_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tune.mid"
    path.write_bytes(midi(chunk(meter(0, 1, 2), *(note(pitch) for pitch in (60, 64, 67, 72) * 8))))
    for got in (read(path, ReadingConfig()), read(path, ReadingConfig(ticks_per_beat=4, instruments=True))):
        assert got.counts == {"one_beat_bars_joined": 1}
        assert {bar.meter for bar in got.pieces[0].bars()} == {(4, 4)}
    assert read_arrangement(path).arrangement.meters == (Meter(0, 4, 4),)
