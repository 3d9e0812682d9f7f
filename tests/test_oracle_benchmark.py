"""The benchmark as a whole: the same results whatever the workers, after any interruption; bad input; exactness."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from seqgan_music import cli
from seqgan_music import config as configs
from seqgan_music.errors import ConfigError
from seqgan_music.oracle_benchmark import settings

TINY = """
seeds = 2
draws = 2
vocabulary_size = 8
length = 6
train = 96
validation = 32
held_out = 64
samples = 64
curve_samples = 16
temperatures = [0.8, 1.0]

[generator]
embedding = 4
hidden = 6
dropout = 0.1

[discriminator]
embedding = 4
widths = [1, 2]
counts = [4, 4]

[judge]
epochs = 1

[[method]]
method = "mle"
batch = 16
window = 6
updates = 12
round_updates = 4

[[method]]
method = "mle"
label = "mle again"
role = "control"
batch = 16
window = 6
updates = 4
round_updates = 2

[[method]]
method = "seqgan"
label = "seqgan paper"
recipe = "paper"
pretrain = 1
iterations = 2
d_steps = 1
d_epochs = 1
d_samples = 16
rollouts = 2
batch = 8

[[method]]
method = "ngram"

[[method]]
method = "resampled"
rounds = 1
samples = 32
pool = 64
candidates = 2

