"""The critic: what it reads of a piece, what its figures mean, ranks, training, and that a run keeps it whole."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_run
import torch
from hypothesis import example, given, settings
from made_up_music import BAR, splits
from made_up_music import tune as made_up
from strategies import pieces

from seqgan_music.compose import bars_of
from seqgan_music.compose.side_by_side import Readers
from seqgan_music.config import CriticConfig
from seqgan_music.critic import Critic, choosing, training
from seqgan_music.critic.judging import Sizes
from seqgan_music.critic.network import Misfits, Network, batch, misfits, score
from seqgan_music.critic.ranks import Ranks
from seqgan_music.critic.sheet import BARS, LAGS, LOOKS_BACK, MOST_BARS, NOTE_IDS, Sheet, sheet
from seqgan_music.critic.source import CriticSource, check_particles
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning import checkpoint
from seqgan_music.music import tokenizers
from seqgan_music.music.notes import DRUMS, Meter, Note, Piece

TINY = CriticConfig(negatives=24, held_out=8, epochs=2, windows=96, embedding=4, channels=8, hidden=8)


def network(seed: int = 1) -> Network:
    made = Network(4, 8, 8, 0.3)
    made.initialise(torch.Generator().manual_seed(seed))
    return made.requires_grad_(False)


def tune(*bars: Sequence[int], ticks: int = 12) -> Piece:
    """Bars of quarter notes."""
    return Piece(
        tuple(
            Note(ticks * (4 * bar + beat), pitch, ticks)
            for bar, some in enumerate(bars)
            for beat, pitch in enumerate(some)
        ),
        ticks,
    )


A, B, C, D = (60, 62, 64, 65), (67, 65, 64, 62), (60, 60, 67, 67), (64, 64, 64, 60)


def test_a_sheet_says_what_stands_in_the_piece() -> None:
    of = sheet(replace(tune(A, B, A), meters=(Meter(0, 4, 4), Meter(96, 3, 4))))
    assert (of.bars, of.whole, of.first.tolist()) == (4, 4, [0, 4, 8, 11, 12])
    assert of.length.tolist() == [48, 48, 36, 36]
    # To the note before, since its onset, duration, place in the bar, whether it sounds past the bar.
    assert of.notes[4].tolist() == [24 + 2, 12, 12, 0, 0]
    assert of.chroma[0, [0, 2, 4, 5]].tolist() == [1, 1, 1, 1]
    assert of.chroma.sum() == 12


def test_likeness_is_one_for_the_same_bar_and_sees_transpositions_and_rhythms() -> None:
    higher = tuple(pitch + 5 for pitch in A)
    of = sheet(tune(A, B, A, higher))
    assert of.alike[2, 1].tolist() == [1.0, 1.0, 1.0]  # A two bars before
    assert of.alike[3, 0].tolist() == [0.0, 1.0, 1.0]  # transposed
    assert of.alike[1, 0].tolist()[::2] == pytest.approx([1 / 7, 1.0])  # one note, and all of the rhythm
    assert of.alike[0].sum() == 0.0  # nothing is before the first


def test_a_transposed_piece_or_a_finer_grid_reads_the_same() -> None:
    piece = tune(A, B, C, D, A, B)
    of, fine, high = sheet(piece), sheet(tune(A, B, C, D, A, B, ticks=24)), sheet(piece.transposed(3))
    for other in (fine, high):
        assert np.array_equal(of.notes, other.notes)
        assert np.array_equal(of.alike, other.alike)
    assert np.array_equal(np.roll(of.chroma, 3, axis=1), high.chroma)
    logits = score(network(), [(one, 0, 6) for one in (of, fine, high)])
    assert logits == pytest.approx(logits[0], abs=1e-5)


def test_the_bar_that_an_unfinished_piece_is_in_is_not_whole() -> None:
    piece = tune(A, B, C[:3])
    assert sheet(piece).whole == 3
    assert sheet(piece, ended=False).whole == 2
    assert sheet(tune(A, B, C), ended=False).whole == 3
    assert sheet(Piece(()), ended=False).whole == sheet(Piece(())).bars == 0


@settings(max_examples=25)
@example(Piece((Note(3 * MOST_BARS, 60, 3, 1),), 12, (Meter(0, 1, 16),)))  # its one note is after all bars read
@given(pieces())
def test_any_piece_has_a_sheet_within_its_bounds_and_a_finite_logit(piece: Piece) -> None:
    of = sheet(piece)
    assert of.bars == min(MOST_BARS, len(list(piece.tuned.bars())))
    assert np.all(of.notes >= 0)
    assert np.all(of.notes < NOTE_IDS)
    assert np.all((of.alike >= 0) & (of.alike <= 1))
    if of.bars:
        assert np.isfinite(score(network(), [(of, max(0, of.bars - BARS), of.bars)])).all()


def test_a_window_knows_nothing_of_what_is_outside_it() -> None:
    inside = [A, B, C, D, A]
    alone, among = sheet(tune(*inside)), sheet(tune(*inside, C, C), ended=False)
    alone = replace(alone, ended=False)
    assert score(network(), [(among, 0, 5)]) == pytest.approx(score(network(), [(alone, 0, 5)]), abs=1e-6)
    # Nor do windows beside it change its logit.
    others = [(sheet(tune(*[D] * 12)), 0, 12), (among, 2, 7)]
    assert score(network(), [(among, 0, 5), *others])[0] == pytest.approx(
        score(network(), [(among, 0, 5)])[0], abs=1e-5
    )


def test_dropout_is_a_function_of_its_generator() -> None:
    windows = [(sheet(tune(A, B, C, D)), 0, 4)]
    plain, one, again, other = (
        float(network()(batch(windows), None if seed is None else torch.Generator().manual_seed(seed))[0])
        for seed in (None, 1, 1, 2)
    )
    assert one == again
    assert len({plain, one, other}) == 3


def critic(seed: int = 1, ranks: Ranks | None = None) -> Critic:
    ranks = ranks or Ranks({}, {})
    return Critic(network(seed), Sizes(4, 8, 8, 0.3), ranks, ranks, {})


def test_what_bars_add_sums_to_the_logit_of_their_window() -> None:
    of = sheet(tune(*[A, B, C, D] * 4), ended=False)
    (bars,) = critic().bars([of])
    assert len(bars) == 16
    assert sum(bars) == pytest.approx(float(critic().logits([of])[0]), abs=1e-4)


def test_a_score_is_the_mean_over_windows_as_if_the_piece_went_on() -> None:
    long = sheet(tune(*[A, B, C, D, B, A, D] * 5))
    open_end = replace(long, ended=False)
    expected = score(network(), [(open_end, end - BARS, end) for end in (16, 24, 32, 35)]).mean()
    assert critic().scores([long]) == pytest.approx(expected, abs=1e-6)
    assert critic().scores([long], 9) == pytest.approx(score(network(), [(open_end, 0, 9)]), abs=1e-6)
    assert np.isnan(critic().scores([sheet(Piece(()))])).all()


def test_ranks_count_what_is_below_and_halve_ties() -> None:
    ranks = Ranks.of({2: [float(n) for n in range(40)], 8: [0.0] * 10}, [[0.0, 1.0, 1.0], [2.0, 3.0]])
    assert [ranks.cut(bars) for bars in (1, 2, 7, 100)] == [2, 2, 2, 2]  # of 8 bars too few are known
    assert ranks.of_piece(20.0, 2) == pytest.approx(20.5 / 40)
    assert (ranks.of_piece(-1.0, 2), ranks.of_piece(99.0, 2), ranks.of_piece(0.0, 5)) == (0.0, 1.0, None)
    first, later = ranks.of_bars([1.0, 1.0])
    assert first == 0.5
    assert later == pytest.approx((0 + 51) / 202, abs=0.01)
    again = Ranks.read(json.loads(json.dumps(ranks.document())))
    assert again.of_piece(20.0, 2) == ranks.of_piece(20.0, 2)
    assert again.of_bars([1.0, 1.0]) == ranks.of_bars([1.0, 1.0])


def test_a_held_out_score_ranks_evenly() -> None:
    scores = np.random.default_rng(1).normal(size=200)
    ranks = Ranks.of({4: scores.tolist()}, [])
    found = [ranks.of_piece(float(one), 4) for one in scores]
    assert sorted(found) == pytest.approx((np.arange(200) + 0.5) / 200)  # type: ignore[type-var]


def test_the_figures_of_training_are_those_of_their_names() -> None:
    real, generated = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0])
    assert training.area(real, generated) == pytest.approx((0.75 + 1 + 1) / 3)
    assert training.cross_entropy(np.zeros(5), np.zeros(3)) == pytest.approx(math.log(2))
    rng = np.random.default_rng(0)
    p, g = rng.normal(1.0, 1.0, 40_000), rng.normal(0.0, 1.0, 40_000)
    ideal = [x - 0.5 for x in (p, g)]  # the log-ratio of N(1, 1) and N(0, 1)
    assert training.bound(*ideal) == pytest.approx(0.5, abs=0.05)  # their KL divergence
    assert training.calibrated(*(3 * x for x in ideal)) == pytest.approx(1 / 3, rel=0.06)


def music(seed: int) -> training.Music:
    """Tunes with a form, and the very bars of tunes in a random order."""
    dice = random.Random(seed)

    def shuffled(piece: Piece) -> Piece:
        order = dice.sample(range(16), 16)
        notes = [replace(note, onset=note.onset % BAR + BAR * order[note.onset // BAR]) for note in piece.notes]
        return replace(piece, notes=tuple(sorted(notes)))

    def read(first: int, *, broken: bool) -> list[Sheet]:
        made = [made_up(number) for number in range(first, first + 40)]
        return [sheet(shuffled(piece) if broken else piece) for piece in made]

    return training.Music(*(read(100 * part, broken=part % 2 == 1) for part in range(6)))


def fitted(config: CriticConfig, seed: int) -> dict[str, float]:
    made = network().requires_grad_(True)
    return training.fit(made, music(1), config, torch.Generator().manual_seed(seed), lambda text: None)


def test_it_learns_form() -> None:
    told = fitted(replace(TINY, epochs=3, windows=480, learning_rate=1e-2), 1)
    assert told["auc"] > 0.9
    assert told["bound"] > 0.5


def test_training_is_a_function_of_its_seed() -> None:
    config = replace(TINY, epochs=1, windows=64)
    first, again, other = (fitted(config, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_bars_in_which_the_last_note_sounds_on_have_a_rank_too() -> None:
    piece = Piece((Note(0, 60, 12), Note(48, 62, 150)))
    assert len(critic().by_bar(piece)) == len(bars_of(piece)) == 5
    assert critic().by_bar(Piece(())) == []


def test_a_saved_critic_is_the_same_and_a_damaged_one_is_refused_in_a_line(tmp_path: Path) -> None:
    assert Critic.open(tmp_path) is None
    ranks = Ranks.of({LAGS: [1.0, 2.0]}, [[0.5]])
    critic(ranks=ranks).save(tmp_path)
    opened = Critic.open(tmp_path)
    assert opened is not None
    of = [sheet(tune(A, B))]
    assert opened.logits(of).tolist() == critic().logits(of).tolist()
    assert opened.real.of_piece(1.5, LAGS) == 0.5
    path = tmp_path / "checkpoints" / "critic.json"
    whole = json.loads(path.read_bytes())
    for key, value in (
        ("ranks", {"real": {"pieces": {"4": ["x"]}, "bars": {}}, "generated": {}}),
        ("sizes", {"embedding": 10**9, "channels": 8, "hidden": 8, "dropout": 0.3}),
        ("sizes", {"embedding": 4, "channels": 8, "hidden": 9, "dropout": 0.3}),
        ("sizes", "none"),
        ("told", 5),
    ):
        path.write_text(json.dumps({**whole, key: value}))
        with pytest.raises(RunError, match="cannot be read") as refused:
            Critic.open(tmp_path)
        assert "\n" not in str(refused.value)


def test_bars_are_ranked_by_the_network_of_misfits_where_there_is_one(tmp_path: Path) -> None:
    fitting = Misfits(4, 8, 8, 0.3)
    fitting.initialise(torch.Generator().manual_seed(2))
    fitting.requires_grad_(False)
    ranks = Ranks.of({1: [0.0]}, [np.linspace(-1, 1, 100).tolist()])
    with_it = Critic(network(), Sizes(4, 8, 8, 0.3), ranks, ranks, {}, fitting)
    without = critic(ranks=ranks)
    long = sheet(tune(*[A, B, C, D, B, A, D] * 5))
    assert without.fits([long]) == without.bars([long])
    # 35 bars: windows end at 16, 24, 32 and 35, and what a bar gets in each counts alike.
    open_end = replace(long, ended=False)
    spans = [(end - BARS, end) for end in (16, 24, 32, 35)]
    said = misfits(fitting, [(open_end, *span) for span in spans])
    for bar in (0, 9, 20, 34):
        own = [row[bar - start] for row, (start, end) in zip(said, spans, strict=True) if start <= bar < end]
        assert with_it.fits([long])[0][bar] == pytest.approx(-np.mean(own), abs=1e-5)
    # What weighs music is the same with it and without, and it is kept with the rest.
    assert with_it.logits([long]).tolist() == without.logits([long]).tolist()
    for name, saved in (("new", with_it), ("from before it", without)):
        saved.save(tmp_path / name)
        opened = Critic.open(tmp_path / name)
        assert opened is not None
        assert opened.fits([long]) == saved.fits([long])
        assert opened.logits([long]).tolist() == saved.logits([long]).tolist()


def test_a_run_learns_its_critic_once_and_anew_when_its_generator_changes(tmp_path: Path) -> None:
    made = random_run.make_run(tmp_path, "pitch_grid")
    tokenizer = tokenizers.create("pitch_grid", {}, 12)
    splits(tokenizer, 12, 24).save(made / "tokens.npz")
    (made / "config.toml").write_text(
        "[critic]\nnegatives = 16\nheld_out = 16\nepochs = 1\nwindows = 32\nbar_windows = 32\n"
        "[tokenizer]\nname = 'pitch_grid'\n[[phase]]\nmethod = 'mle'\n"
    )
    assert training.due(made)
    learnt = training.learn(made, lambda text: None)
    assert not training.due(made)
    opened = Critic.open(made)
    assert opened is not None
    assert (opened.told, opened.told["generator"]) == (learnt.told, "best")
    assert opened.judge(tune(A, B, C)) == learnt.judge(tune(A, B, C))
    tensors, document = checkpoint.load(made, "best")
    other = {name: 2 * tensor for name, tensor in tensors.items()}
    checkpoint.save(made, "best", other, {"generator": document["generator"]})
    assert training.due(made)
    (made / "config.toml").write_text("[critic]\nnegatives = 0\n[[phase]]\nmethod = 'mle'\n")
    assert not training.due(made)


def test_weights_that_give_no_numbers_are_told() -> None:
    broken = network()
    for weight in broken.parameters():
        weight.data.fill_(1e38)
    of = sheet(tune([0, 2, 4, 5], [7, 5, 4, 2]))
    with pytest.raises(RunError, match="give no numbers"):
        score(broken, [(of, 0, of.bars)])


def test_a_generator_that_writes_no_notes_is_told(tmp_path: Path) -> None:
    made = random_run.make_run(tmp_path)
    splits(tokenizers.create("note_event", {}, 12), 12, 24).save(made / "tokens.npz")
    (made / "config.toml").write_text("[critic]\nnegatives = 1\nheld_out = 1\n[[phase]]\nmethod = 'mle'\n")
    with pytest.raises(RunError, match="learnt too little for a critic: by itself it writes no notes"):
        training.learn(made, lambda text: None)


def test_a_row_of_an_evaluation_is_what_the_critic_leaves_of_a_generator(tmp_path: Path) -> None:
    tokenizer = tokenizers.create("pitch_grid", {}, 12)
    generator = checkpoint.load_generator(random_run.make_run(tmp_path, "pitch_grid"), "best")

    class Likes(Critic):
        """A critic to whom every low note is worth 2 nats."""

        def logits(self, sheets: Sequence[Sheet]) -> np.ndarray:
            return np.array([2.0 * float(of.chroma[:, 0].sum()) for of in sheets])

    likes = Likes(network(), Sizes(4, 8, 8, 0.3), Ranks({}, {}), Ranks({}, {}), {})

    def share(particles: int) -> float:
        source = CriticSource(generator, tokenizer, likes, particles, block=4)
        drawn = source.draw(24, 16, 1.0, torch.Generator().manual_seed(3))
        again = source.draw(24, 16, 1.0, torch.Generator().manual_seed(3))
        assert [row.tolist() for row in drawn.rows] == [row.tolist() for row in again.rows]
        assert {len(row) for row in drawn.rows} == {16}
        notes = [note for row in drawn.rows for note in tokenizer.decode(row.tolist()).piece.notes]
        return sum(note.pitch % 12 == 0 for note in notes) / len(notes)

    assert share(16) > 2 * share(1)
    for impossible in (-1, 10_000):
        with pytest.raises(ConfigError, match=r"must be 0 \(without it\) to"):
            check_particles(impossible)


@pytest.mark.parametrize(
    ("name", "options", "grid"),
    [
        ("note_event", {}, 12),
        ("note_event", {"keys": True, "returns": 8, "velocity_bins": 3}, 4),
        ("ensemble", {"velocity_bins": 3}, 12),
        ("performance", {}, 12),
        ("pitch_grid", {"rest": False}, 12),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_to_read_on_is_to_read_anew(name: str, options: dict[str, object], grid: int, seed: int) -> None:
    rng, one = random.Random(seed), critic()
    tokenizer = tokenizers.create(name, options, grid)
    kinds = [text.partition("(")[0] for text in tokenizer.vocabulary]

    def wild(ids: list[int], count: int) -> list[int]:
        """So many ids of any kind that may come next, now and then of any at all."""
        grammar, new = tokenizer.grammar(prefix=ids), list[int]()
        while len(new) < count:
            allowed = [int(token) for token in np.flatnonzero(grammar.allowed()) if token != tokenizer.end_id]
            kind = rng.choice(sorted({kinds[token] for token in allowed}))
            token = rng.choice([token for token in allowed if kinds[token] == kind])
            new.append(token if rng.random() < 0.95 else rng.randrange(-1, len(kinds) + 1))
            if new[-1] != tokenizer.end_id:
                grammar.advance(new[-1])
            else:
                new.pop()
        return new

    prefix = wild([], seed * 40)
    readers = Readers(tokenizer, prefix)
    rows = [np.zeros(0, dtype=np.int64)] * 4
    said = set()
    for _ in range(12):
        new = [wild([*prefix, *row.tolist()], 32) for row in rows]
        rows = [np.concatenate([row, some]) for row, some in zip(rows, new, strict=True)]
        anew = [tokenizer.decode([*prefix, *row.tolist()]).piece for row in rows]
        on = readers.read(rows)
        expected = one.logits([sheet(piece, ended=False) for piece in anew])
        assert choosing.so_far(one, [read.piece(LOOKS_BACK) for read in on]) == expected.tolist()
        assert [read.piece() for read in on] == anew
        assert [read.count() for read in on] == [len(piece.notes) for piece in anew]
        said |= set(expected)
        rows = rng.choices(rows, k=4)
    assert len(said) > 12


@pytest.mark.parametrize("name", ["note_event", "ensemble", "performance", "pitch_grid"])
def test_to_read_on_hears_what_began_long_before(name: str) -> None:
    tokenizer, one = tokenizers.create(name, {}, 12), critic()
    bars = [Note(48 * bar + 12 * beat, 60 + 3 * beat + bar % 5, 12) for bar in range(40) for beat in range(3)]
    held, struck = Note(0, 40, 48 * 50), [Note(0, 40, 48 * 50), Note(48 * 3, 40, 12)]
    drums = [Note(12 * beat, 38, 12, instrument=DRUMS) for beat in range(4 * 40)]
    for notes in ([*bars, held], [*bars, *struck], [*bars[:30], *drums], drums, [*bars[:30], *bars[90:], *drums]):
        row = [token for ids in tokenizer.encode(Piece(tuple(sorted(notes)))) for token in ids]
        reader = tokenizer.reader()
        for start in range(0, len(row), 17):
            reader.read(row[start : start + 17])
            piece = tokenizer.decode(row[: start + 17]).piece
            so_far = one.logits([sheet(piece, ended=False)]).tolist()
            assert choosing.so_far(one, [reader.piece(LOOKS_BACK)]) == so_far


def test_of_a_piece_however_long_the_last_bars_are_judged() -> None:
    short, one = tune(*[A, B, C, D] * 25), critic()
    longer = tune(*[A, B, C, D] * 300)
    assert sheet(longer, ended=False, last=LOOKS_BACK).before == 1200 - LOOKS_BACK
    assert choosing.so_far(one, [longer]) == choosing.so_far(one, [short])  # after 64 bars no number is told


def test_weakest_bars_and_weights_are_of_the_pieces_own_bars() -> None:
    piece, long = tune(A, B, A, D, C), tune(*[A, B, C, D, B, A, D] * 3)
    ranks = Ranks.of({1: [0.0]}, [[number / 50 - 1 for number in range(100)]])
    one = critic(ranks=ranks)
    order = sorted(range(5), key=one.by_bar(piece).__getitem__)
    assert choosing.weakest(one, piece, 2) == sorted(bar + 1 for bar in order[:2])
    assert choosing.weakest(one, piece, 9) == [1, 2, 3, 4, 5]
    assert choosing.weakest(one, piece, 9, after=3) == [4, 5]
    # A piece weighs what all its bars add, whether or not longer ones are weighed beside it.
    assert choosing.whole(one, [piece, long])[0] == pytest.approx(choosing.whole(one, [piece])[0], abs=1e-4)
    assert choosing.so_far(one, [piece]) == pytest.approx(choosing.whole(one, [piece]), abs=1e-6)
    scores = choosing.Ranking(one).scores([piece, Piece(())])
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf
