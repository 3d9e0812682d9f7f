"""The taste model: it learns what simulated listeners like, says what it does not know, and survives its file."""

from __future__ import annotations

import json
import math
import random
import sys
from functools import lru_cache
from pathlib import Path

import made_up_music
import numpy as np
import pytest
from report_run import make_critic
from tunes import tune, write

from seqgan_music import cli, preference
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.music import note_tables, objectives, tokenizers, vocabulary
from seqgan_music.music.metrics import features
from seqgan_music.music.metrics.features import NAMES, Scaling
from seqgan_music.music.notes import Note, Piece
from seqgan_music.preference import ratings, taste
from seqgan_music.preference.examples import cut, examples
from seqgan_music.preference.ranking import Ranking
from seqgan_music.preference.ratings import Rating


def random_piece(seed: int) -> Piece:
    """Eight bars whose register, density, step size and repetition vary independently."""
    dice = random.Random(seed)
    pitch, wide, gap = dice.randrange(48, 80), dice.choice([1, 2, 3, 5, 8]), dice.choice([3, 6, 6, 12, 12])
    returning, bars = dice.random(), []
    for _ in range(8):
        if bars and dice.random() < returning:
            bars.append(bars[dice.randrange(len(bars))])
            continue
        bar = []
        for at in range(0, 48, gap):
            pitch = min(max(pitch + dice.randint(-wide, wide), 36), 96)
            bar.append((at, pitch, gap))
        bars.append(bar)
    return Piece(
        tuple(Note(48 * number + at, p, length) for number, bar in enumerate(bars) for at, p, length in bar)
    )


PIECES = [random_piece(seed) for seed in range(260)]
TABLE = features.feature_table(PIECES)
SCALING = Scaling.of(TABLE)
REMEMBERED = lru_cache(maxsize=None)(features.features)


@pytest.fixture(autouse=True)
def _features_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "features", REMEMBERED)


def column(name: str) -> np.ndarray:
    values = TABLE[:, NAMES.index(name)]
    return (values - values.mean()) / values.std()


LISTENERS = {
    "steps": column("step_share"),
    "dense": column("notes_per_bar"),
    "high": column("pitch_mean"),
    "calm and low": -column("notes_per_bar") - column("pitch_mean"),
}


def accuracy(utility: np.ndarray, count: int, seed: int) -> float:
    """Share of pairs of new pieces in order after `count` thumbs of a listener who errs near the middle."""
    rng = np.random.default_rng(seed)
    liked = rng.random(len(PIECES)) < 1 / (1 + np.exp(-3 * (utility - np.median(utility))))
    order = rng.permutation(len(PIECES))
    rated, new = order[:count], order[-150:]
    found = taste.fitted([Rating(PIECES[i], bool(liked[i])) for i in rated], SCALING).scores(
        [PIECES[i] for i in new]
    )
    first, second = np.triu_indices(len(new), 1)
    better = utility[new][first] > utility[new][second]
    return float(np.mean((found[first] > found[second]) == better))


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_known_taste_is_learnt_and_better_from_more_ratings(listener: str) -> None:
    few, many = (np.mean([accuracy(LISTENERS[listener], count, seed) for seed in range(4)]) for count in (10, 80))
    assert few > 0.58
    assert many > 0.8
    assert many > few


def test_thumbs_at_random_teach_nothing_and_it_says_so() -> None:
    rng = np.random.default_rng(3)
    found = taste.fitted([Rating(piece, bool(rng.random() < 0.5)) for piece in PIECES[:60]], SCALING)
    assert found.told_apart < 0.65
    assert "fairly sure" not in found.describe()
    sure = taste.fitted(
        [Rating(p, bool(u > 0)) for p, u in zip(PIECES[:60], LISTENERS["dense"], strict=False)], SCALING
    )
    assert sure.told_apart > 0.85
    assert "fairly sure" in sure.describe()
    spread = [np.abs(one.scores(PIECES[60:160]) - 0.5).mean() for one in (found, sure)]
    assert spread[0] < 0.6 * spread[1]


