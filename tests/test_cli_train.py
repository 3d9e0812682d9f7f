"""`seqgan-music train` as a user meets it: stopped anywhere and resumed, planned, and given what it cannot use."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tunes import tune, write

from seqgan_music.learning import checkpoint

fcntl = pytest.importorskip("fcntl", reason="locks and terminals of this kind are POSIX")
termios = pytest.importorskip("termios")

CONFIG = """
sequence_length = 24
[corpus]
validation_share = 0.2
test_share = 0.2
[generator]
embedding = 8
hidden = 64
[discriminator]
name = "cnn"
scale = 0.02
[evaluation]
samples = 16
midi_samples = 1
min_entropy_ratio = 0.0
min_distinct_ratio = 0.0
max_discriminator_accuracy = 1.0
report = "none"
[critic]
negatives = 0
held_out = 8
epochs = 1
windows = 32
[[phase]]
method = "mle"
updates = 24
round_updates = 4
batch = 4
patience = 0
[[phase]]
method = "seqgan"
pretrain = 2
iterations = 10
batch = 8
rollouts = 2
d_samples = 32
gate = false
"""

Document = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve tunes, a small configuration and room for runs."""
    folder = tmp_path_factory.mktemp("train")
    write(folder / "music", **{f"tune{seed}": tune(seed) for seed in range(12)})
    (folder / "small.toml").write_text(CONFIG)
    return folder


def start(place: Path, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `seqgan-music train ARGUMENTS` in `place`, on one thread: sums on several need not be bit-identical."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SEQGAN_MUSIC_CACHE": str(place / "cache")}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    line = [sys.executable, "-m", "seqgan_music", "train", *map(str, arguments)]
    return subprocess.Popen(line, cwd=place, env=environment, text=True, **{**streams, **options})


def train(place: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Run it to its end: exit code, what it says on stdout and on stderr."""
    process = start(place, *arguments)
    said, told = process.communicate(timeout=300)
    return process.returncode, said, told


def lines(run: Path) -> list[Document]:
    path = run / "metrics.jsonl"
    whole = (
        [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if path.exists()
        else []
    )
    return [json.loads(line) for line in whole]


def wait_for(process: subprocess.Popen[str], true: Callable[[], bool]) -> None:
    while not true():
        assert process.poll() is None, "it ended before the moment that the test waits for"
        time.sleep(0.002)


def result(run: Path) -> Document:
    """All that a run comes to: the tensors of its last and best state, bit for bit, and its log but for time."""
    found: Document = {}
    for name in ("last", "best"):
        tensors, _ = checkpoint.load(run, name)
        found |= {f"{name}.{key}": tensor.numpy().tobytes() for key, tensor in tensors.items()}
    _, document = checkpoint.load(run, "last")
    assert document["progress"]["finished"]
    found["log"] = [{key: value for key, value in line.items() if key != "seconds"} for line in lines(run)]
    return found


@pytest.fixture(scope="module")
def straight(place: Path) -> tuple[Path, str, str]:
    """A run that nothing disturbed, and what it said."""
    code, said, told = train(place, "music", "--config", "small.toml", "--seed", "5", "--out", "straight")
    assert code == 0, told
    return place / "straight", said, told


def test_a_run_tells_in_clean_lines_what_it_does(straight: tuple[Path, str, str]) -> None:
    run, said, told = straight
    assert said.startswith("Finished straight: best held-out loss ")
    assert said.endswith("Hear it: seqgan-music sample --run straight --out song.mid\n")
    assert all(line.isprintable() for line in (said + told).splitlines())  # no carriage returns, no colours
    for fact in (
        "Device: cpu",
        "12 kept",
        "vocabulary",
        "Weights: generator",
        "Expected time: about",
        "Run: straight",
    ):
        assert fact in told
    assert told.count("  round ") == len(lines(run)) == 7 + 13
    assert [line["line"] for line in lines(run)] == list(range(1, 21))
    assert (run.parent / "latest").resolve() == run


def test_stopped_in_every_way_and_resumed_is_the_run_that_was_not(
    place: Path, straight: tuple[Path, str, str]
) -> None:
    run = place / "stopped"

    def reached(method: str, number: int) -> bool:
        return any(line["method"] == method and line["round"] >= number for line in lines(run))

    # Killed before its first checkpoint, but not before its log begins.
    process = start(place, "music", "--config", "small.toml", "--seed", "5", "--out", run)
    wait_for(process, lambda: reached("mle", 0))
    process.kill()
    process.communicate()
    (run / "checkpoints" / "last.json").unlink(missing_ok=True)  # where the machine was faster than the test

    # Killed in the middle of maximum likelihood, and of writing.
    process = start(place, "--resume", run)
    wait_for(process, lambda: reached("mle", 3))
    process.kill()
    process.communicate()
    (run / "checkpoints" / ".0123456789ab.part.json").touch()

    # Killed in the middle of the adversarial phase.
    process = start(place, "--resume", run)
    wait_for(process, lambda: reached("seqgan", 2))
    process.kill()
    process.communicate()
    assert not list(run.rglob(".*.part*"))

    # Stopped by Ctrl-C in a terminal.
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = start(
        place, "--resume", run, stdin=slave, stderr=slave, start_new_session=True, preexec_fn=own_terminal
    )
    os.close(slave)
    shown = b""
    while not reached("seqgan", 6):
        shown += os.read(master, 4096)
    os.write(master, b"\x03")
    shown += b"".join(rest(master))
    process.communicate()
    assert process.returncode == 130
    assert f"Stopped. To go on: seqgan-music train --resume {run}\r\n" in shown.decode()
    assert "| seqgan round " in shown.decode()

    code, said, told = train(place, "--resume", run)
    assert code == 0, told
    assert said.startswith(f"Finished {run}: ")
    assert result(run) == result(straight[0])


def own_terminal() -> None:
    """Make stdin the terminal that this process's Ctrl-C comes from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def rest(terminal: int) -> Iterator[bytes]:
    """What comes until the last process has left the terminal."""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux says that it was left
            break
        if not part:
            break
        yield part
    os.close(terminal)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.3 MB: enough for the first checkpoint, not for one with Adam's moments."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1300k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    place: Path, straight: tuple[Path, str, str], small_disk: Path
) -> None:
    run = small_disk / "run"
    code, said, told = train(place, "music", "--config", "small.toml", "--seed", "5", "--out", run)
    assert (code, said) == (2, "")
    assert 0 < len(lines(run)) < 20
    assert told.splitlines()[-2].startswith("  round ")
    assert told.splitlines()[-1].startswith(f"seqgan-music: Cannot write {run}/checkpoints/")
    assert "no space left on device" in told.splitlines()[-1]
    assert told.endswith(f" Then go on: seqgan-music train --resume {run}\n")
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    code, _, told = train(place, "--resume", run)
    assert code == 0, told
    assert result(run) == result(straight[0])


