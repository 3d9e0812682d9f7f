"""What users' machines do: clocks that jump, corpora that change, folders that two processes want."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT
from tunes import midi, tune, write

from seqgan_music import run_folders
from seqgan_music.config import CorpusConfig
from seqgan_music.errors import RunError
from seqgan_music.music import cache, corpus

CONFIG = CorpusConfig(workers=1)


def scanned(folder: Path, store: Path) -> dict[str, str | None]:
    """What a scan says of each file: None where it is kept, else why not."""
    return {file.path: file.reason for file in corpus.scan(folder, CONFIG, cache=store).files}


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return write(tmp_path / "music", **{f"tune{seed}": tune(seed, 20) for seed in range(10)})


def test_a_corpus_that_changes_between_scans_is_read_as_it_is_now(music: Path, tmp_path: Path) -> None:
    store = tmp_path / "cache"
    first = scanned(music, store)
    names = sorted(first)
    assert set(first.values()) == {None}
    stamp = (music / names[0]).stat()
    (music / names[0]).write_bytes(midi(tune(77, 20)))  # other music at the old time
    os.utime(music / names[0], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (music / names[1]).unlink()
    (music / names[2]).unlink()
    (music / names[2]).mkdir()
    (music / names[3]).write_bytes(b"no music any more")
    (music / names[4]).unlink()
    (music / names[4]).symlink_to(music / names[4])
    again = scanned(music, store)
    assert again == scanned(music, tmp_path / "fresh")
    assert names[1] not in again
    assert again[names[3]] is not None
    assert again[names[0]] is None
    assert again[names[5]] is None


@pytest.mark.parametrize("days", [-20_000, -1, 1, 40, 20_000])
def test_a_clock_that_jumps_changes_no_scan(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    first = scanned(music, tmp_path / "cache")
    now = cache.today()
    monkeypatch.setattr(cache, "today", lambda: now + days)
    assert scanned(music, tmp_path / "cache") == first
    monkeypatch.undo()
    assert scanned(music, tmp_path / "cache") == first


def test_files_of_the_future_and_of_1970_are_files(music: Path, tmp_path: Path) -> None:
    first = scanned(music, tmp_path / "cache")
    for time, name in zip((0, 1, 2**33), sorted(first), strict=False):
        os.utime(music / name, (time, time))
    assert scanned(music, tmp_path / "cache") == first


def test_a_folder_that_another_process_works_in_is_refused_until_that_ends(tmp_path: Path) -> None:
    holder = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from seqgan_music.run_folders import locked
        with locked(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunError, match="Another process is at work"), run_folders.locked(tmp_path):
        pass
    process.kill()  # the lock goes with the process, however that ends
    process.communicate()
    with run_folders.locked(tmp_path):
        pass


def test_every_row_of_the_page_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(named) == len(rows) > 20
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"
