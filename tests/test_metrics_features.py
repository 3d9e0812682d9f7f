"""Windows, features, form and meter of pieces: by hand, against muspy and slow references, and by laws."""

from __future__ import annotations

import math
import random
import re
import warnings
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import pieces

from seqgan_music.music import key_finding
from seqgan_music.music.metrics import features as frozen
from seqgan_music.music.metrics.arrays import arrays
from seqgan_music.music.metrics.features import FEATURES, NAMES, Scaling, feature_table, features
from seqgan_music.music.metrics.frechet import frechet
from seqgan_music.music.metrics.meter import bars_in_meter, meter_share
from seqgan_music.music.metrics.overlap import wasserstein
from seqgan_music.music.metrics.structure import (
    bar_vectors,
    lag_curve,
    lag_distance,
    lag_similarities,
    mean_curve,
    returning_share,
)
from seqgan_music.music.metrics.windows import windows
from seqgan_music.music.notes import DRUMS, Bar, Meter, Note, Piece, Tempo

BAR = 48


def tuned_pieces(**kind: Any) -> st.SearchStrategy[Piece]:
    """Pieces without drums, which no feature hears."""
    return pieces(**kind).map(lambda piece: piece.tuned)


def line(*notes: tuple[int, int], meters: tuple[Meter, ...] = (Meter(0, 4, 4),)) -> Piece:
    """One voice of (pitch, ticks), pitch 0 for a rest."""
    made, onset = [], 0
    for pitch, ticks in notes:
        made += [Note(onset, pitch, ticks)] if pitch else []
        onset += ticks
    return Piece(tuple(made), meters=meters)


def named(piece: Piece) -> dict[str, float]:
    return dict(zip(NAMES, features(piece).tolist(), strict=True))


# Windows


