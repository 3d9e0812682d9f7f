"""Make a run the model that comes with the package: `python benchmarks/bundle.py RUN`.

Writes `seqgan_music/bundled/`: the generator that `sample` would use, its vocabulary and settings, and a model card
with the figures of the run's evaluation; the run's critic, with the scores of held-out pieces that it ranks others
among; and what that evaluation chose. None of the music that it learnt from is in it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from seqgan_music import config
from seqgan_music.compose import BUNDLED
from seqgan_music.critic import Critic
from seqgan_music.evaluate import result
from seqgan_music.learning import checkpoint

MOST_BYTES = 8_000_000

FIGURES = {
    "bits_per_note": ("bits a note, held out", ".3f"),
    "frechet": ("Fréchet distance", ".2f"),
    "c2st_auc": ("AUC of a new classifier", ".3f"),
    "bleu_4": ("BLEU-4", ".2f"),
    "self_bleu_4": ("self-BLEU-4", ".2f"),
    "lag_distance": ("lag distance", ".3f"),
    "copied_share": ("copied share", ".3f"),
    "valid_share": ("valid share", ".3f"),
    "meter_share": ("bars that keep the meter", ".3f"),
}

CARD = """# The model that comes with seqgan-music

`seqgan-music sample --out song.mid` uses it until there is a run of your own; `--run bundled` names it.

**What it learnt from.** {train:,} pieces of `midi_data/`, as music21's corpus carries them: dance tunes of
Scotland, Ireland and America printed 1778–1903, four-part chorales of J. S. Bach, and four pieces in the public
domain. None of that music is in this folder. {test} more pieces were kept apart; the figures below are theirs.

**What it is.** An LSTM that looks back by attention ({weights:,} weights), over the tokens of `note_event`, from
the phase `{name}` of `seqgan-music train midi_data/` (preset `default`, seed {seed}; `config.toml`): {why}.

**How good it is.** Held-out test split, 16-bar windows, temperature 1; docs/metrics.md says what each figure means
and what fools it.

| | {heads} |
|---|{rule}
{rows}

**What it cannot do.** One instrument, no dynamics. Phrases and returning bars, no form over minutes. It may quote
the tunes that it learnt from: it does not carry them, so `sample --max-copy` needs a run of your own.

Licence: MIT, as the code. Made by `benchmarks/bundle.py`.
"""


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(run: Path) -> None:
    """Write the folder anew from RUN, which must have been evaluated."""
    evaluation = result.read(run)
    if evaluation is None:
        raise click.ClickException(f"{run} has no evaluation: seqgan-music evaluate {run}")
    chosen = result.chosen(run)
    tensors, document = checkpoint.load(run, chosen.checkpoint)
    generator = {name: tensor for name, tensor in tensors.items() if name.startswith("generator.")}
    shutil.rmtree(BUNDLED, ignore_errors=True)
    BUNDLED.mkdir()
    checkpoint.save(BUNDLED, "best", generator, {"generator": document["generator"]})
    critic = Critic.open(run)
    if critic is not None:
        critic.save(BUNDLED)
    shutil.copyfile(run / "vocabulary.json", BUNDLED / "vocabulary.json")
    settings = config.load(str(run / "config.toml"))
    (BUNDLED / "config.toml").write_text(config.to_toml(config.to_document(settings)))
    choice = {
        "checkpoint": "best",
        "name": chosen.name,
        "why": chosen.why,
        "sha256": result.read_object(BUNDLED / checkpoint.FOLDER / "best.json")["sha256"],
        "particles": chosen.particles if critic is not None else None,
    }
    result.write(BUNDLED / result.FILE, {"format": result.FORMAT, "chosen": choice})
    typical = json.loads((run / "scan.json").read_bytes())["typical"]
    (BUNDLED / "scan.json").write_text(json.dumps({"typical": typical}, indent=1) + "\n")
    weights = sum(tensor.numel() for tensor in generator.values())
    (BUNDLED / "MODEL_CARD.md").write_text(card(evaluation, chosen, settings.seed, weights))
    size = sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise click.ClickException(f"{size:,} bytes are more than the {MOST_BYTES:,} that a package should carry.")
    click.echo(f"{BUNDLED}: {size:,} bytes")


def card(evaluation: dict[str, Any], chosen: result.Chosen, seed: int, weights: int) -> str:
    """Return the model card."""
    wanted = {"real": "real music", "markov": "Markov-3", chosen.name: "this model"}
    wanted |= {f"{chosen.name}+critic": "with its critic"}
    rows = [row for row in evaluation["rows"] if row["name"] in wanted and row["temperature"] in (None, 1.0)]
    table = [
        " | ".join([title, *(_told(row["figures"].get(figure), places) for row in rows)])
        for figure, (title, places) in FIGURES.items()
    ]
    return CARD.format(
        train=evaluation["data"]["train_pieces"],
        test=evaluation["data"]["test_pieces"],
        weights=weights,
        name=chosen.name,
        seed=seed,
        why=chosen.why,
        heads=" | ".join(wanted[row["name"]] for row in rows),
        rule="---:|" * len(rows),
        rows="\n".join(f"| {line} |" for line in table),
    )


def _told(figure: dict[str, float] | None, places: str) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:{places}} [{figure['low']:{places}}, {figure['high']:{places}}]"


if __name__ == "__main__":
    main()
