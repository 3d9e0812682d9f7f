"""How many thumbs the taste model needs: simulated listeners whose taste is known, on pieces of a run's generator.

    python benchmarks/taste.py RUN [--pieces 1500] [--repeats 40]

A listener likes a piece with probability sigmoid(3 u), where u is how much they find in it of what they like, in
standard deviations from the median: many a vote near the middle goes astray. The figure is the share of pairs of
new pieces that are ranked as u ranks them, after 5 to 100 thumbs. Compared are what the model reads: the 43
features of windows (what `preference` does), the discriminator's last layer before its output, and both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music import config as configs
from seqgan_music.learning import checkpoint, discriminators
from seqgan_music.learning.convolution import linear, pooled_convolutions
from seqgan_music.learning.discriminators.cnn import Cnn
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.sampling import sample
from seqgan_music.music import vocabulary
from seqgan_music.music.metrics import features
from seqgan_music.music.metrics.arrays import Floats
from seqgan_music.preference import taste

COUNTS = (5, 10, 20, 40, 100)
LEAST_NOTES = 12


def standardised(values: Floats) -> Floats:
    return (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)


def listeners(table: Floats) -> dict[str, Floats]:
    """What each listener finds in each piece, in standard deviations."""
    z = dict(zip(features.NAMES, standardised(table).T, strict=True))
    return {
        "steps": z["step_share"],
        "dense": z["notes_per_bar"],
        "high": z["pitch_mean"],
        "dense and high": standardised(z["notes_per_bar"] + z["pitch_mean"]),
        "neither dense nor thin": standardised(-np.abs(z["notes_per_bar"])),
        "returning, by step": standardised(z["returning_share"] + z["step_share"]),
    }


@torch.no_grad()
def last_layer(discriminator: Cnn, ids: Tensor) -> Floats:
    """The highway layer's outputs (N, F), from which the logit is a weighted sum."""
    found = []
    for rows in ids.split(128):
        weights = [layer.get_parameter("weight") for layer in discriminator.convolutions]
        biases = torch.cat([layer.get_parameter("bias") for layer in discriminator.convolutions])
        pooled = F.relu(pooled_convolutions(discriminator.embedding(rows), weights) + biases[:, None])
        transform, gate = linear(pooled, discriminator.highway.weight, discriminator.highway.bias).chunk(2)
        found.append(torch.lerp(pooled, transform.relu(), gate.sigmoid()).T)
    return np.asarray(torch.cat(found).numpy(), dtype=np.float64)


def accuracy(x: Floats, usefulness: Floats, seed: int) -> list[float]:
    """Share of pairs of 300 new pieces in order, after each of COUNTS thumbs."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    liked = rng.random(len(x)) < 1 / (1 + np.exp(-3 * (usefulness - np.median(usefulness))))
    first, second = order[:150], order[150:300]
    found = []
    for count in COUNTS:
        rated = order[300 : 300 + count]
        weights, _ = taste._posterior(x[rated], liked[rated].astype(np.float64))
        scores = x @ weights
        found.append(np.mean((scores[first] > scores[second]) == (usefulness[first] > usefulness[second])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, tokenizer = (
        configs.load(str(options.run / "config.toml")),
        vocabulary.load(options.run / "vocabulary.json"),
    )
    generator = checkpoint.load_generator(options.run)
    rng = torch.Generator().manual_seed(1)
    ids = sample(Stepper(generator), options.pieces, config.sequence_length, rng, tokenizer.end_id)
    pieces = [tokenizer.decode(row).piece for row in ids.tolist()]
    kept = [index for index, piece in enumerate(pieces) if len(piece.notes) >= LEAST_NOTES]
    table = features.feature_table([pieces[index] for index in kept])
    tensors, _ = checkpoint.load(options.run, "last")
    discriminator = discriminators.create(config.discriminator, len(tokenizer.vocabulary), config.sequence_length)
    discriminator.load_state_dict(checkpoint.unprefixed(tensors, "discriminator"))
    assert isinstance(discriminator, Cnn)
    ours = np.clip(standardised(table), -5, 5)
    layer = np.clip(standardised(last_layer(discriminator, ids[kept])), -5, 5)
    layer *= (ours.shape[1] / layer.shape[1]) ** 0.5  # the same prior variance of a score
    for name, x in {"features": ours, "last layer": layer, "both": np.hstack([ours, layer])}.items():
        biased = np.hstack([x, np.ones((len(x), 1))])
        print(f"{name}: {x.shape[1]} numbers, {len(x)} pieces; after {', '.join(map(str, COUNTS))} thumbs:")
        rows = {}
        for listener, usefulness in listeners(table).items():
            rows[listener] = np.mean(
                [accuracy(biased, usefulness, seed) for seed in range(options.repeats)], axis=0
            )
        rows["mean"] = np.mean(list(rows.values()), axis=0)
        for listener, row in rows.items():
            print(f"  {listener:22} " + " ".join(f"{value:.2f}" for value in row))


if __name__ == "__main__":
    main()
