"""What each objective does to a trained generator: SeqGAN from one checkpoint, with and without it.

    python benchmarks/objectives.py RUN --out results.jsonl [--seeds 1 2] [--weights 1 4] [--names key range]
        [--set iterations=12 ...] [--length 64]
    python benchmarks/objectives.py RUN --out results.jsonl --table

RUN's best generator is trained on by the method `seqgan` from the same state for each seed, weight and objective,
and once a seed without any (weight 0). A line of the results holds, before and after: the mean measure and score of
*every* objective over `--samples` samples, those of the training music's openings, held-out bits a token,
distinct-4 and the KL to the generator before. Targets are the training music's medians. Lines that are there
already are not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqgan_music import config as configs
from seqgan_music import rewards, training
from seqgan_music.config import ChoiceConfig
from seqgan_music.learning import checkpoint, evaluation
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.trainer import Silent, Trainer
from seqgan_music.music import note_tables, objectives, vocabulary
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Mix
from seqgan_music.tokenset import Splits

CPU = torch.device("cpu")


def measured(mix: Mix, notes: NoteTable) -> dict[str, float]:
    """Return the mean measure and score of each objective, over the rows where it has one."""
    found = {}
    for name, part in mix.parts.items():
        measure = part.objective.measure(notes)
        known = measure[np.isfinite(measure)]
        if len(known):
            found[name] = float(known.mean())
            found[f"{name}_score"] = float(part.objective.score(known).mean())
    return found


def described(
    trainer: Trainer, before: Generator, mix: Mix, tokenizer: Any, samples: int, seed: int
) -> dict[str, float]:
    """Return what the generator is like now."""
    end_id, length = trainer.train_data.end_id, trainer.config.sequence_length
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ids, figures = evaluation.samples(trainer.generator, samples, length, rng, end_id)
        held_out = evaluation.held_out(trainer.generator, trainer.validation, length)
        kl = evaluation.drift(trainer.generator, before, ids, end_id)
    bits = held_out["validation_nats"] / math.log(2)
    table = note_tables.of_ids(tokenizer, ids.numpy())
    return {"bits": bits, "distinct_4": figures["distinct_4"], "kl": kl, **measured(mix, table)}


def table(lines: list[dict[str, Any]]) -> str:
    """Return the results as Markdown, means over seeds: each objective beside the runs without any."""

    def mean(some: list[dict[str, Any]], when: str, key: str) -> float:
        values = [line[when][key] for line in some if key in line[when]]
        return float(np.mean(values)) if values else math.nan

    rows = ["| objective | weight | seeds | training music | before | without | with | score without | with |", ""]
    rows[0] += " bits a token without | with | distinct-4 without | with |"
    rows[1] = "| --- |" + " --- |" * 12
    for name, weight in sorted({(line["name"], line["weight"]) for line in lines if line["name"]}):
        those = [line for line in lines if (line["name"], line["weight"]) == (name, weight)]
        seeds = {line["seed"] for line in those}
        without = [line for line in lines if not line["name"] and line["seed"] in seeds]
        cells = [mean(those, "real", name), mean(those, "before", name)]
        for key in (name, f"{name}_score", "bits", "distinct_4"):
            cells += [mean(without, "after", key), mean(those, "after", key)]
        shown = ["–" if math.isnan(cell) else f"{cell:.3f}" for cell in cells]
        rows.append(f"| `{name}` | {weight:g} | {len(those)} | " + " | ".join(shown) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0])
    parser.add_argument("--names", nargs="+", default=objectives.names())
    parser.add_argument("--set", dest="options", action="append", default=[])
    parser.add_argument("--length", type=int)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--table", action="store_true", help="print what is there already")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.out.read_text().splitlines()]))
        return
    torch.set_num_threads(1)
    base = configs.load(str(arguments.run / training.CONFIG))
    base = replace(base, sequence_length=arguments.length or base.sequence_length)
    tokenizer = vocabulary.load(arguments.run / training.VOCABULARY)
    splits = Splits.load(arguments.run / training.TOKENS)
    phase = ChoiceConfig("seqgan", tomllib.loads("\n".join(arguments.options)))
    real = rewards.openings(tokenizer, splits.train, base.sequence_length)
    every = Mix.of(dict.fromkeys(objectives.names(), 1)).aimed(real)
    start, _ = checkpoint.load(arguments.run, "best")
    jobs = [(0.0, "", seed) for seed in arguments.seeds]
    jobs += [(w, name, seed) for seed in arguments.seeds for w in arguments.weights for name in arguments.names]
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    done = {(line["weight"], line["name"], line["seed"]) for line in map(json.loads, lines)}
    for weight, name, seed in sorted(set(jobs) - done, key=lambda job: (job[2], job)):
        document = {name: {**every.document()[name], "weight": weight}} if name else {}
        config = training.check(replace(base, seed=seed, objectives=document, phases=(phase,)))
        with tempfile.TemporaryDirectory() as folder:
            given = rewards.objective(config, tokenizer, Path(folder))
            trainer = Trainer(Path(folder), config, splits, CPU, objective=given)
            trainer.generator.load_state_dict(checkpoint.unprefixed(start, "generator"))
            before = checkpoint.load_generator(arguments.run)
            first = described(trainer, before, every, tokenizer, arguments.samples, seed + 100)
            begun = time.perf_counter()
            trainer.train(Silent())
            line = {
                "weight": weight,
                "name": name,
                "seed": seed,
                "seconds": round(time.perf_counter() - begun, 1),
                "notes": trainer.progress.notes,
                "before": first,
                "after": described(trainer, before, every, tokenizer, arguments.samples, seed + 100),
                "real": measured(every, real),
                "targets": {n: d.get("target") for n, d in every.document().items()},
                "options": dict(phase.options),
            }
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"seed {seed}, {name or 'none'} {weight:g}: {line['seconds']} s", file=sys.stderr)


if __name__ == "__main__":
    main()
