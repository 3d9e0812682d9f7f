"""Results appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from seqgan_music.errors import OutputError
from seqgan_music.files import check_writable, is_unfinished, replacing


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


def test_what_killed_processes_left_is_taken_over_and_does_not_pile_up(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from seqgan_music.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary: temporary.write_text('half'); os._exit(9)"
    )
    for _ in range(3):
        line = [sys.executable, "-c", script, tmp_path / "song.mid"]
        assert subprocess.run(line, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 9
        (left,) = tmp_path.iterdir()
        assert left.read_text() == "half"
        assert is_unfinished(left.name)
        check_writable(tmp_path / "other.mid")
    with replacing(tmp_path / "song.mid") as temporary:
        temporary.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("song.mid", "new")]


def test_two_that_write_one_file_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        check_writable(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("song.mid", "first")]  # the last to end


def test_what_others_have_put_under_a_temporary_name_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    with replacing(path) as temporary:
        temporary.write_text("new")
    (tmp_path / "mine").write_text("mine")
    for trap in (temporary.symlink_to, temporary.hardlink_to):
        trap(tmp_path / "mine")
        with replacing(path) as another:
            another.write_text("newer")
        check_writable(path)
        assert (path.read_text(), (tmp_path / "mine").read_text()) == ("newer", "mine")
        temporary.unlink()
    os.mkfifo(temporary)
    with replacing(path) as another:
        another.write_text("newest")
    assert path.read_text() == "newest"


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
    # In the second the folder is there; root, too, may not make a file in it.
    unmakeable = {
        Path(place): "no such file or directory. Choose another place."
        for place in ("/proc/nothing/song.mid", "/proc/self/song.mid")
    }
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
