"""What every format owes: found by its suffix, written whole or not at all, wrong ones told in one line."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from matplotlib import image

from seqgan_music.errors import ConfigError, InputError, OutputError
from seqgan_music.music import formats
from seqgan_music.music.arrangement import Arrangement, Track
from seqgan_music.music.formats import Format, Options
from seqgan_music.music.notes import Meter, Note, Piece, Tempo

TUNE = Piece(tuple(Note(12 * i, 60 + i, 12) for i in range(8)), meters=(Meter(0, 3, 4),), program=40, name="a tune")
BAND = Arrangement(
    (
        Track(TUNE.notes, 73, "Flute"),
        Track(tuple(Note(24 * i, 40, 24, 100) for i in range(4)), 32, "Bass"),
        Track(tuple(Note(12 * i, 36 + 2 * (i % 2), 3, 90) for i in range(8)), 0, "Kit", drums=True),
    ),
    tempos=(Tempo(0, 120.0), Tempo(48, 60.0)),
    name="a band",
)
CASES = [
    pytest.param(each, suffix, id=f"{type(each).__name__}{suffix}")
    for each in formats.formats()
    for suffix in each.suffixes
]


def options_for(each: Format, **more: object) -> Options:
    return Options(score=bool(each.score), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("each", "suffix"), CASES)
def test_a_format_is_found_by_its_suffix_in_any_case(each: Format, suffix: str) -> None:
    if each.absent(suffix):
        pytest.skip(each.absent(suffix) or "")
    for name in (f"song{suffix}", f"SONG{suffix.upper()}"):
        assert type(formats.for_path(Path(name), score=bool(each.score))) is type(each)


@pytest.mark.parametrize(("each", "suffix"), CASES)
@pytest.mark.parametrize("music", [TUNE, BAND, Piece(())], ids=["tune", "band", "silence"])
def test_a_format_writes_one_file_and_keeps_no_other(
    each: Format, suffix: str, music: Piece | Arrangement, tmp_path: Path
) -> None:
    if each.absent(suffix):
        pytest.skip(each.absent(suffix) or "")
    path = tmp_path / "new" / f"song{suffix}"
    formats.write(music, path, options_for(each, title="A tune & <more>", comment="seed 7 – é", key="D minor"))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.stat().st_size > 50


@pytest.mark.parametrize(("each", "suffix"), CASES)
def test_a_failure_leaves_the_former_file(each: Format, suffix: str, tmp_path: Path) -> None:
    if each.absent(suffix):
        pytest.skip(each.absent(suffix) or "")
    path = tmp_path / f"song{suffix}"
    path.write_text("former")
    broken = Piece((Note(0, 60, 12), "no note"))  # type: ignore[arg-type]
    with pytest.raises((AttributeError, TypeError)):
        formats.write(broken, path, options_for(each))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(path.name, "former")]


@pytest.mark.parametrize("each", formats.formats(), ids=lambda each: type(each).__name__)
def test_a_format_says_what_it_is(each: Format) -> None:
    assert each.about
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in each.suffixes)
    for suffix in each.suffixes:
        absent = each.absent(suffix)
        assert absent is None or ("pip install" in absent and "\n" not in absent)
        rivals = [other for other in formats.formats() if suffix in other.suffixes]
        assert sorted(str(other.score) for other in rivals) in (["None"], ["False"], ["False", "True"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("song.mp4", "Cannot write song.mp4: there is no format '.mp4'. Did you mean '.mp3'? Formats: .flac .mid "),
        ("song.midd", "Did you mean '.mid'?"),
        ("song", "its name has no suffix that says the format. Formats: .flac .mid .midi .mp3 "),
        ("song.é", "there is no format '.é'. Formats: .flac "),
    ],
)
def test_what_is_no_format_names_all_and_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        formats.for_path(Path(name))
    assert message in str(caught.value)
    assert all(suffix in str(caught.value) for suffix in formats.suffixes())


def test_nothing_is_written_where_one_of_several_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "broken.sf2").write_bytes(b"RIFF")
    with pytest.raises(OutputError, match="it is a folder"):
        formats.check([tmp_path / "a.mid", tmp_path / "folder.wav"], Options())
    with pytest.raises(ConfigError, match="no format"):
        formats.check([tmp_path / "a.mid", tmp_path / "a.wave"], Options())
    with pytest.raises(InputError, match="not a SoundFont"):
        formats.check([tmp_path / "a.mid", tmp_path / "a.wav"], Options(soundfont=tmp_path / "broken.sf2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.sf2", "folder.wav"]


def test_a_roll_too_long_for_a_png_is_told_before_anything_is_written(tmp_path: Path) -> None:
    long = Piece((Note(0, 60, 12), Note(12 * 3000, 60, 12)))
    with pytest.raises(ConfigError, match=r"too long for a piano roll in \.png"):
        formats.check([tmp_path / "a.mid", tmp_path / "a.png"], Options(), long)
    formats.write(long, tmp_path / "a.svg")


def test_the_tracks_of_an_arrangement_survive_in_midi(tmp_path: Path) -> None:
    formats.write(BAND, tmp_path / "band.mid", Options(title="Song"))
    file = mido.MidiFile(tmp_path / "band.mid")
    heads = [
        {m.type: m for m in track if m.type in ("track_name", "program_change", "note_on")}
        for track in file.tracks[1:]
    ]
    assert [(h["track_name"].name, h["program_change"].program, h["note_on"].channel) for h in heads] == [
        ("Flute", 73, 0),
        ("Bass", 32, 1),
        ("Kit", 0, 9),
    ]
    assert [sum(m.type == "note_on" and m.velocity > 0 for m in track) for track in file.tracks] == [0, 8, 4, 8]


def test_the_png_is_the_svg_at_twice_its_size(tmp_path: Path) -> None:
    formats.write(TUNE, tmp_path / "roll.png")
    formats.write(TUNE, tmp_path / "roll.svg")
    pixels = image.imread(tmp_path / "roll.png")
    assert f'width="{pixels.shape[1] // 2}" height="{pixels.shape[0] // 2}"' in (tmp_path / "roll.svg").read_text()
    # Each note's colour stands where the note does, over a white ground.
    assert pixels[0, 0, :3].tolist() == [1, 1, 1]
    blue = (pixels[..., 2] - pixels[..., 0] > 0.2).any(axis=0)
    assert 16 * 2 * 8 * 0.9 <= blue.sum() <= 16 * 2 * 8


def test_heat_is_a_cell_a_bar_higher_and_bluer_the_more(tmp_path: Path) -> None:
    formats.write(TUNE, tmp_path / "plain.svg")
    formats.write(TUNE, tmp_path / "heat.svg", Options(heat=[0.0, 0.5, 1.0], heat_means=("far", "near")))
    text = (tmp_path / "heat.svg").read_text()
    plain = (tmp_path / "plain.svg").read_text()
    assert ">far</text>" in text
    assert ">near</text>" in text
    cells = [text.index(f'fill="{colour}"') for colour in ("#c44e00", "#edeff1", "#1f5fa8")]
    assert len(cells) == 3
    assert "#c44e00" not in plain


def test_a_softer_drum_or_a_lost_bass_is_heard(tmp_path: Path) -> None:
    """Each track of a band adds its own sound."""
    from seqgan_music.music import synth

    whole = np.concatenate(list(synth.blocks(BAND)))
    for left_out in range(3):
        tracks = tuple(track for number, track in enumerate(BAND.tracks) if number != left_out)
        part = np.concatenate(list(synth.blocks(Arrangement(tracks, tempos=BAND.tempos))))
        length = min(len(part), len(whole))
        assert np.sqrt(np.square(whole[:length] - part[:length]).mean()) > 1e-3
    formats.write(BAND, tmp_path / "band.wav")
    # Four beats at 120 and four at 60 quarter notes a minute.
    assert 6.0 <= soundfile.info(tmp_path / "band.wav").duration < 9.0