def test_a_planned_run_is_what_its_config_says(place: Path) -> None:
    base = ["music", "--config", "small.toml", "--set", "tokenizer.name=pitch_grid"]
    long = ["--set", "phase.mle.updates=200000", "--set", "phase.mle.round_updates=1000000"]
    again = ["music", "--config", "runs/latest/config.toml", "--out", "again"]
    (code, _, told), (code_again, _, told_again) = train_many(place, [[*base, *long, "--minutes", "0.02"], again])
    assert code == 0, told
    assert code_again == 0, told_again
    (run,) = (place / "runs").glob("2*")
    assert (place / "latest").resolve() == place / "again"
    assert "of its updates to fit in 0.02 min" in told

    from seqgan_music import config

    planned = config.load(str(run / "config.toml"))
    assert 1 <= planned.phases[0].options["updates"] < 20_000
    assert planned.phases[0].options["round_updates"] == 1_000_000
    assert planned.critic.bar_windows < config.CriticConfig().bar_windows
    assert "to fit in" not in told_again
    assert result(place / "again") == result(run)
    assert (place / "again" / "config.toml").read_bytes() == (run / "config.toml").read_bytes()

    from pretty_midi import PrettyMIDI

    samples = sorted((run / "samples").glob("*.mid"))
    assert {"1-mle-0000-1.mid", "1-mle-0001-1.mid", "2-seqgan-0001-1.mid"} <= {path.name for path in samples}
    assert all(PrettyMIDI(str(path)).instruments[0].notes for path in samples)


MANY = """
import contextlib, io, json, sys, traceback
from seqgan_music.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv, told, said, code = ["seqgan-music", "train", *arguments], io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
    print(json.dumps([code, said.getvalue(), told.getvalue()]))
"""


