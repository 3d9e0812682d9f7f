"""`seqgan-music render`: any music file in any format, with all that it plays; untrusted files in bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import mido
import pytest
import soundfile

from seqgan_music import cli
from seqgan_music.config import ReadingConfig
from seqgan_music.music.arranging import arranged
from seqgan_music.music.notes import Meter, Tempo

Render = Callable[..., tuple[int, str, str]]


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Render:
    """Run the command in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", "render", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def band(path: Path) -> None:
    """Flute, bass and drums, eight beats, half as fast from the fifth on, in 3/4 from the second bar on."""
    file = mido.MidiFile(ticks_per_beat=96)
    meta = mido.MidiTrack(
        [
            mido.MetaMessage("set_tempo", tempo=500_000),
            mido.MetaMessage("set_tempo", tempo=1_000_000, time=4 * 96),
            mido.MetaMessage("time_signature", numerator=3, denominator=4),
        ]
    )
    file.tracks.append(meta)
    for name, channel, program, pitches in (("Flute", 0, 73, range(72, 80)), ("Bass", 1, 32, [40] * 8)):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        track.append(mido.Message("program_change", channel=channel, program=program))
        for pitch in pitches:
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=90))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=96))
        file.tracks.append(track)
    drums = mido.MidiTrack()
    for number in range(16):
        drums.append(mido.Message("note_on", channel=9, note=(36, 42)[number % 2], velocity=70 + number))
        drums.append(mido.Message("note_off", channel=9, note=(36, 42)[number % 2], time=48))
    file.tracks.append(drums)
    file.save(path)


def test_all_tracks_instruments_drums_tempos_and_velocities_survive(render: Render, tmp_path: Path) -> None:
    band(tmp_path / "band.mid")
    code, out, err = render("band.mid", "--out", "again.mid", "--out", "band.ogg", "--out", "band.png")
    assert (code, err) == (0, "")
    assert out == "again.mid, band.ogg, band.png: 3 bars, 3 tracks, 32 notes, 6.0 seconds\n"
    first, again = (arranged(tmp_path / name, ReadingConfig()).arrangement for name in ("band.mid", "again.mid"))
    assert first is not None
    assert again is not None
    assert [(t.name, t.program, t.drums, len(t.notes)) for t in first.tracks] == [
        ("Flute", 73, False, 8),
        ("Bass", 32, False, 8),
        ("", 0, True, 16),
    ]
    assert [note.velocity for note in first.tracks[2].notes] == list(range(70, 86))
    assert first.tempos == (Tempo(0, 120.0), Tempo(4 * 96, 60.0))
    assert first.meters == (Meter(0, 4, 4), Meter(4 * 96, 3, 4))
    scale = again.ticks_per_beat // first.ticks_per_beat
    assert [
        [(n.onset * scale, n.pitch, n.duration * scale, n.velocity) for n in track.notes] for track in first.tracks
    ] == [[(n.onset, n.pitch, n.duration, n.velocity) for n in track.notes] for track in again.tracks]
    assert 6.0 <= soundfile.info(tmp_path / "band.ogg").duration < 9.0


def test_a_track_and_a_part_can_be_taken(render: Render, tmp_path: Path) -> None:
    band(tmp_path / "band.mid")
    part = ("band.mid", "--out", "part.mid", "--json")
    told = json.loads(render(*part, "--track", "bass", "--track", "1", "--bars", "2-2")[1])
    assert [(track["name"], track["notes"]) for track in told["tracks"]] == [("Flute", 3), ("Bass", 3)]
    assert (told["bars"], told["seconds"]) == (1, 3.0)
    cut = arranged(tmp_path / "part.mid", ReadingConfig()).arrangement
    assert cut is not None
    assert (cut.meters, cut.tempos) == ((Meter(0, 3, 4),), (Tempo(0, 60.0),))
    told = json.loads(render(*part, "--seconds", "1-3", "--track", "Flute")[1])
    assert (told["notes"], told["seconds"]) == (3, 3 * 0.5 + 0.5)