def test_the_posterior_is_the_one_that_an_integral_gives() -> None:
    """One feature, one rating: moments of the posterior on a grid."""
    x = np.array([[1.5, 1.0]])
    weights, spread = taste._posterior(x, np.array([1.0]))
    grid = np.linspace(-8, 8, 801)
    w, b = np.meshgrid(grid / 2, grid)
    log = -2.5 * w**2 - 0.5 * b**2 - np.log1p(np.exp(-(1.5 * w + b)))
    density = np.exp(log - log.max())
    best = np.unravel_index(log.argmax(), log.shape)
    assert weights == pytest.approx([w[best], b[best]], abs=0.02)
    mean = [(density * v).sum() / density.sum() for v in (w, b)]
    assert weights == pytest.approx(mean, abs=0.06)
    assert spread[1, 1] == pytest.approx((density * (b - mean[1]) ** 2).sum() / density.sum(), rel=0.1)


@pytest.mark.parametrize("liked", [[], [True], [True] * 30, [False] * 8, [True] * 9 + [False]])
def test_few_or_one_sided_ratings_leave_every_piece_the_same(liked: list[bool]) -> None:
    found = taste.fitted([Rating(piece, thumb) for piece, thumb in zip(PIECES, liked, strict=False)])
    assert found.neutral
    assert found.scores(PIECES[30:40]).tolist() == [0.5] * 10
    assert "every piece counts the same" in found.describe()
    assert math.isnan(found.told_apart)