def train_many(place: Path, commands: list[list[str]]) -> list[tuple[int | None, str, str]]:
    """Run many commands in one process, for torch takes seconds to import: exit code, stdout and stderr of each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SEQGAN_MUSIC_CACHE": str(place / "cache")}
    line = [sys.executable, "-c", MANY, json.dumps(commands)]
    done = subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def assert_refused(ends: list[tuple[int | None, str, str]], cases: list[tuple[list[str], str]]) -> None:
    for (arguments, words), (code, said, told) in zip(cases, ends, strict=True):
        assert (code, said) == (2, ""), f"{arguments}: {told}"
        *informed, last = told.splitlines()
        assert last.startswith("seqgan-music: "), f"{arguments}: {told}"
        assert words in last, f"{arguments}: {last}"
        assert not any("seqgan-music: " in line or "Traceback" in line for line in informed), f"{arguments}: {told}"


def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(place: Path) -> None:
    (place / "file").write_text("no music")
    (place / "silent").mkdir(exist_ok=True)
    write(place / "few", a=tune(1), b=tune(2))
    (place / "taken").mkdir(exist_ok=True)
    (place / "taken" / "mine.txt").touch()
    (place / "list.toml").write_text('[[phase]]\nmethod = "seqgan"\nrecipe = ["paper"]\n')
    (place / "broken.toml").write_text("seed = = 1")
    usual = ["music", "--config", "small.toml", "--out", "new"]
    before = sorted(path.name for path in place.iterdir())

    def changed(*settings: str) -> list[str]:
        return [*usual, *(part for setting in settings for part in ("--set", setting))]

    cases = [
        (["nowhere", *usual[1:]], "There is no folder nowhere"),
        (["file", *usual[1:]], "file is a file: give the folder"),
        (["silent", *usual[1:]], "silent"),
        (["few", *usual[1:]], "2 pieces kept, but at least 4 are needed"),
        (["music", "--config", "quik"], "There is no preset 'quik'. Did you mean 'quick'?"),
        (["music", "--config", "no.toml"], "Cannot read the configuration no.toml"),
        (["music", "--config", "broken.toml"], "broken.toml is not valid TOML"),
        (["music", "--config", "list.toml"], "recipe must be text in quotes, not ['paper']"),
        (changed("sed=1"), "has no option 'sed'. Did you mean 'seed'?"),
        (changed("phase.seqgan.rolouts=4"), "has no option 'rolouts'. Did you mean 'rollouts'?"),
        (changed("phase.seqgan.recipe=papr"), "has no recipe 'papr'. Did you mean 'paper'?"),
        (changed("phase.seqgn.batch=4"), "there is no phase 'seqgn'. Did you mean 'seqgan'?"),
        (changed("phase.1.method=mlee"), "There is no method 'mlee'. Did you mean 'mle'?"),
        (changed("discriminator.name=cnnn"), "There is no discriminator 'cnnn'. Did you mean 'cnn'?"),
        (changed("phase.mle.batch=0"), "must be at least 1"),
        (changed("phase.mle.batch=many"), "batch must be a whole number, not 'many'"),
        (changed("phase.mle.batch=10000000000"), "batch must be at most 1,000,000,000"),
        (changed("seed=-1"), "seed must be at least 0"),
        (changed("tokenizer.name=pitch_grid", "sequence_length=33"), "more than the 32 steps of a row"),
        (changed("discriminator.widths=[25]", "discriminator.counts=[1]"), "no filter is as short as"),
        (changed("generator.hidden=40000"), "too many for this machine"),
        (changed("generator.hidden=10000000000000000000000"), "The models cannot be built"),
        ([*usual, "--device", "abacus"], "There is no device 'abacus'"),
        ([*usual, "--device", "cuda:77"], "Device 'cuda:77' is not on this machine"),
        ([*usual, "--minutes", "0"], "--minutes"),
        ([*usual, "--minutes", "nan"], "--minutes must be above 0"),
        ([*usual[:-1], "taken"], "taken is not empty: there is mine.txt. Give --out a new folder."),
        ([*usual[:-1], "file"], "file is a file. Give --out a new folder."),
        ([*usual[:-1], "file/run"], "Cannot write file/run/config.toml: not a directory"),
        ([*usual[:-1], "/proc/run"], "Cannot write /proc/run/config.toml"),
        ([*usual[:-1], "x" * 300], "file name too long"),
    ]
    assert_refused(train_many(place, [arguments for arguments, _ in cases]), cases)
    (place / "cache").mkdir(exist_ok=True)
    assert sorted(path.name for path in place.iterdir()) == sorted({*before, "cache"})


def test_a_start_that_is_interrupted_leaves_no_run(place: Path) -> None:
    process = start(place, "music", "--config", "small.toml", "--out", "deep/er/run")
    wait_for(process, (place / "deep" / "er" / "run" / "lock").exists)
    process.terminate()
    _, told = process.communicate()
    assert (process.returncode, told.splitlines()[-1]) == (130, "seqgan-music: interrupted")
    assert not (place / "deep").exists()


def test_what_cannot_be_resumed_is_one_line_and_stays_as_it_is(
    place: Path, straight: tuple[Path, str, str]
) -> None:
    whole = straight[0]
    cases: list[tuple[list[str], str]] = [
        (["--resume", "nowhere"], "nowhere is not a run: it has no config.toml"),
        (["--resume", "small.toml"], "small.toml is not a run"),
        (["--resume", "x" * 300], "is not a run"),
        (["--resume", "straight", "--seed", "0"], "it cannot be given with --seed"),
        (["music", "--resume", "straight", "--set", "seed=1"], "it cannot be given with DIR, --set"),
    ]

    def damage(name: str, file: str, change: Callable[[bytes], bytes], words: str) -> None:
        run = place / "damaged" / name
        shutil.copytree(whole, run)
        (path,) = run.glob(file)
        path.write_bytes(change(path.read_bytes()))
        cases.append((["--resume", str(run)], words))

    def half(data: bytes) -> bytes:
        return data[: len(data) // 2]

    def middle(data: bytes) -> bytes:
        at = len(data) // 3
        return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 64]) + data[at + 64 :]

    def objects(_: bytes) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **{"train.ids": np.array([print], dtype=object)})  # type: ignore[arg-type]
        return buffer.getvalue()

    def told(**changes: object) -> Callable[[bytes], bytes]:
        return lambda data: json.dumps(json.loads(data) | changes).encode()

    def elsewhere(data: bytes) -> bytes:
        document = json.loads(data)
        document["progress"]["finished"] = False
        return json.dumps(document | {"device": "cuda"}).encode()

    def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
        return lambda data: data.replace(old, new)

    def torn(data: bytes) -> bytes:
        return data[: data.index(b'"') + 3]  # in the middle of a text: a cut between lines may leave a config

    damage("toml", "config.toml", torn, "damaged/toml/config.toml")
    damage("option", "config.toml", swapped(b"g_steps", b"g_stepz"), "Did you mean 'g_steps'?")
    damage("size", "config.toml", swapped(b"hidden = 64", b"hidden = 65"), "does not fit its configuration")
    damage("words", "vocabulary.json", half, "damaged/words/vocabulary.json is damaged: it is not JSON")
    damage("tokens", "tokens.npz", half, "damaged/tokens/tokens.npz cannot be read")
    damage("bits", "tokens.npz", middle, "damaged/bits/tokens.npz cannot be read")
    damage("objects", "tokens.npz", objects, "damaged/objects/tokens.npz cannot be read")
    damage("last", "checkpoints/last.json", half, "damaged/last/checkpoints/last.json cannot be read")
    damage("list", "checkpoints/last.json", lambda _: b"[]", "damaged/list/checkpoints/last.json cannot be read")
    damage("phase", "checkpoints/last.json", told(progress={"phase": 9}), "does not fit its configuration")
    damage("kind", "checkpoints/last.json", told(progress={"lines": "x"}), "progress: lines must be a whole number")
    damage("device", "checkpoints/last.json", elsewhere, "go on with it by --device cuda")
    damage("tensors", "checkpoints/last-*.safetensors", half, "it is not the file that was saved")
    damage("used", "metrics.jsonl", lambda data: data + data, "Another process is at work on")

    def files() -> dict[Path, bytes]:
        runs = (whole, place / "damaged")
        return {path: path.read_bytes() for run in runs for path in run.rglob("*") if path.is_file()}

    before = files()
    with (place / "damaged" / "used" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        *ends, finished = train_many(place, [*(arguments for arguments, _ in cases), ["--resume", "straight"]])
    assert_refused(ends, cases)
    assert finished == (0, straight[1], "straight is finished already.\nRun: straight\n")
    assert files() == before


def test_a_finished_run_is_judged_and_reported_as_its_settings_want(place: Path) -> None:
    base = ["music", "--config", "small.toml", "--set", "phase.seqgan.iterations=1"]
    kinds = {"full": 8, "page": 0}  # and with how many negatives for its critic
    ends = train_many(
        place,
        [
            [*base, "--set", f"evaluation.report={kind}", "--set", f"critic.negatives={number}", "--out", kind]
            for kind, number in kinds.items()
        ],
    )
    for wanted, (code, said, told) in zip(kinds, ends, strict=True):
        assert code == 0, told
        assert f"Report: {wanted}/report.html\n" in said
        assert (place / wanted / "report.html").is_file()
        assert (place / wanted / "evaluation.json").is_file() == (wanted == "full")
        assert ("`sample` uses" in said) == (wanted == "full")
        # Such a generator writes nothing that can be criticised: that costs the run its critic alone.
        assert ("No critic: The generator has learnt too little for a critic" in told) == (wanted == "full")


def test_a_method_without_a_discriminator_is_shown_and_no_samples_are_written_where_none_are_wanted(
    place: Path,
) -> None:
    (place / "sampled.toml").write_text(
        CONFIG[: CONFIG.index("[[phase]]")].replace("midi_samples = 1", "midi_samples = 0")
        + '[[phase]]\nmethod = "scheduled_sampling"\nupdates = 8\nround_updates = 4\nbatch = 4\n'
    )
    code, _, told = train(place, "music", "--config", "sampled.toml", "--out", "sampled")
    assert code == 0, told
    assert told.count("  round ") == 3
    assert not (place / "sampled" / "samples").exists()