[[method]]
method = "oracle"
role = "truth"
"""
CELLS = 6 * 2 * 2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark done in one go by two workers."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    done = oracle(tiny, folder, "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["cells"]) == CELLS
    return folder


def oracle(tiny: Path | None, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    begin = ["--config", str(tiny), "--out", str(folder)] if tiny is not None else ["--resume", str(folder)]
    line = [sys.executable, "-m", "seqgan_music", "oracle", *begin, *arguments]
    return subprocess.run(line, capture_output=True, text=True)


def children(pid: int) -> list[str]:
    """Processes that a process has started."""
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


def end_soon(pids: list[str]) -> bool:
    """Whether all these processes are gone within two minutes."""
    end = time.monotonic() + 120
    while (left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    return not left


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_another_number_of_workers_gives_the_same_results(tiny: Path, whole: Path, tmp_path: Path) -> None:
    chosen = "mle,seqgan paper"
    done = oracle(tiny, tmp_path / "one", "--workers", "1", "--draws", "1", "--methods", chosen)
    assert done.returncode == 0, done.stderr
    labels = ("mle", "mle again", "seqgan paper")  # "mle" names a method, too
    same = [cell for cell in results(whole)["cells"] if cell["draw"] == 1 and cell["label"] in labels]
    assert results(tmp_path / "one")["cells"] == same


def test_killed_anywhere_and_resumed_gives_the_same_results(tiny: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    line = [sys.executable, "-m", "seqgan_music", "oracle", "--config", str(tiny), "--out", str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 600
    while len(list(folder.glob("cells/*/result.json"))) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert workers
    assert end_soon(workers)
    assert 3 <= len(list(folder.glob("cells/*/result.json"))) < CELLS
    done = oracle(None, folder)
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(whole)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_the_user_says_how_to_go_on(tiny: Path, tmp_path: Path, which: signal.Signals) -> None:
    folder = tmp_path / "stopped"
    line = [sys.executable, "-m", "seqgan_music", "oracle", "--config", str(tiny), "--out", str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not folder.exists() or not list(folder.glob("draws/*/truth.json")):
        time.sleep(0.05)
        assert process.poll() is None
    workers = children(process.pid)
    process.send_signal(which)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert f"To go on: seqgan-music oracle --resume {folder}" in err
    assert "Traceback" not in err
    assert workers
    assert end_soon(workers)


def test_results_are_whole_and_exact_where_they_must_be(whole: Path) -> None:
    found = results(whole)
    assert len(found["cells"]) == CELLS
    for cell in found["cells"]:
        at_one = next(entry for entry in cell["temperatures"] if entry["temperature"] == 1.0)
        assert at_one["kl_rev"] == pytest.approx(at_one["nll_oracle"] - at_one["entropy"], abs=1e-9)
        assert at_one["j"] == pytest.approx(at_one["kl_rev"] + at_one["kl_fwd"], abs=1e-9)
        if cell["label"] == "oracle":
            assert at_one["kl_rev"] == at_one["kl_fwd"] == 0.0
    names = {path.name for path in whole.iterdir() if path.is_file()}
    assert {"oracle.toml", "results.json", "table.md", "cells.csv", "curves.png", "divergences.svg"} <= names
    assert not list(whole.glob("**/.*.part*"))


def test_updates_count_those_of_the_generator_and_of_what_it_started_from(whole: Path) -> None:
    updates = {cell["label"]: cell["updates"] for cell in results(whole)["cells"]}
    wanted = {"mle": 12, "mle again": 16, "seqgan paper": 14, "ngram": 12, "resampled": 12, "oracle": 12}
    assert updates == wanted


def test_every_preset_is_whole_and_its_methods_exist() -> None:
    from seqgan_music.oracle_benchmark import benchmark

    names = configs.preset_names(settings.PRESETS)
    assert {"small", "quick", "paper20", "paper20-fast", "paper40", "stability", "form", "rich"} <= set(names)
    for name in names:
        chosen = benchmark.check(settings.load(name))
        again = settings.from_document(settings.to_document(chosen), name)
        assert again == chosen
        assert chosen.baseline.role == "baseline"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seeds=0", "seeds must be at least 1"),
        ("temperatures=[0.5]", "1.0 among them"),
        ("temperatures=[1.0, 1.0]", "must differ"),
        ("lenght=3", r"no option 'lenght'\. Did you mean 'length'"),
        ("method.2.role=judge", "role must be"),
        ("method.2.start=later", "a label above it"),
        ("method.2.label=mle", "the label 'mle' is taken"),
        ('method.2.label="seqgan, paper"', "or as good as"),  # "seqgan paper" has that folder
        ('method.2.label="seqgan-paper"', "or as good as"),
        ('method.2.label="SeqGAN paper"', "or as good as"),
        ("method.gan.batch=3", "there is no method 'gan'"),
    ],
)
def test_a_mistake_in_the_settings_is_named(tiny: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings.load(str(tiny), [change])


def test_a_discriminator_that_no_machine_could_hold_is_refused_before_it_is_built(tiny: Path) -> None:
    from seqgan_music.oracle_benchmark import benchmark

    chosen = settings.load(str(tiny), ["discriminator.counts=[1000000, 1000000]"])
    with pytest.raises(ConfigError, match=r"too many for this machine|cannot be built"):
        benchmark.check(chosen)


def test_choosing_methods_keeps_what_they_start_from(tiny: Path) -> None:
    chosen = settings.choose(settings.load(str(tiny)), ["resampled"])
    assert [row.label for row in chosen.rows] == ["mle", "resampled"]
    with pytest.raises(ConfigError, match=r"no method 'seqgam'.*Did you mean 'seqgan'"):
        settings.choose(settings.load(str(tiny)), ["seqgam"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "smal"], "Did you mean 'small'?"),
        (["--config", "quick", "--methods", "cott"], "There is no method 'cott' in this benchmark."),
        (["--config", "quick", "--set", "method.mle.updates=0"], "must be at least 1"),
        (["--config", "quick", "--set", "oracle.name=lstn"], "There is no oracle 'lstn'. Did you mean 'lstm'?"),
        (["--config", "quick", "--require", "anchor"], "there is no such row"),
        (["--resume", "nowhere"], "nowhere is not a benchmark"),
        (["--resume", "nowhere", "--seeds", "3"], "cannot be given with --seeds"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["seqgan-music", "oracle", *arguments])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
