"""`seqgan-music score`: how much like your folder is a piece, and which bars are least like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqgan_music.critic import Critic
    from seqgan_music.critic.scoring import Scored
    from seqgan_music.music.formats import Options

_PICTURES = (".svg", ".png")

_WEAKEST = 3
"""Bars that are named at most."""
_WEAK = 0.25
"""A bar is named where at least three quarters of the held-out bars fit better."""


@click.command("score")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILES...")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder.  [default: the newest of runs/, else 'bundled', which comes with the package]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the piano roll of the one file over its heat strip, .svg or .png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON, every bar included.")
def command(files: tuple[Path, ...], run: Path | None, out: Path | None, as_json: bool) -> None:
    r"""Rank music by the run's critic among pieces that were held out of training, and among the generator's own.

    FILES are of any kind that is read, or folders of them. A rank of 50% is that of the middle held-out piece. Each
    piece is compared with known ones cut to as many bars. Bars are ranked among held-out bars by how
    well they fit the music around them; the weakest are named. Exit code 2 where nothing could be scored.

    \b
    Example:
      seqgan-music score song.mid
      seqgan-music score new_songs/ --run runs/jigs --json > scores.json
      seqgan-music score song.mid --out song.svg
    """
    from seqgan_music import compose
    from seqgan_music.critic import scoring
    from seqgan_music.critic.judging import critic_of
    from seqgan_music.music import formats
    from seqgan_music.music.loading import files_of

    if out is not None:
        if out.suffix.lower() not in _PICTURES:
            raise ConfigError(f"--out must end in {' or '.join(_PICTURES)}, not '{out.name}'.")
        formats.check([out], _options(()))
    run = compose.find_run(run)
    paths = files_of(files)
    if out is not None and len(paths) > 1:
        raise ConfigError(f"--out draws one file, not {len(paths)}.")
    import torch

    torch.set_num_threads(1)
    critic = critic_of(run)
    told: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for one in scoring.score(run, critic, paths):
        if one.judgement is None:
            skipped.append({"path": one.name, "reason": one.reason})
            click.echo(f"{click.format_filename(one.name)}: skipped: {one.reason}", err=True)
            continue
        told.append(_document(one))
        if not as_json:
            click.echo(_line(one, critic))
        if out is not None and len(told) == 1:
            _draw(one, out)
    if as_json:
        found = {"run": str(run), "critic": critic.told, "pieces": told, "skipped": skipped}
        click.echo(json.dumps(found, indent=1, allow_nan=False))
    if not told:
        raise InputError("Nothing could be scored.")


def _line(one: Scored, critic: Critic) -> str:
    from seqgan_music.compose import bars_of

    assert one.piece is not None
    assert one.judgement is not None
    judgement = one.judgement
    count = len(bars_of(one.piece))
    said = f"{click.format_filename(one.name)}: {count} bar{'s' * (count != 1)}"
    if judgement.real is None or judgement.generated is None:
        return f"{said}: nothing is known to rank it among (score {judgement.score:.2f})"
    cut = f" cut to {judgement.compared} bar{'s' * (judgement.compared != 1)}"
    said += (
        f": above {judgement.real:.0%} of {critic.real.known(judgement.compared)} held-out pieces{cut},"
        f" and {judgement.generated:.0%} of the generator's own"
    )
    weak = _weakest(judgement.by_bar)
    if weak:
        bars = ", ".join(f"{bar} ({judgement.by_bar[bar - 1]:.0%})" for bar in weak)
        said += f"; weakest bar{'s' * (len(weak) > 1)}: {bars}"
    return said


def _weakest(by_bar: Any) -> list[int]:
    """Return the numbers of the weakest bars, the weakest first."""
    order = sorted(range(len(by_bar)), key=lambda bar: by_bar[bar])
    return [bar + 1 for bar in order[:_WEAKEST] if by_bar[bar] < _WEAK]


def _document(one: Scored) -> dict[str, Any]:
    from seqgan_music.compose import bars_of

    assert one.piece is not None
    assert one.judgement is not None
    judgement = one.judgement
    return {
        "path": one.name,
        "bars": len(bars_of(one.piece)),
        "score": round(judgement.score, 4),
        "above_held_out": judgement.real,
        "above_generated": judgement.generated,
        "compared_bars": judgement.compared,
        "by_bar": [round(rank, 4) for rank in judgement.by_bar],
        "weakest": _weakest(judgement.by_bar),
    }


def _draw(one: Scored, out: Path) -> None:
    from seqgan_music.music import formats

    assert one.piece is not None
    assert one.judgement is not None
    formats.write(one.piece, out, _options(one.judgement.by_bar, one.path.stem))


def _options(heat: Sequence[float], title: str | None = None) -> Options:
    from seqgan_music.compose.composition import HEAT_MEANS
    from seqgan_music.music.formats import Options

    return Options(title=title, heat=heat or None, heat_means=HEAT_MEANS)