def slow_windows(piece: Piece, size: int) -> list[list[tuple[int, int, int]]]:
    bars = list(piece.bars())
    parts: dict[int, list[tuple[int, int, int]]] = {}
    for note in piece.notes:
        part = next(number for number, bar in enumerate(bars) if bar.start <= note.onset < bar.end) // size
        start, end = bars[part * size].start, bars[min(len(bars), (part + 1) * size) - 1].end
        parts.setdefault(part, []).append((note.onset - start, note.pitch, min(note.end, end) - note.onset))
    if len(bars) > size and 0 < len(bars) % size < size / 2:
        del parts[len(bars) // size]
    return [parts[part] for part in sorted(parts)]


@settings(max_examples=60, deadline=None)
@given(tuned_pieces(), st.sampled_from([1, 2, 3, 16]))
def test_windows_hold_what_begins_in_their_bars(piece: Piece, size: int) -> None:
    found = windows(piece, size)
    assert [[(n.onset, n.pitch, n.duration) for n in window.notes] for window in found] == slow_windows(piece, size)
    for window in found:
        assert len(list(window.bars())) <= size
        assert (window.meters[0].onset, window.tempos[0].onset) == (0, 0)


@pytest.mark.parametrize(("bars", "kept"), [(1, [1]), (16, [16]), (23, [16]), (24, [16, 8]), (32, [16, 16])])
def test_a_last_part_of_less_than_half_a_window_is_left_out(bars: int, kept: list[int]) -> None:
    assert [len(window.notes) for window in windows(line(*[(60, BAR)] * bars))] == kept


def test_a_window_keeps_its_meters_and_tempos_and_cuts_its_last_note() -> None:
    meters = (Meter(0, 4, 4), Meter(17 * BAR, 3, 4))
    tempos = (Tempo(0, 80.0), Tempo(16 * BAR, 90.0), Tempo(20 * BAR, 100.0))
    piece = Piece((Note(0, 60, 9), Note(15 * BAR, 62, 3 * BAR), Note(24 * BAR, 64, 9)), 12, meters, tempos, 7, "x")
    first, second = windows(piece)
    assert first.notes[-1] == Note(15 * BAR, 62, BAR)
    assert second.notes == (Note(8 * BAR, 64, 9),)
    assert second.meters == (Meter(0, 4, 4), Meter(BAR, 3, 4))
    assert first.tempos == (Tempo(0, 80.0),)
    assert second.tempos == (Tempo(0, 90.0), Tempo(4 * BAR, 100.0))
    assert (second.program, second.name) == (7, "x")


def test_bars_without_notes_make_no_window() -> None:
    assert windows(Piece(())) == []
    assert len(windows(Piece((Note(0, 60, 9), Note(40 * BAR, 60, 9))))) == 2


# Features


def test_the_features_of_two_bars_are_those_counted_by_hand() -> None:
    """C4 quarter, D4 and E4 eighths, G4 half | rest, C5 dotted quarter over E4, sixteenths B4 and C5, rest."""
    first = [Note(0, 60, 12), Note(12, 62, 6), Note(18, 64, 6), Note(24, 67, 24)]
    second = [Note(60, 64, 18), Note(60, 72, 18), Note(78, 71, 3), Note(81, 72, 3)]
    found = named(Piece(tuple(first + second)))
    pitches = [60, 62, 64, 67, 64, 72, 71, 72]
    logs = [math.log2(ticks / 12) for ticks in (12, 6, 6, 36, 18, 3)]
    expected = {
        "pitch_range": 12,
        "pitches": 6,
        "pitch_classes": 5,
        "pitch_mean": 66.5,
        "pitch_sd": float(np.std(pitches)),
        "pitch_entropy": 4 * 3 / 8 + 2 * 2 * 2 / 8,
        "pitch_class_entropy": 3 / 8 * math.log2(8 / 3) + 2 / 8 * 2 + 3 * 3 / 8,
        "scale_consistency": 1,
        "interval_mean": (2 + 2 + 3 + 5 + 1 + 1) / 6,
        "repeated_share": 0,
        "step_share": 4 / 6,
        "leap_share": 0,
        "interval_entropy": 2 / 6 * math.log2(3) + 4 / 6 * math.log2(6),
        "notes_per_bar": 4,
        "notes_per_bar_sd": 0,
        "log_ioi": sum(logs) / 6,
        "log_ioi_sd": float(np.std(logs)),
        "duration_entropy": 3 * 2 / 8 * 2 + 2 * 3 / 8,
        "sixteenth_share": 2 / 8,
        "eighth_share": 2 / 8,
        "quarter_share": 3 / 8,
        "half_share": 1 / 8,
        "off_eighth_share": 1 / 8,
        "empty_beat_share": 2 / 8,
        "beat_1_share": 1 / 8,
        "beat_2_share": 3 / 8,
        "beat_3_share": 1 / 8,
        "beat_4_share": 0,
        "groove_similarity": 1 - 5 / 16,
        "voices": (48 + 24 + 18) / (48 + 24),
        "two_voices_share": 18 / 72,
        "three_voices_share": 0,
        "returning_share": 0,
        # Notes on C D E G and sixteenths 0 4 6 8, then on E C C B and sixteenths 4 4 10 11.
        "lag_1": (3 / math.sqrt(4 * 6) + 2 / math.sqrt(4 * 6)) / 2,
        "degree_1_share": 3 / 8,
        "degree_2_share": 1 / 8,
        "degree_3_share": 2 / 8,
        "degree_5_share": 1 / 8,
    }
    assert found == pytest.approx({name: expected.get(name, 0) for name in NAMES})


def test_the_list_is_frozen() -> None:
    tune = line(*[(60 + 7 * i % 17, 3 + 5 * i % 9) for i in range(150)], (66, 7))
    chords = Piece(tuple(sorted([*tune.notes, *(Note(n.onset, n.pitch - 12, 30) for n in tune.notes[::5])])))
    values = features(windows(chords)[0])
    assert frozen.VERSION == "features-v1"
    assert len(NAMES) == 43
    assert values.round(4).tolist() == GOLDEN, "a change of the features needs a new VERSION"


def test_every_feature_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE)) == FEATURES


def test_drums_alone_have_no_features() -> None:
    struck = (Note(0, 36, 1, 100, DRUMS), Note(12, 38, 1, 100, DRUMS))
    assert features(Piece(struck)).tolist() == [0.0] * len(NAMES)
    assert features(Piece(tuple(sorted([*line((60, 12), (62, 12)).notes, *struck]))))[0] > 0


