"""Sound: in tune, as loud as it was struck, without clicks, levelled, and bounded whatever the piece holds."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.errors import ConfigError, InputError
from seqgan_music.music import fluid, soundfont, synth
from seqgan_music.music.arrangement import Arrangement, Track
from seqgan_music.music.formats import audio
from seqgan_music.music.notes import Note, Piece, Tempo

PIANO, DRAWBAR_ORGAN, VIOLIN, STRINGS, FLUTE, SQUARE_LEAD = 0, 16, 40, 48, 73, 80
SECOND = 24  # ticks, at 120 quarter notes a minute


def sound(*notes: Note, program: int = PIANO) -> synth.Stereo:
    """What is heard of the notes, before it is levelled."""
    return np.concatenate(list(synth.blocks(Piece(notes, program=program))))


PLAYERS = [
    pytest.param(synth.blocks, id="own"),
    pytest.param(
        fluid.blocks,
        id="fluidsynth",
        marks=pytest.mark.skipif(fluid.library() is None, reason="FluidSynth's library is not found"),
    ),
]


def cents_off(wave: synth.Mono, pitch: int) -> float:
    """How far the strongest of the first four harmonics lies from where equal temperament has it."""
    size = 1 << 19
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), size))
    found = []
    for harmonic in range(1, 5):
        hertz = harmonic * 440 * 2 ** ((pitch - 69) / 12)
        low, high = (int(hertz * size / synth.RATE * 2 ** (side / 20)) for side in (-1, 1))
        if high < len(power):
            peak = low + int(power[low:high].argmax())
            found.append((power[peak], 1200 * np.log2(peak * synth.RATE / size / hertz)))
    return float(max(found)[1])


@pytest.mark.parametrize("program", [PIANO, DRAWBAR_ORGAN, VIOLIN, SQUARE_LEAD])
def test_notes_are_in_tune(program: int) -> None:
    for pitch in (33, 57, 60, 69, 81, 100):
        wave = sound(Note(0, pitch, SECOND, 100), program=program)[4000 : synth.RATE, 0]
        assert abs(cents_off(wave, pitch)) < 6, pitch  # a listener hears 5 to 10; the font's own error is up to 4


def test_all_instruments_sound_on_every_octave() -> None:
    for program, pitch in itertools.product(range(0, 128, 3), (21, 60, 108)):
        first = next(synth.blocks(Piece((Note(0, pitch, SECOND, 127),), program=program)))
        assert np.isfinite(first).all()
        assert np.abs(first).max() > 1e-3, (program, pitch)


@given(st.integers(1, 126))
@settings(max_examples=10, deadline=None)
def test_amplitude_grows_by_the_square_of_velocity(velocity: int) -> None:
    soft, loud = (sound(Note(0, 60, SECOND, v)) for v in (velocity, 127))
    heard = min(len(soft), synth.RATE)
    np.testing.assert_allclose(soft[:heard], loud[:heard] * (velocity / 127) ** 2, atol=2e-5)


EVEN = st.integers(1, 100).map(lambda number: 2 * number)  # ticks that are whole frames


@given(st.lists(st.tuples(EVEN, st.integers(21, 108), EVEN), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_notes_add_up_wherever_blocks_begin(places: list[tuple[int, int, int]]) -> None:
    notes = [Note(*place) for place in sorted(places)]
    together = sound(*notes)
    apart = np.zeros_like(together)
    for note in notes:
        alone = sound(Note(0, note.pitch, note.duration))
        start = note.onset * synth.RATE // SECOND
        apart[start : start + len(alone)] += alone[: len(apart) - start]
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("program", [PIANO, DRAWBAR_ORGAN, STRINGS, FLUTE])
def test_a_note_that_ends_does_not_click(program: int) -> None:
    for duration in (1, 7, SECOND):
        wave = sound(Note(0, 60, duration), program=program)[:, 0]
        jumps = np.abs(np.diff(wave, 2))
        off = round(duration / SECOND * synth.RATE)
        assert jumps[off - 5 : off + 2000].max() <= 1.3 * jumps[:off].max() + 1e-4
        assert np.abs(wave[-5:]).max() < 1e-3


@pytest.mark.parametrize("program", [DRAWBAR_ORGAN, SQUARE_LEAD])
def test_a_looped_sample_goes_on_without_a_seam(program: int) -> None:
    seconds = sound(Note(0, 60, 12 * SECOND), program=program)[synth.RATE : 11 * synth.RATE, 0].reshape(10, -1)
    loudness = np.sqrt(np.square(seconds).mean(axis=1))
    assert loudness.min() > 0.8 * loudness.max()
    jumps = np.abs(np.diff(seconds, 2, axis=1)).max(axis=1)
    assert jumps.max() < 1.3 * np.median(jumps)


def test_a_released_note_dies_away_at_the_fonts_rate() -> None:
    (zone,) = {z for z in soundfont.general_midi().zones(PIANO) if z.keys[0] <= 60 <= z.keys[1]}
    held, let_go = (sound(Note(0, 60, ticks, 127))[:, 0] for ticks in (4 * SECOND, SECOND))
    part = slice(int(1.30 * synth.RATE), int(1.34 * synth.RATE))
    fallen = -20 * np.log10(np.square(let_go[part]).sum() ** 0.5 / np.square(held[part]).sum() ** 0.5)
    # The held note falls meanwhile by its own decay.
    decay = 100 / (zone.decay * 2 ** (zone.decay_by_key * 0)) * 0.32
    assert fallen == pytest.approx(100 / zone.release * 0.32 - decay, abs=0.5)


def test_time_and_memory_are_bounded_whatever_a_piece_holds() -> None:
    many = tuple(Note(tick, pitch, 10**9) for tick in range(30) for pitch in range(21, 109))
    piece = Piece(many, tempos=tuple(Tempo(tick, 10 + tick % 300) for tick in range(2000)), program=DRAWBAR_ORGAN)
    tracemalloc.start()
    for block in itertools.islice(synth.blocks(piece), 60):
        assert block.shape == (synth.BLOCK, 2)
        assert np.isfinite(block).all()
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_nothing_sounds_after_the_longest_time() -> None:
    far = int(synth.LONGEST * SECOND)
    voices = list(
        synth._voices(
            Arrangement.of(Piece((Note(far - SECOND, 60, 10**9), Note(far + 1, 62, 4)))), soundfont.general_midi()
        )
    )
    assert [voice.pitch for voice in voices] == [60]
    assert voices[0].end <= (synth.LONGEST + 4) * synth.RATE


@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(4, 990)), max_size=5),
    st.lists(st.integers(0, 3000), min_size=1, max_size=5),
)
def test_many_ticks_have_the_times_of_each(changes: list[tuple[int, float]], ticks: list[int]) -> None:
    onsets = np.cumsum([0, *(step for step, _ in changes)]).tolist()
    tempos = tuple(
        Tempo(onset, qpm) for onset, qpm in zip(onsets, [77.0, *(qpm for _, qpm in changes)], strict=True)
    )
    piece = Piece((), tempos=tempos)
    many = synth.seconds_at(piece, np.array(ticks))
    assert many.tolist() == pytest.approx([piece.seconds_at(tick) for tick in ticks])


def tune(velocity: int = 80, program: int = PIANO) -> Piece:
    pitches = (60, 64, 67, 72, 67, 64, 60)
    notes = tuple(Note(6 * number, pitch, 6, velocity) for number, pitch in enumerate(pitches))
    return Piece(notes, program=program)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("program", [PIANO, FLUTE, SQUARE_LEAD])
def test_pieces_are_equally_loud_below_full_scale(program: int, player: audio.Player) -> None:
    wave = audio.render(tune(program=program), player=player)
    energies = np.square(wave[: len(wave) // synth.BLOCK * synth.BLOCK], dtype=np.float64)
    energies = energies.reshape(-1, 2 * synth.BLOCK).mean(axis=1)
    loudness = 10 * np.log10(energies[energies >= energies.max() / 100].mean())
    peak = 20 * np.log10(np.abs(wave).max())
    assert peak <= audio.PEAK + 0.01
    assert loudness == pytest.approx(audio.LOUDNESS, abs=0.2) or peak == pytest.approx(audio.PEAK, abs=0.01)


def test_a_softer_piece_is_brought_to_the_same_level() -> None:
    loud, soft = (audio.render(tune(velocity), player=synth.blocks) for velocity in (120, 12))
    heard = int(1.5 * synth.RATE)
    np.testing.assert_allclose(loud[:heard], soft[:heard], atol=2e-3)


def test_a_piece_that_is_rendered_twice_sounds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    once = audio.render(tune())
    monkeypatch.setattr(audio, "_KEPT", 2)
    np.testing.assert_array_equal(audio.render(tune()), once)


@pytest.mark.parametrize("kind", audio.FORMATS)
def test_what_is_written_is_what_was_rendered(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"tune.{kind}"
    audio.write_audio(tune(), path)
    assert (
        path.read_bytes() == audio.audio_bytes(tune(), kind) or kind == "ogg"
    )  # OGG numbers its streams at random
    wave, rate = soundfile.read(path)
    expected = audio.render(tune())
    assert rate == synth.RATE
    assert soundfile.info(path).format == kind.upper()
    if kind in ("wav", "flac"):
        np.testing.assert_allclose(wave, expected, atol=1 / 32768)
    else:
        length = min(len(wave), len(expected))
        assert abs(len(wave) - len(expected)) < synth.RATE // 10
        assert np.corrcoef(wave[:length, 0], expected[:length, 0])[0, 1] > 0.98


def test_a_long_ogg_is_encoded() -> None:
    notes = tuple(Note(second * SECOND, 60, SECOND // 4) for second in range(0, 80, 8))
    data = audio.audio_bytes(Piece(notes, program=DRAWBAR_ORGAN), "ogg")
    assert soundfile.info(io.BytesIO(data)).duration > 70


class Full(io.BytesIO):
    """A disk without space."""

    def write(self, data: object) -> int:
        if self.tell() > 3000:
            raise OSError(28, "No space left on device")
        return super().write(data)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("kind", audio.FORMATS)
def test_a_full_disk_is_told(kind: str) -> None:
    with pytest.raises(OSError, match="No space left"):
        audio._encode(tune(), kind, Full(), None)


def test_silence_is_a_file_too(tmp_path: Path) -> None:
    for kind in audio.FORMATS:
        audio.write_audio(Piece(()), tmp_path / f"nothing.{kind}")
    wave, _ = soundfile.read(tmp_path / "nothing.wav")
    assert len(wave) == synth.RATE // 10
    assert not wave.any()


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Sound is written as \.wav, \.flac, \.mp3, \.ogg, not 'tune.aiff'"):
        audio.write_audio(tune(), tmp_path / "tune.aiff")


@given(st.integers(0, 5_900_000), st.binary(max_size=40))
@settings(max_examples=20, deadline=None)
def test_a_damaged_font_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, end: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("font") / "broken.sf2"
    whole = (soundfont.files("pretty_midi") / "TimGM6mb.sf2").read_bytes()
    path.write_bytes(whole[:end] + junk)
    with pytest.raises(InputError, match="not a SoundFont 2 file"):
        soundfont.load(path)


def test_a_font_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.sf2"
    path.write_bytes((soundfont.files("pretty_midi") / "TimGM6mb.sf2").read_bytes())
    for player in (partial(synth.blocks, font=soundfont.load(path)), audio.best_player(path)):
        own = synth.blocks if player.func is synth.blocks else audio.best_player()
        np.testing.assert_array_equal(audio.render(tune(), player=player), audio.render(tune(), player=own))
    with pytest.raises(InputError, match="no such file"):
        soundfont.load(tmp_path / "none.sf2")


def played(player: audio.Player, *notes: Note, program: int = PIANO, drums: bool = False) -> synth.Stereo:
    return np.concatenate(list(player(Arrangement((Track(notes, program, drums=drums),)))))


@pytest.mark.parametrize("player", PLAYERS)
def test_a_rendered_scale_is_in_tune(player: audio.Player) -> None:
    pitches = (57, 60, 64, 69, 72, 76, 81)
    scale = played(
        player, *(Note(SECOND * i, p, SECOND, 100) for i, p in enumerate(pitches)), program=DRAWBAR_ORGAN
    )
    for number, pitch in enumerate(pitches):
        wave = scale[number * synth.RATE + 4000 : (number + 1) * synth.RATE - 2000].mean(axis=1)
        assert abs(cents_off(wave, pitch)) < 6, pitch


@pytest.mark.parametrize("player", PLAYERS)
def test_each_drum_sounds_and_unlike_the_others(player: audio.Player) -> None:
    spectra = []
    for drum in (36, 38, 42, 49):
        wave = played(player, Note(0, drum, 3, 100), drums=True).mean(axis=1)[: synth.RATE // 2]
        assert np.abs(wave).max() > 0.01, drum
        spectrum = np.abs(np.fft.rfft(wave, synth.RATE))[:16_000].reshape(32, -1).sum(axis=1)
        spectra.append(spectrum / np.linalg.norm(spectrum))
    likeness = np.array(spectra) @ np.array(spectra).T
    assert (likeness - np.eye(4)).max() < 0.95
    centres = [(s * np.arange(32)).sum() / s.sum() for s in spectra]
    assert centres[0] < centres[1] < centres[2]  # a bass drum is dark, a hi-hat bright


@pytest.mark.parametrize("player", PLAYERS)
def test_a_louder_note_is_louder_and_a_note_let_go_ends(player: audio.Player) -> None:
    loud, soft = (np.abs(played(player, Note(0, 60, SECOND, v))).max() for v in (120, 40))
    assert 4 < loud / soft < 20  # squares of the velocities: 9
    short, long = (played(player, Note(0, 60, ticks), program=STRINGS) for ticks in (SECOND // 2, 3 * SECOND))
    late = slice(int(1.5 * synth.RATE), int(1.7 * synth.RATE))
    assert np.sqrt(np.square(long[late]).mean()) > 20 * np.sqrt(np.square(short[late]).mean() + 1e-12)
    assert len(short) > 0.5 * synth.RATE
    assert np.abs(short[-20:]).max() < 2e-3


@pytest.mark.parametrize("player", PLAYERS)
def test_both_ears_hear_and_not_the_same(player: audio.Player) -> None:
    floor, high = (played(player, Note(0, tom, SECOND, 100), drums=True) for tom in (41, 50))
    sides = [np.square(wave, dtype=np.float64).sum(axis=0) for wave in (floor, high)]
    assert min(side.min() for side in sides) > 0
    # The toms of a kit stand from one side to the other.
    assert sides[0][0] > 10 * sides[0][1]
    assert sides[1][1] > 10 * sides[1][0]


@pytest.mark.parametrize("player", PLAYERS)
def test_tracks_with_one_pitch_do_not_end_each_other(player: audio.Player) -> None:
    long, short = Track((Note(0, 60, 2 * SECOND),), DRAWBAR_ORGAN), Track((Note(0, 60, 4),), DRAWBAR_ORGAN)
    wave = np.concatenate(list(player(Arrangement((long, short)))))
    assert np.abs(wave[int(1.5 * synth.RATE) : int(1.6 * synth.RATE)]).max() > 0.01


@pytest.mark.parametrize("player", PLAYERS)
def test_memory_does_not_grow_with_length(player: audio.Player) -> None:
    notes = tuple(Note(SECOND * i, 60 + i % 12, SECOND) for i in range(60))
    tracemalloc.start()
    assert sum(len(block) for block in player(Piece(notes))) > 60 * synth.RATE
    assert tracemalloc.get_traced_memory()[1] < 90e6  # the waves of twelve pitches, not a minute of sound a track
    tracemalloc.stop()


def test_without_fluidsynth_our_own_player_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluid, "library", lambda: None)
    np.testing.assert_array_equal(audio.render(tune()), audio.render(tune(), player=synth.blocks))


@pytest.mark.skipif(fluid.library() is None, reason="FluidSynth's library is not found")
def test_fluidsynth_refuses_what_is_no_font(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, content in (("none.sf2", b"RIFF"), ("short.sf2", b"RIFF\x10\0\0\0sfbkLIST")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="not a SoundFont 2 file"):
            audio.render(tune(), player=audio.best_player(tmp_path / name))
    assert capfd.readouterr() == ("", "")
