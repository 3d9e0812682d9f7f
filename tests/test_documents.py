"""Files of ours that others have changed: nothing is waited for, nor read without end, and no number surprises."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report_run import make_run
from tunes import tune, write

from seqgan_music import cli, config, documents
from seqgan_music.config import Config
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning import trainer

needs_odd_files = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes and devices as files here")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()


def listener(path: Path) -> None:
    made = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        made.bind(path.name)
    finally:
        os.chdir(here)
        made.close()


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)  # of nothing: it takes no space


ODD = (pipe, device, loop, folder, listener, endless)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """End a test that waits for a pipe: a handler that raises, since pytest knows no time-outs."""

    def too_long(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@needs_odd_files
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.usefixtures("no_waiting")
def test_what_is_no_plain_file_is_refused_at_once(odd: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "odd"
    odd(path)
    told = "pipe, socket or device|levels of symbolic links|directory|more than"
    with pytest.raises(OSError, match=told):
        documents.read(path)
    with pytest.raises(OSError, match=told):
        list(documents.lines(path))
    if odd is not endless:
        with pytest.raises(OSError, match=told + "|No such device"):
            documents.append(path, b"line\n")


# What a command reads of a run, and the command.
READ = {
    "config.toml": ("sample", "--run", "run", "--out", "a.mid"),
    "vocabulary.json": ("sample", "--run", "run", "--out", "a.mid"),
    "checkpoints/best.json": ("sample", "--run", "run", "--out", "a.mid"),
    "checkpoints/best-*.safetensors": ("sample", "--run", "run", "--out", "a.mid"),
    "ratings.jsonl": ("rate", "music/1.mid", "--run", "run", "--up"),
    "preference.json": ("sample", "--run", "run", "--out", "a.mid", "--best-of", "2", "--prefer", "liked=1"),
    "checkpoints/critic.json": ("score", "music/1.mid", "--run", "run"),
    "checkpoints/last.json": ("train", "--resume", "run"),
    "tokens.npz": ("train", "--resume", "run"),
    "lock": ("train", "--resume", "run"),
    "metrics.jsonl": ("train", "--resume", "run"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole"), name="run")


@needs_odd_files
@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("odd", [pipe, device, folder])
def test_a_run_whose_files_are_pipes_devices_or_folders_is_one_line(
    odd: Callable[[Path], None],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "music", **{"1": tune(1, 20)})
    monkeypatch.chdir(tmp_path)
    for name, command in READ.items():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "run")
        path = next((tmp_path / "run").glob(name), tmp_path / "run" / name)
        path.unlink(missing_ok=True)
        odd(path)
        monkeypatch.setattr(sys, "argv", ["seqgan-music", *command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2, (name, said)
        assert said.err.count("seqgan-music: ") == 1, (name, said)
        line = said.err.splitlines()[-1]
        assert name.partition("-")[0] in line or "is not a run" in line or "no critic" in line, (name, line)
        assert not (tmp_path / "a.mid").exists()


def test_numbers_that_no_code_expects_are_refused() -> None:
    assert documents.parsed('{"a": [1, -2.5, 1e300, 123456789012345678]}')["a"][3] == 123456789012345678
    assert math.isnan(documents.parsed("NaN"))
    for text in ("1" * 19, "-" + "1" * 5000, "1e999", "[" * 100_000, "{", b"\xff"):
        with pytest.raises(ValueError, match=r"digits|too large|nested|Expecting|decode"):
            documents.parsed(text)


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    documents.append(path, b'{"a": 1}\n')
    path.write_bytes(path.read_bytes() + b'{"b')  # of a killed process
    documents.append(path, b'{"c": 3}\n')
    assert path.read_bytes() == b'{"a": 1}\n{"b\n{"c": 3}\n'

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        documents.append(path, b'{"d": 4}\n')
    assert path.read_bytes() == b'{"a": 1}\n{"b\n{"c": 3}\n'


def test_a_configuration_whose_end_is_missing_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = config.to_file(config.to_document(Config()))
    path.write_text(text)
    assert config.of_run(tmp_path) == Config()
    # After every line, where what is left is valid and says less, or within a number, where it says another.
    cuts = {at for at, character in enumerate(text) if character == "\n"} | {
        at - 1 for at in range(5, len(text), 7)
    }
    for at in sorted(cuts - {len(text) - 1}):
        path.write_text(text[:at])
        with pytest.raises(ConfigError, match=r"config\.toml (is cut short|is not valid TOML)"):
            config.of_run(tmp_path)


def test_a_run_that_has_lost_its_last_checkpoint_is_not_begun_again_over_it(tmp_path: Path) -> None:
    assert not trainer.begun(tmp_path)
    (tmp_path / trainer.METRICS).write_text(json.dumps({"line": 1}) + "\n")
    assert not trainer.begun(tmp_path)  # killed before its first checkpoint
    (tmp_path / trainer.METRICS).write_text(2 * (json.dumps({"line": 1}) + "\n"))
    with pytest.raises(RunError, match="has lost its last checkpoint"):
        trainer.begun(tmp_path)
    (tmp_path / trainer.METRICS).unlink()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "phase-1.json").touch()
    with pytest.raises(RunError, match="has lost its last checkpoint"):
        trainer.begun(tmp_path)
    (tmp_path / "checkpoints" / "last.json").mkdir()
    assert trainer.begun(tmp_path)  # what is wrong with it is said when it is read