def many(seed: int, *, voices: int) -> Piece:
    dice = random.Random(seed)
    notes: dict[tuple[int, int], Note] = {}
    for _ in range(40):
        onset = 6 * dice.randrange(32 if voices > 1 else 150)
        pitch = dice.choice([60, 62, 63, 65, 67, 68, 70, 72, 74])
        notes[onset, pitch if voices > 1 else 0] = Note(onset, pitch, 6)
    return Piece(tuple(sorted(notes.values())))


@pytest.fixture(scope="module")
def muspy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("muspy")


@pytest.mark.parametrize("voices", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_what_muspy_defines_is_what_muspy_finds(muspy: Any, seed: int, voices: int) -> None:
    piece = many(seed, voices=voices)
    track = muspy.Track(notes=[muspy.Note(n.onset, n.pitch, n.duration, n.velocity) for n in piece.notes])
    music, found = muspy.Music(resolution=12, tracks=[track]), named(piece)
    assert found["pitch_range"] == muspy.pitch_range(music)
    assert found["pitches"] == muspy.n_pitches_used(music)
    assert found["pitch_classes"] == muspy.n_pitch_classes_used(music)
    assert found["pitch_entropy"] == pytest.approx(muspy.pitch_entropy(music))
    assert found["scale_consistency"] == pytest.approx(muspy.scale_consistency(music))
    assert found["voices"] == pytest.approx(muspy.polyphony(music))
    ticks = piece.end
    sounding = sum(any(n.onset <= tick < n.end for n in piece.notes) for tick in range(ticks))
    for name, threshold in (("two_voices_share", 1), ("three_voices_share", 2)):
        assert found[name] * sounding / ticks == pytest.approx(muspy.polyphony_rate(music, threshold=threshold))
    if len(list(piece.bars())) <= 4:
        assert found["pitch_class_entropy"] == pytest.approx(muspy.pitch_class_entropy(music))


@settings(max_examples=60, deadline=None)
@given(tuned_pieces(most=60))
def test_features_are_finite_and_shares_are_shares(piece: Piece) -> None:
    for window in windows(piece):
        found = named(window)
        assert all(math.isfinite(value) for value in found.values())
        assert all(-1e-9 <= found[name] <= 1 + 1e-9 for name in NAMES if name.endswith(("share", "similarity")))
        assert all(-1e-9 <= found[name] <= 1 + 1e-9 for name in NAMES if name.startswith("lag_"))
    assert not features(Piece(())).any()


@settings(max_examples=60, deadline=None)
@given(tuned_pieces(lowest=40, highest=80), st.integers(-12, 12))
def test_transposing_changes_the_mean_pitch_alone(piece: Piece, semitones: int) -> None:
    for window in windows(piece):
        before, after = named(window), named(window.transposed(semitones))
        before["pitch_mean"] += semitones
        assert after == pytest.approx(before, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(tuned_pieces(), st.sampled_from([2, 3, 5]))
def test_a_finer_grid_changes_nothing(piece: Piece, finer: int) -> None:
    for window in windows(piece):
        grid = finer * window.ticks_per_beat
        meters = tuple(replace(meter, onset=finer * meter.onset) for meter in window.meters)
        if any(meter.bar_ticks(grid) != finer * meter.bar_ticks(window.ticks_per_beat) for meter in meters):
            continue  # a bar is not a whole number of ticks on the coarser grid
        notes = tuple(replace(n, onset=finer * n.onset, duration=finer * n.duration) for n in window.notes)
        other = replace(window, notes=notes, ticks_per_beat=grid, meters=meters)
        np.testing.assert_allclose(features(other), features(window), atol=1e-9)


def test_degrees_are_counted_in_the_key() -> None:
    major = named(line(*[(pitch, 12) for pitch in (60, 64, 67, 72, 62, 65, 67, 60)]))
    assert [major[f"degree_{n}_share"] for n in range(1, 7)] == [3 / 8, 1 / 8, 1 / 8, 1 / 8, 2 / 8, 0]
    minor = named(line(*[(pitch, 12) for pitch in (57, 60, 64, 69, 71, 65, 64, 57)]))
    assert [minor[f"degree_{n}_share"] for n in range(1, 7)] == [3 / 8, 1 / 8, 1 / 8, 0, 2 / 8, 1 / 8]


def test_keys_that_fit_equally_well_are_told_apart_alike_in_every_key() -> None:
    tie = line(*[(pitch, 12) for pitch in (60, 64, 64, 65, 65, 71)])
    inside = [named(tie.transposed(semitones)) for semitones in range(12)]
    degrees = {tuple(found[f"degree_{n}_share"] for n in range(1, 7)) for found in inside}
    assert len(degrees) == 1


def test_the_profiles_of_keys_are_music21s() -> None:
    from music21.analysis.discrete import KrumhanslKessler

    profiles = KrumhanslKessler()
    assert key_finding.MAJOR.tolist() == profiles.getWeights("major")
    assert key_finding.MINOR.tolist() == profiles.getWeights("minor")


def test_scaling_by_a_set_gives_it_mean_0_and_sigma_1_where_it_varies() -> None:
    table = np.random.default_rng(1).normal(3, 2, (50, 4))
    table[:, 2] = 7
    scaled = Scaling.of(table)(table)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1])
    np.testing.assert_allclose(Scaling.of(table)(table + 0.02)[:, 2], 1)  # no sigma is below 0.02


