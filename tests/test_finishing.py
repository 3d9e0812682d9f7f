"""What is made of a run after training: in order, the critic judged by the evaluation that chose its generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from random_run import make_run
from report_run import make_critic

from seqgan_music import config, finishing
from seqgan_music.evaluate import result


class Found:
    """An evaluation of a run of one phase."""

    def __init__(self, run: Path) -> None:
        saved = json.loads((run / "checkpoints" / "best.json").read_bytes())
        self.chosen = {"checkpoint": "best", "name": "mle", "why": "it is alone", "sha256": saved["sha256"]}

    def document(self) -> dict[str, Any]:
        return {"format": result.FORMAT, "rows": [], "metrics": [], "chosen": self.chosen}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done of that which takes long, in order."""
    done: list[str] = []

    def evaluate(run: Path, options: object, **_: object) -> Found:
        done.append("evaluate")
        return Found(run)

    def add_critic(found: Found, **_: object) -> None:
        done.append("add critic")
        found.chosen["particles"] = 8

    def learn(run: Path, show: object) -> None:
        done.append("critic")
        critic = make_critic()
        critic.told["sha256"] = Found(run).chosen["sha256"]
        critic.save(run)

    monkeypatch.setattr("seqgan_music.evaluate.evaluation.evaluate", evaluate)
    monkeypatch.setattr("seqgan_music.evaluate.evaluation.add_critic", add_critic)
    monkeypatch.setattr("seqgan_music.critic.training.learn", learn)
    monkeypatch.setattr("seqgan_music.report.write", lambda run, **_: done.append("report"))
    return done


def run_of(folder: Path) -> Path:
    run = make_run(folder / "run")
    (run / "config.toml").write_text("[[phase]]\nmethod = 'mle'\n")
    return run


def finish(run: Path, until: int = 4) -> None:
    for step in finishing.steps(run, config.load(str(run / "config.toml")))[:until]:
        if step.due():
            step.work(lambda text: None)


def test_the_critic_is_judged_by_the_evaluation_that_chose_its_generator(tmp_path: Path, done: list[str]) -> None:
    run = run_of(tmp_path)
    finish(run)
    assert done == ["evaluate", "critic", "add critic", "report"]
    assert result.chosen(run).particles == 8
    done.clear()
    finish(run)  # all is there but the page, which is written anew
    assert done == ["report"]


@pytest.mark.parametrize(("until", "then"), [(1, ["critic", "evaluate"]), (2, ["evaluate"])])
def test_what_was_cut_off_is_made_up_for(tmp_path: Path, done: list[str], until: int, then: list[str]) -> None:
    run = run_of(tmp_path)
    finish(run, until)
    done.clear()
    finish(run)  # the evaluation of the first time is gone with its process: another is begun
    assert done == [*then, "report"]
