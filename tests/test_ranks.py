"""Several processes train what one does: shares of a batch, two processes, one of them killed, resumed by one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_cli_train import CONFIG, lines, train_many, wait_for
from torch import Tensor
from train_together import RUNS
from train_together import train as train_each
from tunes import tune, write

from seqgan_music.learning import checkpoint
from seqgan_music.learning.ranks import ALONE, Ranks, Rehearsal, Share, kept, uniforms

distributed = pytest.importorskip("torch.distributed")
pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
TESTS = Path(__file__).parent


class One(Ranks):
    """One of several, without the others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def torchrun(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start two processes on the CPU, at a port that torchrun finds free."""
    settings = {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    environment = {**os.environ, **settings, **options.pop("environment", {})}
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*line, *map(str, arguments)], env=environment, text=True, **streams, **options)


@given(st.integers(1, 40), st.integers(1, 9))
def test_shares_are_the_batch(total: int, size: int) -> None:
    shares = [Share(One(rank, size), total) for rank in range(size)]
    batch = torch.arange(total)
    assert torch.cat([share.own(batch) for share in shares if share.part]).tolist() == batch.tolist()
    assert sum(share.part for share in shares) == pytest.approx(1.0)
    assert all(share.count == len(share.own(batch)) >= 1 for share in shares)
    whole = max(share.count for share in shares)
    assert all(share.count >= whole - 1 for share in shares)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2))
def test_ranks_draw_the_rows_of_one_batch(total: int, size: int, axis: int) -> None:
    def drawn(share: Share) -> tuple[list[Tensor], Tensor]:
        generator = torch.Generator().manual_seed(1)
        shape = [2, 3, 4]
        shape[axis] = share.count
        rng = share.rng(generator)
        numbers = uniforms(shape, rng, torch.device("cpu"), axis)
        masks = kept(torch.zeros(shape), 0.5, rng, axis)
        return [numbers, masks], generator.get_state()

    expected, state = drawn(ALONE.share(total))
    shares = [Share(One(rank, size), total) for rank in range(size)]
    for share in shares:
        found, mine = drawn(share)
        assert torch.equal(mine, state)
        for part, all_of_it in zip(found, expected, strict=True):
            assert torch.equal(part, all_of_it.movedim(axis, 0)[share.rows].movedim(0, axis))


def test_alone_nothing_is_copied() -> None:
    batch, generator = torch.rand(5, 2), torch.Generator()
    share = ALONE.share(5)
    assert share.own(batch) is batch
    assert share.all(batch) is batch
    assert share.rng(generator) is generator


def test_rehearsal_fills_a_batch_with_own_rows() -> None:
    share = Rehearsal(3).share(7)
    assert share.all(share.own(torch.arange(7))).tolist() == [0, 1, 0, 1, 0, 1, 0]


def final(run: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    tensors, _ = checkpoint.load(run, "last")
    return tensors, [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_alike(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], tolerance: float) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        numbers = {name: value for name, value in theirs.items() if isinstance(value, float) and name != "seconds"}
        assert {name: mine[name] for name in numbers} == pytest.approx(numbers, rel=tolerance, abs=tolerance)


def test_two_processes_train_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    process = torchrun(TESTS / "train_together.py", tmp_path / "two", environment={"PYTHONPATH": path})
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    train_each(tmp_path / "one", ALONE)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    for name in RUNS:
        (tensors, log), (expected, its_log) = (final(tmp_path / number / name) for number in ("two", "one"))
        assert_alike(log, its_log, 1e-4)
        assert tensors.keys() == expected.keys()
        for key, tensor in expected.items():
            assert tensors[key].numpy() == pytest.approx(tensor.numpy(), rel=1e-5, abs=1e-5), f"{name}: {key}"


def rank_of(process: int) -> str | None:
    """Return the rank of a process, as torchrun has told it."""
    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((value[5:].decode() for value in variables if value.startswith(b"RANK=")), None)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the ranks by /proc")
def test_a_killed_rank_ends_all_and_one_process_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "music", **{f"tune{seed}": tune(seed) for seed in range(12)})
    (tmp_path / "small.toml").write_text(CONFIG.replace("iterations = 10", "iterations = 2"))
    run = tmp_path / "run"
    process = torchrun(
        *("-m", "seqgan_music", "train", "music", "--config", "small.toml", "--out", run, "--device", "cpu"),
        cwd=tmp_path,
        environment={"SEQGAN_MUSIC_CACHE": str(tmp_path / "cache")},
    )
    wait_for(process, lambda: len(lines(run)) >= 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (victim,) = [int(child) for child in children if rank_of(int(child)) == "1"]
    os.kill(victim, signal.SIGKILL)
    said, told = process.communicate(timeout=600)
    assert process.returncode != 0
    assert not said
    ours = [line for line in told.splitlines() if "--resume" in line]
    assert len(ours) == 1, told
    assert str(run) in ours[0]
    assert sum(line.startswith("seqgan-music: ") for line in told.splitlines()) == 1, told
    assert not list(run.rglob("*.part*"))
    straight = ["music", "--config", "small.toml", "--out", "straight"]
    (code, said, told), (code_straight, _, told_straight) = train_many(tmp_path, [["--resume", str(run)], straight])
    assert code == 0, told
    assert said.startswith("Finished")
    assert code_straight == 0, told_straight
    assert_alike(lines(run), lines(tmp_path / "straight"), 1e-3)


def test_a_mistake_is_told_once(tmp_path: Path) -> None:
    write(tmp_path / "music", **{f"tune{seed}": tune(seed) for seed in range(12)})
    arguments = ["-m", "seqgan_music", "train", "music", "--device", "cpu", "--set", "phase.mle.updatess=3"]
    process = torchrun(*arguments, cwd=tmp_path)
    said, told = process.communicate(timeout=600)
    assert process.returncode != 0
    assert not said
    ours = [line for line in told.splitlines() if line.startswith("seqgan-music: ")]
    assert len(ours) == 1
    assert "updatess" in ours[0]
    assert not (tmp_path / "runs").exists()
