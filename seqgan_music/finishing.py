"""What becomes of a trained run: its evaluation, which chooses what `sample` does, its critic, its report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqgan_music.config import Config
from seqgan_music.evaluate import result
from seqgan_music.files import check_writable

if TYPE_CHECKING:
    from seqgan_music.evaluate.evaluation import Evaluation
    from seqgan_music.evaluate.ground import Options

Show = Callable[[str], None]


def _quietly(text: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Step:
    """One thing that is made of a trained run.

    title:   said when it begins
    what:    what is missing without it, for people
    command: what is typed to have it made later, after the program's name
    due:     whether it is not there yet; asked when its turn has come
    work:    makes it, and shows what is being done

    `due` and `work` raise SeqganMusicError: no trouble of theirs costs the run.
    """

    title: str
    what: str
    command: str
    due: Callable[[], bool]
    work: Callable[[Show], object]


def steps(run: Path, config: Config) -> Sequence[Step]:
    """Return what is made of a run after training, in order, as its settings want."""
    from seqgan_music import report
    from seqgan_music.critic import training as critics

    wanted, named = config.evaluation.report, shlex.quote(str(run))
    found: list[Evaluation] = []

    def judge(show: Show) -> None:
        found.append(evaluate(run, show=show)[0])

    def criticise(show: Show) -> None:
        critics.learn(run, show)

    def critic_unjudged() -> bool:
        return result.lacks_critic(run) and critics.current(run)

    def judge_critic(show: Show) -> None:
        if not found:  # it was stopped here before
            judge(show)
            return
        from seqgan_music.evaluate import evaluation

        evaluation.add_critic(found[0], show=show)
        result.write(run / result.FILE, found[0].document())

    def tell(show: Show) -> None:
        report.write(run, show=show)

    evaluation = Step(
        "Evaluating on held-out music", "evaluation", f"evaluate {named}", lambda: evaluation_due(run), judge
    )
    critic = Step("Training the critic", "critic", f"train --resume {named}", lambda: critics.due(run), criticise)
    with_critic = Step(
        "Evaluating the critic", "evaluation of the critic", f"evaluate {named}", critic_unjudged, judge_critic
    )
    page = Step("Writing the report", "report", f"report {named}", lambda: True, tell)
    return {"full": (evaluation, critic, with_critic, page), "page": (critic, page)}.get(wanted, (critic,))


def evaluation_due(run: Path) -> bool:
    """Whether a run has no evaluation of what it is now. Raises RunError where there is no run."""
    from seqgan_music.report.sources import Sources

    sources = Sources.read(run)
    return sources.evaluation is None or sources.stale


def evaluate(
    run: Path,
    options: Options | None = None,
    *,
    against: Path | None = None,
    critic: int | None = None,
    show: Show = _quietly,
    bars: bool = True,
) -> tuple[Evaluation, Path]:
    """Evaluate a run, write what was found into its folder, and return it and where that is.

    Arguments and errors are those of `evaluation.evaluate`; it is an OutputError, before any work, where it cannot
    be written.
    """
    path = run / (result.FILE if against is None else f"evaluation-{against.resolve().name}.json")
    if run.is_dir():
        check_writable(path)
    from seqgan_music.evaluate import evaluation
    from seqgan_music.evaluate.ground import Options

    found = evaluation.evaluate(run, options or Options(), against=against, critic=critic, show=show, bars=bars)
    result.write(path, found.document())
    return found, path