# Form


def phrase(seed: int, bars: int = 4) -> list[tuple[int, int]]:
    dice = random.Random(seed)
    scale = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76]
    place, made = dice.randrange(10), []
    for _ in range(bars):
        for ticks in dice.choice([(12, 12, 12, 12), (12, 6, 6, 24), (18, 6, 12, 12), (6, 6, 6, 6, 24)]):
            place = min(9, max(0, place + dice.choice([-2, -1, -1, 1, 1, 2])))
            made.append((scale[place], ticks))
    return made


def slow_similarity(piece: Piece, lag: int) -> float:
    def begins(bar: Bar) -> tuple[Counter[int], Counter[int]]:
        inside = [note for note in piece.notes if bar.start <= note.onset < bar.end]
        slots = Counter(16 * (note.onset - bar.start) // bar.length for note in inside)
        return Counter(note.pitch % 12 for note in inside), slots

    def cosine(a: Counter[int], b: Counter[int]) -> float:
        norms = (math.hypot(*a.values()), math.hypot(*b.values()))
        return sum(a[key] * b[key] for key in a) / math.prod(norms)

    bars = [begins(bar) for bar in piece.bars()]
    found = [
        (cosine(a[0], b[0]) + cosine(a[1], b[1])) / 2
        for a, b in zip(bars, bars[lag:], strict=False)
        if a[0] and b[0]
    ]
    return sum(found) / len(found) if found else math.nan


@settings(max_examples=40, deadline=None)
@given(tuned_pieces(), st.integers(1, 9))
def test_the_similarity_of_bars_is_that_of_one_pair_at_a_time(piece: Piece, lag: int) -> None:
    for window in windows(piece):
        found = lag_similarities(arrays(window), [lag])
        assert found.tolist() == pytest.approx([slow_similarity(window, lag)], nan_ok=True)


def test_a_phrase_that_returns_shows_at_its_lag() -> None:
    curve = lag_curve([line(*phrase(seed) * 4) for seed in range(10)])
    np.testing.assert_allclose(curve[[3, 7, 11]], 1)
    assert curve[[0, 1, 2, 4, 5, 6]].max() < 0.9
    assert np.isnan(curve[15:]).all()
    assert returning_share(arrays(line(*phrase(1) * 4))) == 12 / 16


def test_one_bar_for_ever_is_like_itself_at_every_lag() -> None:
    loop = line(*[(60, 24), (64, 24)] * 40)
    np.testing.assert_allclose(lag_curve([loop]), 1)
    assert lag_distance(lag_curve([loop]), np.full(32, 0.25)) == pytest.approx(0.75)


def test_curves_are_means_over_pieces_that_are_long_enough() -> None:
    rows = np.array([[0.2, np.nan], [0.4, 0.6], [np.nan, np.nan]])
    np.testing.assert_allclose(mean_curve(rows), [0.3, 0.6])
    assert np.isnan(lag_curve([])).all()
    assert math.isnan(lag_distance(lag_curve([]), np.ones(32)))


def test_empty_bars_are_like_nothing_and_do_not_return() -> None:
    piece = arrays(Piece((Note(0, 60, 9), Note(3 * BAR, 60, 9))))
    assert bar_vectors(piece).any(axis=1).tolist() == [True, False, False, True]
    assert lag_similarities(piece, [1, 3]).tolist() == pytest.approx([math.nan, 1], nan_ok=True)
    assert returning_share(piece) == 1 / 2
    assert math.isnan(returning_share(arrays(Piece(()))))


def shuffled(piece: Piece, dice: random.Random) -> Piece:
    """The bars in another order; no note is held over a bar line here."""
    order = list(range(len(list(piece.bars()))))
    dice.shuffle(order)
    moved = (replace(note, onset=order[note.onset // BAR] * BAR + note.onset % BAR) for note in piece.notes)
    return replace(piece, notes=tuple(sorted(moved)))


def noise(piece: Piece, dice: random.Random) -> Piece:
    notes = {Note(dice.randrange(16 * BAR), dice.randrange(48, 84), dice.randrange(1, 36)) for _ in piece.notes}
    return replace(piece, notes=tuple(sorted(notes)))


def test_real_form_is_nearer_than_shuffled_bars_and_these_nearer_than_noise() -> None:
    def tune(seed: int) -> Piece:
        a, b = phrase(2 * seed), phrase(2 * seed + 1)
        return line(*a, *a, *b, *a)

    dice = random.Random(1)
    training, held_out = ([tune(seed) for seed in range(start, start + 100)] for start in (0, 100))
    others = [held_out, [shuffled(p, dice) for p in held_out], [noise(p, dice) for p in held_out]]
    table = feature_table(training)
    scaling = Scaling.of(table)
    compared = [scaling(feature_table(other)) for other in others]
    distances = [frechet(scaling(table), other) for other in compared]
    shifts = [wasserstein(scaling(table), other).mean() for other in compared]
    forms = [lag_distance(lag_curve(training), lag_curve(other)) for other in others]
    for real, bars, random_notes in (distances, shifts, forms):
        assert 1.5 * real < bars < random_notes / 1.5


# Meter


def slow_meter(piece: Piece) -> list[bool]:
    bars = list(piece.bars())
    counts = Counter(bar.meter for bar in bars)
    kept = []
    for meter, run in groupby(bars, key=lambda bar: bar.meter):
        length = [*run]
        for bar in length:
            held = any(note.onset < bar.start < note.end for note in piece.notes)
            begun = any(note.onset == bar.start for note in piece.notes)
            lasting = len(length) >= 4 or counts[meter] == max(counts.values())
            kept.append(lasting and (begun or not held))
    return kept


@settings(max_examples=60, deadline=None)
@given(tuned_pieces())
def test_bars_keep_their_meter_as_defined(piece: Piece) -> None:
    for window in windows(piece):
        assert bars_in_meter(window).tolist() == slow_meter(window)


def test_losing_count_a_slip_of_meter_and_rests() -> None:
    assert meter_share(line(*[(60, 24)] * 16)) == 1
    assert bars_in_meter(line((60, 30), *[(60, 24)] * 7)).tolist() == [True, False, False, False]
    assert meter_share(line((60, 36), *[(0, 24), (60, 24)] * 4)) == 1
    assert meter_share(line((60, 48), *[(0, 24), (60, 24)] * 4)) == 1
    slip = (Meter(0, 4, 4), Meter(2 * BAR, 3, 4), Meter(2 * BAR + 36, 4, 4))
    assert bars_in_meter(line(*[(60, 12)] * 19, meters=slip)).tolist() == [True, True, False, True, True]
    lasting = (Meter(0, 4, 4), Meter(5 * BAR, 3, 4))
    assert meter_share(line(*[(60, 12)] * 32, meters=lasting)) == 1
    assert math.isnan(meter_share(Piece(())))


GOLDEN = [
    28.0, 29.0, 12.0, 65.6418, 7.0429, 4.5715, 3.4335, 0.597, 8.2273, 0.0, 0.0, 0.4091, 0.976, 8.375, 0.7806,
    -0.8978, 0.5986, 3.3537, 0.2015, 0.4552, 0.1791, 0.1642, 0.6567, 0.0, 0.0373, 0.0522, 0.0448, 0.0448, 0.5208,
    1.8607, 0.8568, 0.0039, 0.0, 0.398, 0.4376, 0.327, 0.4563, 0.1194, 0.1194, 0.1194, 0.0522, 0.0597, 0.0522,
]  # fmt: skip