def test_controllers_are_put_into_the_notes(tmp_path: Path) -> None:
    track = mido.MidiTrack(
        [
            mido.Message("control_change", control=64, value=100),
            mido.Message("control_change", control=7, value=50),
            mido.Message("note_on", note=60, velocity=100),
            mido.Message("note_off", note=60, time=100),
            mido.Message("control_change", control=64, value=0, time=300),
            mido.Message("control_change", control=7, value=100),
            mido.Message("note_on", note=62, velocity=100),
            mido.Message("note_off", note=62, time=100),
        ]
    )
    file = mido.MidiFile(ticks_per_beat=100)
    file.tracks.append(track)
    file.save(tmp_path / "pedal.mid")
    found = arranged(tmp_path / "pedal.mid", ReadingConfig())
    assert found.arrangement is not None
    assert [(n.onset, n.duration, n.velocity) for n in found.arrangement.tracks[0].notes] == [
        (0, 400, 50),
        (400, 100, 100),
    ]
    assert found.counts["held_by_pedal"] == 1


def test_written_music_is_rendered_too(render: Render, tmp_path: Path) -> None:
    (tmp_path / "tune.abc").write_text("X:1\nT:A Tune\nM:6/8\nL:1/8\nQ:3/8=60\nK:G\nGAB c2d|e2d c2B|\n")
    code, out, _ = render("tune.abc", "--out", "tune.svg")
    assert code == 0
    assert out == "tune.svg: 2 bars, 1 track, 9 notes, 4.0 seconds\n"
    assert ">A Tune</text>" in (tmp_path / "tune.svg").read_text()


def test_what_cannot_be_rendered_is_one_line_and_writes_nothing(render: Render, tmp_path: Path) -> None:
    band(tmp_path / "band.mid")
    (tmp_path / "noise.mid").write_bytes(b"\x00" * 64)
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "folder.mid").mkdir()
    before = sorted(tmp_path.rglob("*"))
    out = ["--out", "new.wav"]
    for arguments, message in (
        (["band.mid"], "'--out'"),
        (["none.mid", *out], "none.mid is not there."),
        (["folder.mid", *out], "folder.mid is a folder: give a file."),
        (["noise.mid", *out], "noise.mid cannot be used: not MIDI."),
        (["empty.mid", *out], "empty.mid cannot be used: empty."),
        (["band.mid", "--out", "new.aiff"], "there is no format '.aiff'."),
        (["band.mid", *out, "--out", "folder.mid"], "Cannot write folder.mid: it is a folder."),
        (
            ["band.mid", *out, "--track", "tuba"],
            "band.mid has no track 'tuba'. Its tracks: 1 'Flute', 2 'Bass'",
        ),
        (["band.mid", *out, "--bars", "9-12"], "band.mid has 3 bars and no bar 9."),
        (["band.mid", *out, "--bars", "3-2"], "--bars must be as 5-12, not '3-2'."),
        (["band.mid", *out, "--bars", "0-2"], "--bars must be as 5-12"),
        (["band.mid", *out, "--seconds", "5"], "--seconds must be as 0-30, not '5'."),
        (["band.mid", *out, "--seconds", "50-60"], "In seconds 50-60 of band.mid no note begins."),
        (["band.mid", *out, "--bars", "1-2", "--seconds", "0-1"], "Give bars or seconds, not both."),
        (["band.mid", *out, "--key", "H"], "'H' is not a key"),
    ):
        code, told, err = render(*arguments)
        assert (code, told, err.count("\n")) == (2, "", 1), (arguments, err)
        assert message in err, arguments
        assert sorted(tmp_path.rglob("*")) == before


def test_many_notes_and_controllers_are_bounded(tmp_path: Path) -> None:
    for message in (mido.Message("note_on", note=60), mido.Message("control_change", control=7)):
        file = mido.MidiFile()
        file.tracks.append(mido.MidiTrack([message] * 2000))
        file.save(tmp_path / "many.mid")
        found = arranged(tmp_path / "many.mid", ReadingConfig(max_notes=1000))
        assert found.arrangement is None
        assert "more than 1,000" in found.detail
