"""Results appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from seqgan_music.errors import OutputError
from seqgan_music.files import check_writable, replacing


def test_the_file_appears_at_the_end_and_the_folders_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "song.mid"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert (temporary.parent, temporary.suffix, path.exists()) == (path.parent, ".mid", False)
    assert [p.name for p in path.parent.iterdir()] == ["song.mid"]
    assert path.read_text() == "new"


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt()])
def test_an_error_keeps_the_former_file_and_passes_through(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "song.mid"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("song.mid", "old")]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    with pytest.raises(OutputError) as caught:
        write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(caught.value) == (
        f"Cannot write {path}: no space left on device. Free some space, or choose another place."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"), replacing(tmp_path / "song.mid"):
        pass


def test_errors_about_other_files_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "song.mid"):
        (tmp_path / "other.mid").read_bytes()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.mid").symlink_to("real.mid")
    with replacing(tmp_path / "link.mid") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.mid").is_symlink()
    assert (tmp_path / "real.mid").read_text() == "new"


def bad_places(folder: Path) -> dict[Path, str]:
    (folder / "folder.mid").mkdir()
    (folder / "file").write_text("")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe.mid")
    unmakeable = {Path("/proc/nothing/song.mid"): "no such file or directory. Choose another place."}
    return {
        folder / "folder.mid": "it is a folder. Give the name of a file.",
        folder / "pipe.mid": "it is not a plain file. Choose another name.",
        folder / "file" / "song.mid": "is a file; choose another place.",
        folder / ("x" * 300): "file name too long. Choose a shorter name.",
        folder / "loop": "Choose another",
        **(unmakeable if Path("/proc/self").exists() else {}),
    }


def test_places_that_cannot_be_are_one_line_before_and_after_the_work(tmp_path: Path) -> None:
    for path, message in bad_places(tmp_path).items():
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(OutputError, match=message) as early:
            check_writable(path)
        with pytest.raises(OutputError, match=message) as late, replacing(path) as temporary:
            temporary.write_text("new")
        for caught in (early, late):
            assert str(caught.value).startswith(f"Cannot write {path}: ")
            assert "\n" not in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Choose a place that you may write to"):
        check_writable(tmp_path / "song.mid")
    tmp_path.chmod(0o700)


def test_checking_makes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "song.mid")
    (tmp_path / "old.mid").write_text("old")
    check_writable(tmp_path / "old.mid")
    assert [p.name for p in tmp_path.iterdir()] == ["old.mid"]
