"""Evaluation on made-up tunes: what each row must come to, and planted cheats called what they are."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_music import BAR, splits, tune

from seqgan_music.config import GeneratorConfig
from seqgan_music.evaluate import c2st, phases
from seqgan_music.evaluate.bootstrap import Measured, resample
from seqgan_music.evaluate.evaluation import Evaluation
from seqgan_music.evaluate.figures import catalogue, distinct
from seqgan_music.evaluate.grammatical import GrammaticalSource
from seqgan_music.evaluate.ground import Ground, Options
from seqgan_music.evaluate.phases import Phase
from seqgan_music.evaluate.sources import Drawn, GeneratorSource, MarkovSource, RandomSource, RowsSource, Source
from seqgan_music.evaluate.verdicts import Verdict
from seqgan_music.learning.generator import Generator
from seqgan_music.music import tokenizers
from seqgan_music.music.metrics.features import NAMES
from seqgan_music.music.notes import Note, Piece
from seqgan_music.tokenset import TokenSet

TOKENIZER = tokenizers.create("note_event", {}, 12)
OPTIONS = Options(temperatures=(), pieces=40, resamples=25)


class Planted:
    """A source that writes the pieces that `make` gives for a seed; likelihoods are another's."""

    def __init__(self, make: Callable[[int], Piece], likelihood: Source) -> None:
        self.make = make
        self.likelihood = likelihood

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        seeds = torch.randint(10_000, (count,), generator=rng).tolist()
        return Drawn([np.array(TOKENIZER.encode(self.make(seed))[0]) for seed in seeds], 0, None)

    def nll(self, data: TokenSet, temperature: float) -> np.ndarray | None:
        return self.likelihood.nll(data, temperature)