def test_uncertainty_draws_scores_to_a_half() -> None:
    few = taste.fitted(
        [Rating(piece, bool(u > 0)) for piece, u in zip(PIECES[:6], LISTENERS["dense"], strict=False)]
    )
    many = taste.fitted([Rating(p, bool(u > 0)) for p, u in zip(PIECES[:100], LISTENERS["dense"], strict=False)])
    few_off, many_off = (np.abs(one.scores(PIECES[100:200]) - 0.5).mean() for one in (few, many))
    assert few_off < many_off


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with music in it, and no model: a taste needs none."""
    folder = tmp_path / "jigs"
    folder.mkdir()
    tokenizer = tokenizers.create("note_event", {}, 12)
    (folder / "config.toml").write_text("[[phase]]\nmethod = 'mle'\n")
    made_up_music.splits(tokenizer, 12, 4).save(folder / "tokens.npz")
    vocabulary.save(tokenizer, folder / "vocabulary.json")
    return folder


def rate(run: Path, count: int = 12) -> None:
    for piece, utility in zip(PIECES[:count], LISTENERS["dense"], strict=False):
        ratings.add(run, piece, bool(utility > 0))


def test_what_was_fitted_is_loaded_again(run: Path) -> None:
    assert preference.load(run) is None
    assert preference.fit(run).neutral
    rate(run)
    fitted = preference.fit(run)
    loaded = preference.load(run)
    assert loaded is not None
    assert loaded.of_run
    assert loaded.scores(PIECES[20:30]).tolist() == fitted.scores(PIECES[20:30]).tolist()
    assert loaded.describe() == fitted.describe()
    (run / "tokens.npz").unlink()  # the scaling of the last fit is kept
    assert preference.fit(run).scores(PIECES[20:30]).tolist() == fitted.scores(PIECES[20:30]).tolist()
    (run / "preference.json").unlink()
    assert not preference.fit(run).of_run


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format=1),
        lambda d: d.update(features="features-v0"),
        lambda d: d["mean"].pop(),
        lambda d: d["weights"].__setitem__(0, float("nan")),
        lambda d: d["sigma"].__setitem__(0, 0.0),
        lambda d: d["spread"][0].__setitem__(0, -1.0),
        lambda d: d["mean"].__setitem__(0, 10**400),
        lambda d: d.update(up="many"),
        lambda d: d.update(up=10**400),
        lambda d: d.pop("weights"),
        lambda d: d.clear(),
    ],
)
def test_a_damaged_file_is_one_line_and_the_next_fit_mends_it(run: Path, change: object) -> None:
    rate(run)
    preference.fit(run)
    document = json.loads((run / "preference.json").read_text())
    change(document)  # type: ignore[operator]
    (run / "preference.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"preference\.json cannot be read"):
        preference.load(run)
    preference.fit(run)
    assert preference.load(run) is not None


# Ranking.


def test_a_ranking_is_the_weighted_mean_of_objectives_and_taste(run: Path) -> None:
    rate(run, 20)
    liked = preference.fit(run)
    ranking = Ranking.open("range=1,range.target=12,liked=3", run)
    some = PIECES[30:40]
    ranges = objectives.Mix.of({"range": {"weight": 1, "target": 12}}).ranks(note_tables.of_pieces(some))
    assert ranking.scores(some) == pytest.approx((ranges + 3 * liked.scores(some)) / 4)
    assert ranking.notes == [liked.describe()]
    assert list(ranking.parts(some)) == ["range", "liked"]


def test_targets_are_those_of_the_runs_music_at_the_candidates_length(run: Path) -> None:
    pieces = examples(run, 200)
    assert len(pieces) == 12
    measure = objectives.create("repetition", {"target": 0}).measure
    for bars in (4, 16):
        median = np.median(measure(note_tables.of_pieces([cut(piece, bars) for piece in pieces])))
        best = Ranking.open("repetition=1", run, bars).scores([made_up_music.tune(5, bars)])
        target = objectives.create("repetition", {"target": round(float(median), 4)})
        own = target.score(target.measure(note_tables.of_pieces([made_up_music.tune(5, bars)])))
        assert best == pytest.approx(own)


def test_cut() -> None:
    piece = Piece((Note(0, 60, 100), Note(47, 62, 12), Note(48, 64, 1)))
    assert cut(piece, 1).notes == (Note(0, 60, 48), Note(47, 62, 1))
    assert cut(piece, 2) == piece


def test_the_critics_rank_among_the_generators_own_pieces_can_be_mixed_in(run: Path) -> None:
    with pytest.raises(RunError, match="has no critic yet"):
        Ranking.open("critic=1", run)
    critic = make_critic()
    critic.save(run)
    some = PIECES[:6]
    ranks = [judged.generated for judged in map(critic.judge, some) if judged is not None]
    assert Ranking.open("critic=1", run).scores(some) == pytest.approx(ranks)
    ranges = objectives.Mix.of({"range": {"weight": 1, "target": 12}}).ranks(note_tables.of_pieces(some))
    mixed = Ranking.open("critic=3,range=1,range.target=12", run).scores(some)
    assert mixed == pytest.approx((3 * np.array(ranks) + ranges) / 4)


def test_liked_without_ratings_is_neutral_and_says_so(run: Path) -> None:
    ranking = Ranking.open("liked=1", run)
    assert ranking.scores(PIECES[:3]).tolist() == [0.5] * 3
    assert "No piece of this run is rated yet" in ranking.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("likd=1", "no objective 'likd'. Did you mean 'liked'?"),
        ("liked=-1", "weight of objective 'liked' must be 0 to 100"),
        ("liked=much", "weight of objective 'liked' must be 0 to 100"),
        ("liked.target=1", "takes a weight and nothing else"),
        ("critic.bars=1", "'critic' takes a weight and nothing else"),
        ("key=0,liked=0", "nothing to prefer"),
        ("key.target=1", "has no weight"),
    ],
)
def test_a_ranking_that_cannot_be_is_refused(run: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Ranking.open(text, run)
    assert message in str(caught.value)


def test_a_run_without_its_music_needs_targets(run: Path) -> None:
    (run / "tokens.npz").unlink()
    with pytest.raises(ConfigError, match=r"jigs came without its music: give a target, as in key\.target="):
        Ranking.open("key=1", run)
    assert Ranking.open("key=1,key.target=1,ending=1", run).scores([PIECES[0]]).shape == (1,)


def test_rate(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, **{f"tune{seed}": tune(seed) for seed in range(4)})
    files = [str(tmp_path / f"tune{seed}.mid") for seed in range(4)]

    def command(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", "rate", "--run", str(run), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    assert "until there are 2 of each" in command(*files[:2], "--up")[1]
    assert "Taste learnt from 2 up and 2 down" in command(*files[2:], "--down")[1]
    assert [rating.liked for rating in ratings.load(run)] == [True, True, False, False]
    for arguments, message in [
        ([files[0]], "Say --up, --down or --remove, one of them"),
        ([files[0], "--up", "--remove"], "Say --up, --down or --remove, one of them"),
        ([files[0], str(tmp_path / "none.mid"), "--up"], "none.mid is not there"),
        ([str(run / "config.toml"), "--up"], "is of no known kind"),
        ([files[0], "--up", "--run", str(tmp_path)], "is not a run"),
    ]:
        code, said = command(*arguments)
        assert code == 2
        assert message in said
    assert len(ratings.load(run)) == 4  # a file that cannot be read costs no half
    assert "until there are 2 of each" in command(files[2], "--remove")[1]
    assert [rating.liked for rating in ratings.load(run)] == [True, True, False]
    assert command(files[2], "--remove") == (2, f"seqgan-music: {run} has no rating of this music.\n")