def shuffled(seed: int) -> Piece:
    """The bars of a training tune in another order."""
    piece = tune(seed % 60)
    order = random.Random(seed).sample(range(16), 16)
    notes = [replace(n, onset=order[n.onset // BAR] * BAR + n.onset % BAR) for n in piece.notes]
    return replace(piece, notes=tuple(sorted(notes)))


def one_note(seed: int) -> Piece:
    return Piece(tuple(Note(12 * i, 60 + seed % 12, 12) for i in range(64)), 12)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground(splits(TOKENIZER), TOKENIZER, OPTIONS, names=[])


@pytest.fixture(scope="module")
def found(ground: Ground) -> Evaluation:
    """A Markov chain in the place of maximum likelihood, cheats, and the chain again."""
    found = Evaluation.begin(ground, [], "test", 0.0)
    mle = MarkovSource(ground.splits.train)
    rows: dict[str, Source] = {
        "mle": mle,
        "itself": mle,
        "copies everything": Planted(lambda seed: tune(seed % 60), mle),
        "repeats one note": Planted(one_note, mle),
        "shuffles bars": Planted(shuffled, mle),
        "writes real music": Planted(lambda seed: tune(1000 + seed), mle),
    }
    for number, (name, source) in enumerate(rows.items(), 1):
        found.add(name, number, [source], lambda text: None)
    return found


def value(found: Evaluation, name: str, figure: str) -> float:
    entry = found.row(name, None if name in ("real", "copies", "random", "markov") else 1.0)
    assert entry is not None
    return entry.rows[0].figures[figure].value


def test_planted_cheats_are_called_what_they_are(found: Evaluation) -> None:
    verdicts = {name: judgement.verdict for name, judgement in found.verdicts().items()}
    assert verdicts["itself"] is Verdict.NO_EFFECT
    assert verdicts["copies everything"] is Verdict.COPIES
    assert verdicts["repeats one note"] is Verdict.COLLAPSED
    assert verdicts["shuffles bars"] is Verdict.COPIES
    assert verdicts["writes real music"] in (Verdict.BEATS, Verdict.MIXED, Verdict.TRADED)
    assert "copied" not in found.verdicts()["writes real music"].why


def test_what_is_the_same_differs_by_nothing(found: Evaluation) -> None:
    (same,) = [one for one in found.differences() if (one["name"], one["temperature"]) == ("itself", 1.0)]
    assert same["figures"]["frechet"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert all(figure["value"] == 0.0 for figure in same["figures"].values())


def test_rows_stand_in_the_order_of_their_quality(found: Evaluation) -> None:
    order = ["real", "shuffles bars", "markov", "repeats one note"]
    distances = [value(found, name, "frechet") for name in order]
    assert distances == sorted(distances)
    assert value(found, "real", "c2st_auc") == pytest.approx(0.5, abs=0.2)
    assert value(found, "repeats one note", "c2st_auc") > 0.99
    assert value(found, "shuffles bars", "lag_distance") > 3 * value(found, "real", "lag_distance")


def test_copies_are_good_in_all_but_copying(found: Evaluation) -> None:
    assert value(found, "copies", "novelty_8") == 0.0
    assert value(found, "copies", "copied_share") == 1.0
    assert value(found, "copies", "frechet") < 2 * value(found, "real", "frechet")
    assert value(found, "real", "copied_share") < 0.3


def test_bits_of_dice_are_exact(found: Evaluation, ground: Ground) -> None:
    tokens, notes = int(ground.test.lengths.sum()), int(ground.test.units.sum())
    assert value(found, "random", "bits_per_note") == pytest.approx(
        tokens * math.log2(len(TOKENIZER.vocabulary)) / notes
    )
    assert value(found, "random", "bits_per_beat") == pytest.approx(
        tokens * math.log2(len(TOKENIZER.vocabulary)) / (64 * len(ground.test))
    )
    assert value(found, "random", "entropy") == pytest.approx(math.log(len(TOKENIZER.vocabulary)))
    assert value(found, "random", "valid_share") == 0.0
    assert value(found, "mle", "valid_share") > 0.5


def test_all_rows_have_equally_many_windows(found: Evaluation, ground: Ground) -> None:
    compared = len(ground.reference.kept.windows)
    assert compared == 30
    assert all(row.windows == compared for entry in found.entries for row in entry.rows if entry.name != "random")


def test_the_document_holds_what_was_measured_and_nothing_else(found: Evaluation) -> None:
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    names = {one["name"] for one in document["metrics"]}
    for row in document["rows"]:
        assert set(row["figures"]) <= names
        assert len(row["lag_curve"]) == 32
        assert row["lag_curve"][31] is None  # no tune has 33 bars
        for figure in row["figures"].values():
            assert figure["low"] <= figure["high"] if "low" in figure else "high" not in figure
    real = document["rows"][0]
    assert (real["name"], real["kind"], real["phase"], real["temperature"]) == ("real", "reference", None, None)
    assert "bits_per_note" not in real["figures"]
    assert "frechet_bars_17_32" not in real["figures"]  # the tunes end before
    assert set(real["features"]) == set(NAMES)
    assert {sum(one["histogram"]["counts"]) for one in real["features"].values()} == {30}
    edges = [
        [row["features"][n]["histogram"]["edges"] for n in NAMES] for row in document["rows"] if "features" in row
    ]
    assert all(one == edges[0] for one in edges)


def test_fixed_rows_have_no_end_and_no_meter() -> None:
    grid = tokenizers.create("pitch_grid", {}, 12)
    some = Ground(splits(grid, 20, 12), grid, Options(pieces=30, resamples=10))
    row = some.measured(some.draw(RandomSource(some.splits.train), 1.0), RandomSource(some.splits.train))
    assert "bits_per_step" in row.figures
    assert row.figures["bits_per_step"].value == pytest.approx(math.log2(89))
    assert not {"meter_share", "ended_share", "bits_per_note", "frechet_bars_1_16"} & set(row.figures)
    assert {one.name for one in catalogue("step")} >= set(row.figures)


def test_a_generator_is_sampled_to_its_end_and_scored_in_full() -> None:
    generator = Generator(6, 6, GeneratorConfig(embedding=4, hidden=8))
    generator.initialise(torch.Generator().manual_seed(3))
    source = GeneratorSource(generator.requires_grad_(False), 5)
    drawn = source.draw(300, 15, 1.0, torch.Generator().manual_seed(1))
    for row in drawn.rows:
        assert 5 not in row[:-1]
        assert len(row) <= 15
    assert drawn.cut == sum(row[-1] != 5 for row in drawn.rows) > 0
    again = source.draw(300, 15, 1.0, torch.Generator().manual_seed(1))
    assert all(np.array_equal(a, b) for a, b in zip(drawn.rows, again.rows, strict=True))
    data = TokenSet.from_rows(drawn.rows, vocabulary_size=6, start_id=6, end_id=5)
    nll = source.nll(data, 1.0)
    one_by_one = [-float(generator.log_probs(torch.tensor(row)[None]).sum()) for row in drawn.rows]
    assert nll == pytest.approx(np.array(one_by_one), rel=1e-4)
    assert drawn.entropy == pytest.approx(nll.sum() / data.lengths.sum(), rel=1e-4)


def test_the_markov_row_is_a_distribution() -> None:
    """Sums to 1 over all sequences of up to two ids and their end, with the tail drawn as often as it is left."""
    data = TokenSet.from_rows([[0, 1, 2], [1, 1, 0, 2], [2]], vocabulary_size=3, start_id=3, end_id=2)
    source = MarkovSource(data)
    short = [[2], [0, 2], [1, 2], *[[a, b, 2] for a in (0, 1) for b in (0, 1)]]
    nll = source.nll(TokenSet.from_rows(short, vocabulary_size=3, start_id=3, end_id=2), 1.0)
    drawn = source.draw(1500, 12, 1.0, torch.Generator().manual_seed(1))
    share = np.mean([len(row) <= 3 and row[-1] == 2 for row in drawn.rows])
    total = float(np.exp(-nll).sum())
    assert share == pytest.approx(total, abs=4 * (total * (1 - total) / 1500) ** 0.5)


def test_rows_are_taken_as_often_as_any_other() -> None:
    data = TokenSet.from_rows([[i] for i in range(5)], vocabulary_size=5, start_id=5, end_id=None)
    drawn = RowsSource(data).draw(15, 10, 1.0, torch.Generator().manual_seed(1))
    assert np.bincount([row[0] for row in drawn.rows]).tolist() == [3] * 5


def side(features: np.ndarray, owners: Sequence[int]) -> c2st.Side:
    pieces = max(owners) + 1
    counts = resample(pieces, 50, np.random.default_rng(1))
    return c2st.Side(features, np.zeros((len(features), 4)), np.array(owners), counts)


def test_the_classifier_finds_a_shift_and_nothing_where_nothing_is() -> None:
    rng = np.random.default_rng(1)
    real, same, moved = (rng.normal(shift, 1.0, (200, 3)) for shift in (0.0, 0.0, 1.0))
    areas = []
    for other in (same, moved):
        area = c2st.auc(side(real, range(200)), side(other, range(200)), np.random.default_rng(2))
        assert area is not None
        areas.append(area)
    assert areas[0].value == pytest.approx(0.5, abs=0.1)
    # Three normal features, each one sigma apart: Phi(sqrt(3) / sqrt(2)) = 0.89.
    assert areas[1].value == pytest.approx(0.89, abs=0.04)
    assert areas[1].estimate().above


def test_windows_of_one_piece_do_not_give_each_other_away() -> None:
    """Ten windows a piece, the same but for the piece: who had seen others of the piece would be right."""
    rng = np.random.default_rng(4)
    owners = np.repeat(np.arange(20), 10)
    real, generated = (np.repeat(rng.normal(size=(20, 30)), 10, axis=0) for _ in range(2))
    area = c2st.auc(side(real, owners.tolist()), side(generated, owners.tolist()), rng)
    assert area is not None
    assert area.value < 0.75
    assert c2st.auc(side(real[:50], owners[:50].tolist()), side(generated, owners.tolist()), rng) is None


def test_grams_are_the_same_in_every_key() -> None:
    first = tune(1)
    table = c2st.grams([first, first.transposed(5), tune(2)])
    assert np.array_equal(table[0], table[1])
    assert not np.allclose(table[0], table[2])


def test_distinct_counts_different_grams_once() -> None:
    assert distinct([np.array([1, 2, 3, 4, 5]), np.array([1, 2, 3, 4])]) == pytest.approx(2 / 3)
    assert math.isnan(distinct([np.array([1, 2])]))


def figures(**values: float) -> dict[str, Measured]:
    plain = {"frechet": 10.0, "c2st_auc": 0.9, "bits_per_note": 3.0, "copied_share": 0.0, "entropy": 2.0}
    return {name: Measured(v, np.zeros(0)) for name, v in {**plain, "distinct_4": 0.5, **values}.items()}


@pytest.mark.parametrize(
    ("changed", "chosen", "why"),
    [
        ({"frechet": 9.0}, "seqgan", "Fréchet distance of seqgan is 9.00, mle 10.00"),
        ({"frechet": 10.1}, "mle", "seqgan is not better: Fréchet distance 10.10, not below 10.00"),
        ({}, "mle", "Fréchet distance 10.00, not below 10.00"),
        ({"frechet": 9.0, "c2st_auc": 0.95}, "mle", "AUC 0.950 is above 0.900"),
        ({"frechet": 9.0, "bits_per_note": 3.1}, "mle", "bits a note 3.100 is above 3.000"),
        ({"frechet": 9.0, "bits_per_note": 3.05, "c2st_auc": 0.905}, "seqgan", "no other figure is worse"),
        ({"frechet": 9.0, "copied_share": 0.1}, "mle", "copied share 0.100 is above 0.000"),
        ({"frechet": 9.0, "distinct_4": 0.2}, "mle", "distinct-4 fell to 0.20"),
    ],
)
def test_a_phase_is_chosen_for_a_reason(changed: dict[str, float], chosen: str, why: str) -> None:
    run = [Phase("mle", 1, "phase-1", "a", "g"), Phase("seqgan", 2, "phase-2", "b", "h")]
    found, reason = phases.choose(run, {"mle": figures(), "seqgan": figures(**changed)}, "bits_per_note")
    assert found.name == chosen
    assert why in reason


@pytest.mark.parametrize(
    ("changed", "better", "why"),
    [
        (
            {"c2st_auc": 0.6},
            True,
            "its critic chooses: with it Fréchet distance differs by +0 [-0.2, +0.2] and AUC differs by -0.3",
        ),
        ({"frechet": 9.0}, True, "Fréchet distance differs by -1 [-1.2, -0.8]"),
        ({"frechet": 9.0, "c2st_auc": 1.2}, False, "AUC differs by +0.3 [+0.1, +0.5]"),
        (
            {"frechet": 9.9},
            False,
            "its critic does not choose: with it Fréchet distance differs by -0.1 [-0.3, +0.1]",
        ),
        ({"frechet": 9.0, "distinct_4": 0.2}, False, "distinct-4 fell to 0.20"),
        ({"frechet": 9.0, "bits_per_note": 3.1}, False, "bits a note 3.100 is above 3.000"),
    ],
)
def test_the_critic_chooses_where_it_helps_beyond_doubt(changed: dict[str, float], better: bool, why: str) -> None:
    noise = np.linspace(-0.2, 0.2, 1001) / 0.95
    guided = {name: Measured(one.value, one.value + noise) for name, one in figures(**changed).items()}
    plain = {name: Measured(one.value, np.full(1001, one.value)) for name, one in figures().items()}
    del guided["entropy"]  # a filter has none
    found, reason = phases.helps(guided, plain, "bits_per_note")
    assert found is better
    assert why in reason


def test_the_same_weights_are_no_choice() -> None:
    run = [Phase("mle", 1, "phase-1", "a", "g"), Phase("seqgan", 2, "phase-2", "b", "g")]
    found, reason = phases.choose(run, {}, "bits_per_note")
    assert (found.name, reason) == ("mle", "on the validation split: seqgan ended with the same weights")


@pytest.mark.parametrize("name", ["note_event", "ensemble", "performance"])
def test_under_the_grammar_nothing_is_dropped_and_every_number_comes_of_the_seed(name: str) -> None:
    tokenizer = tokenizers.create(name, {}, 12)
    generator = Generator(len(tokenizer.vocabulary), len(tokenizer.vocabulary), GeneratorConfig(4, 8))
    generator.initialise(torch.Generator().manual_seed(1))
    source = GrammaticalSource(generator, tokenizer, cutoff=1e-4)
    drawn, again = (source.draw(5, 300, 1.0, torch.Generator().manual_seed(2)) for _ in range(2))
    assert [row.tolist() for row in drawn.rows] == [row.tolist() for row in again.rows]
    assert len({tuple(row.tolist()) for row in drawn.rows}) == 5
    for row in drawn.rows:
        ended = int(row[-1]) == tokenizer.end_id
        assert not {kind: n for kind, n in tokenizer.decode(row.tolist()).dropped.items() if kind != "unfinished"}
        assert ended or len(row) == 300
    assert drawn.cut == sum(int(row[-1]) != tokenizer.end_id for row in drawn.rows)
