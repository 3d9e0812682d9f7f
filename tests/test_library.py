"""`import seqgan_music` as others use it: costs nothing, is documented and typed, and does what the commands do."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from made_up_music import tune
from random_run import make_run

import seqgan_music
from seqgan_music import asking, choices, cli, config
from seqgan_music.cli._pieces import _bars
from seqgan_music.errors import SeqganMusicError
from seqgan_music.music import notes
from seqgan_music.music.loading import files_of
from seqgan_music.music.notes import Note, Piece

FRONT = ROOT / "seqgan_music" / "__init__.py"
NAMES = [name for name in seqgan_music.__all__ if name != "__version__"]
CALLABLES = [name for name in NAMES if callable(getattr(seqgan_music, name))]
OWN = "seqgan_music."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose generator has random weights."""
    return make_run(tmp_path_factory.mktemp("run"), typical={"qpm": 100.0, "program": 73})


def members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """What a class defines itself, but for what is private or made by dataclasses and protocols."""
    for name, member in vars(cls).items():
        member = member.fget if isinstance(member, property) else getattr(member, "func", member)
        member = getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(member):
            yield f"{cls.__name__}.{name}", member


def functions() -> dict[str, Any]:
    """Every public function and method by its name."""
    found: dict[str, Any] = {}
    for name in CALLABLES:
        value = getattr(seqgan_music, name)
        found |= dict(members(value)) if inspect.isclass(value) else {name: value}
    return found


def test_importing_it_loads_nothing_else() -> None:
    script = (
        "import sys; before = set(sys.modules); import seqgan_music; dir(seqgan_music)\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["seqgan_music"]


def test_checkers_see_the_names_that_are_imported() -> None:
    tree = ast.parse(FRONT.read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {node.module: tuple(alias.name for alias in node.names) for node in imports}
    assert seen == {OWN + home: names for home, names in seqgan_music._HOMES.items()}
    assert sorted(seqgan_music._HOME_OF) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(seqgan_music, name)
    assert value.__module__ == OWN + seqgan_music._HOME_OF[name]
    assert name in dir(seqgan_music)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", functions())
def test_a_public_function_is_typed_and_documented(name: str) -> None:
    function = functions()[name]
    assert inspect.getdoc(function), f"{name} has no docstring"
    signature = inspect.signature(function)
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert [one for one in untyped if one not in ("self", "cls")] == []
    assert signature.return_annotation is not signature.empty


def test_what_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        seqgan_music.trian  # type: ignore[attr-defined]  # noqa: B018


def test_the_library_writes_the_files_of_the_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    primer = seqgan_music.write(tune(1, bars=4), tmp_path / "primer.mid")
    wishes = {"bars": 4, "key": "D dorian", "tempo": 90.0, "program": "flute", "primer": primer}
    run = seqgan_music.load(folder)
    for song in run.sample(2, seed=7, keep_primer=False, **wishes):  # type: ignore[arg-type]
        song.write(tmp_path / f"{song.seed}.mid")
        song.write(tmp_path / f"{song.seed}.svg")
    given = [word for name, value in wishes.items() for word in (f"--{name}", str(value))]
    outs = ["--out", str(tmp_path / "song.mid"), "--out", str(tmp_path / "song.svg")]
    line = ["sample", "--run", str(folder), *outs, "--seed", "7-8", "--no-primer", *given, "--json"]
    cli.commands.main(line, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["settings"]["primer"] == "primer.mid"
    for number, seed in enumerate((7, 8), 1):
        for suffix in ("mid", "svg"):
            ours, theirs = tmp_path / f"{seed}.{suffix}", tmp_path / f"song-{number}.{suffix}"
            assert ours.read_bytes() == theirs.read_bytes()


def test_a_piece_shows_itself_in_a_line_and_in_a_notebook(folder: Path, tmp_path: Path) -> None:
    (song,) = seqgan_music.load(folder).sample(bars=2, seed=3)
    assert repr(song) == f"<Composition: 2 bars, {len(song.piece.notes)} notes, {song.seconds:.1f} seconds, seed 3>"
    assert song._repr_svg_() == song.write(tmp_path / "song.svg").read_text(encoding="utf-8")


def test_bars_written_anew_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    theme = seqgan_music.write(tune(1, bars=8), tmp_path / "theme.mid")
    run = seqgan_music.load(str(folder))
    run.rewrite(theme, [2, 3, 8], seed=5)[0].write(tmp_path / "mended.mid")
    (other,) = run.rewrite(theme, range(1, 9), seed=5)
    assert "--keep-bars none" in other.comment
    run.vary(theme, 0.4, seed=6)[0].write(tmp_path / "like.mid")
    common = ["sample", "--run", str(folder)]
    mend = ["--primer", str(theme), "--keep-bars", "1,4-7", "--seed", "5", "--out", str(tmp_path / "song.mid")]
    vary = ["--vary", str(theme), "--distance", "0.4", "--seed", "6", "--out", str(tmp_path / "song2.mid")]
    cli.commands.main(common + mend, standalone_mode=False)
    cli.commands.main(common + vary, standalone_mode=False)
    assert (tmp_path / "mended.mid").read_bytes() == (tmp_path / "song.mid").read_bytes()
    assert (tmp_path / "like.mid").read_bytes() == (tmp_path / "song2.mid").read_bytes()


def test_a_piece_in_memory_is_a_primer_as_its_file_is(folder: Path, tmp_path: Path) -> None:
    run = seqgan_music.load(folder)
    path = seqgan_music.write(tune(2, bars=4), tmp_path / "primer.mid")
    (one,), (other,) = (run.sample(bars=2, seed=1, primer=primer) for primer in (path, seqgan_music.read(path)))
    assert one.piece == other.piece


def test_a_seed_that_is_drawn_is_told(folder: Path) -> None:
    run = seqgan_music.load(folder)
    (song,) = run.sample(bars=2)
    assert run.sample(bars=2, seed=song.seed)[0].piece == song.piece


def test_sampling_leaves_the_number_of_threads_alone(folder: Path) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seqgan_music.load(folder).sample(bars=1, seed=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda run: seqgan_music.load("no/such/run"), "no/such/run. Train one first: seqgan-music train DIR."),
        (lambda run: seqgan_music.load(Path(__file__).parent), "tests is not a run: it has no vocabulary.json."),
        (lambda run: run.sample(key="H major", seed=1), "'H major' is not a key."),
        (lambda run: run.sample(0), "count must be 1 to 10000, not 0."),
        (lambda run: run.sample(1.5), "n must be a whole number, not 1.5."),
        (lambda run: run.sample(seed="x"), "seed must be a whole number, not 'x'."),
        (lambda run: run.sample(bars=2.5), "bars must be a whole number, not 2.5."),
        (lambda run: run.sample(top_k=True), "top_k must be a whole number, not True."),
        (lambda run: run.sample(temperature="hot"), "temperature must be a number, not 'hot'."),
        (lambda run: run.sample(key=3), 'key must be text, as in key="C major", not 3.'),
        (lambda run: run.sample(density=5), 'density must be text, as in density="3-6", not 5.'),
        (lambda run: run.sample(critic=float("nan")), "critic must be True or False or a whole number, not nan."),
        (lambda run: run.sample(prefer="key=1"), "say how many with best_of"),
        (lambda run: run.sample(critic=True, seed=1), "has no critic"),
        (lambda run: run.sample(primer="no.mid", seed=1), "Primer no.mid is not there."),
        (
            lambda run: run.sample(primer=object()),
            "primer must be a path (text or Path), a Piece or a Composition,",
        ),
        (lambda run: run.rewrite(tune(1), [2.5]), "bars must be whole numbers, not 2.5."),
        (lambda run: run.rewrite(tune(1), range(2 * 10**9)), "bars has more than 1,000,000 items."),
        (lambda run: run.score(Piece(())), "The piece has no notes"),
        (lambda run: run.score(Piece((Note(0.5, 60, 6),))), "note 1 cannot be: onset must be a whole number"),
        (
            lambda run: run.score_all([tune(1)]),
            "paths must be a path (text or Path) or several of these, not a Piece.",
        ),
        (lambda run: run.evaluate(temperatures="1.0"), "temperatures must be numbers, not '1.0'."),
        (lambda run: run.report(samples=1.5), "samples must be a whole number, not 1.5."),
        (lambda run: seqgan_music.read(b"MThd"), "path must be a path (text or Path), not b'MThd'."),
        (lambda run: seqgan_music.read("no\0.mid"), "path must be a path (text or Path), not 'no\\x00.mid'."),
        (lambda run: seqgan_music.read(""), "path is empty: give a path."),
        (lambda run: seqgan_music.read_all(), "No file is given: no music there."),
        (lambda run: seqgan_music.features([3]), "or several of these, not 3."),
        (lambda run: seqgan_music.compare("no/such/run"), "runs must be several of these: a path (text or Path)"),
        (lambda run: seqgan_music.train("music/", settings={1: 2}), "settings: keys must be text"),
        (lambda run: seqgan_music.train("music/", progress=True), "progress must be a function, not True."),
        (lambda run: run.rewrite(tune(1), [17], seed=1), "There is no bar 17: the piece has 16 bars."),
        (lambda run: run.vary(tune(1), 2.0, seed=1), "distance must be 0 to 1, not 2.0."),
        (lambda run: run.score(tune(1)), "has no critic"),
        (lambda run: run.evaluate(), "is not a run: it has no config.toml"),
        (lambda run: run.resume(), "is not a run: it has no config.toml"),
        (lambda run: run.config, "is not a run: it has no config.toml"),
        (lambda run: run.pieces("tset"), "split must be train, validation or test, not 'tset'."),
        (lambda run: run.pieces(), "does not hold the music that it learnt from."),
        (lambda run: seqgan_music.read("no.mid"), "File no.mid is not there."),
        (lambda run: seqgan_music.read_all("no.mid"), "No piece could be read of no.mid"),
        (lambda run: seqgan_music.write(tune(1), "song.midd"), "Did you mean '.mid'?"),
        (lambda run: seqgan_music.train("no/such/folder", settings={"sed": 1}), "Did you mean 'seed'?"),
        (lambda run: seqgan_music.tokenizer("note_events"), "Did you mean 'note_event'?"),
        (
            lambda run: seqgan_music.tokenizer(ticks_per_beat=10**9),
            "ticks_per_beat must be a whole number, 1 to 960",
        ),
        (lambda run: seqgan_music.measure(tune(1), tune(2)), "has 1 window of 16 bars: at least 20 are needed"),
        (lambda run: seqgan_music.compare(["no/such/run"]), "Give at least two runs to compare."),
        (lambda run: seqgan_music.plug_in("no/such/parts"), "no/such/parts holds no part"),
    ],
)
def test_a_mistake_is_one_line_that_can_be_caught(folder: Path, tmp_path: Path, ask: Any, said: str) -> None:
    with pytest.raises(SeqganMusicError) as caught:
        ask(seqgan_music.load(folder))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bundled_model_is_a_run_too() -> None:
    run = seqgan_music.load("bundled")
    (song,) = run.sample(bars=2, seed=1)
    assert song.bars == 2
    assert run.config.tokenizer.name == run.tokenizer.name
    assert run.evaluation is None
    with pytest.raises(SeqganMusicError, match="does not hold the music that it learnt from"):
        run.evaluate()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    piece = tune(3)
    assert seqgan_music.read(seqgan_music.write(piece, tmp_path / "song.mid")).notes == piece.notes
    seqgan_music.write(tune(4), tmp_path / "other.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    skipped: list[str] = []
    found = seqgan_music.read_all(tmp_path, skipped=lambda path, reason: skipped.append(path.name))
    assert [one.notes for one in found] == [tune(4).notes, piece.notes]
    assert skipped == ["broken.mid"]


def test_a_set_is_at_no_distance_from_itself() -> None:
    music = [tune(seed) for seed in range(24)]
    same = seqgan_music.measure(music, music, resamples=0)
    assert same["frechet"].value == pytest.approx(0, abs=1e-6)
    assert (same["overlap"].value, same["w1"].value, same["lag_distance"].value) == pytest.approx(
        (1, 0, 0), abs=0.01
    )
    assert "copied_share" not in same
    # What is told of a set does not depend on the order of its pieces.
    other = seqgan_music.measure(music[::-1], music, training=music, resamples=0)
    assert other["frechet"].value == pytest.approx(0, abs=1e-6)
    assert other["novelty_8"].value == 0
    notes = seqgan_music.features(music)["notes_per_bar"]
    assert notes == pytest.approx(sum(len(one.notes) for one in music) / (16 * len(music)))


@given(st.sets(st.integers(1, 60)))
def test_ranges_are_read_as_they_are_written(numbers: set[int]) -> None:
    assert _bars(asking.ranges(sorted(numbers))) == sorted(numbers)


def test_numpys_numbers_and_generators_are_taken_as_what_they_are(folder: Path) -> None:
    run = seqgan_music.load(folder)
    (song,) = run.sample(bars=40, seed=3)
    small = np.uint8(40)
    assert run.sample(np.int64(1), bars=small, seed=np.int8(3))[0] == song  # type: ignore[arg-type]
    (once,) = run.rewrite(song, (bar for bar in (1, 2)), seed=1)
    assert once == run.rewrite(song, [1, 2], seed=1)[0]
    assert once.piece.notes != song.piece.notes
    changed = {"generator.hidden": np.int64(32), "phase.mle.learning_rate": np.float64(0.5)}
    assert config.to_toml(config.to_document(config.resolve("quick", changed))) == config.to_toml(
        config.to_document(config.resolve("quick", {"generator.hidden": 32, "phase.mle.learning_rate": 0.5}))
    )


def test_a_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert seqgan_music.write(tune(1, bars=4), "~/song.mid") == tmp_path / "song.mid"
    assert seqgan_music.read("~/song.mid").notes == tune(1, bars=4).notes
    assert [path.name for path in tmp_path.iterdir()] == ["song.mid"]


def test_the_current_folder_may_hold_the_music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a.mid", "deeper/b.mid"]
    for name in names:
        seqgan_music.write(tune(1, bars=4), name)
    assert [path.as_posix() for path in files_of([Path()])] == names
    assert len(seqgan_music.read_all(".")) == 2


def test_a_run_stays_the_same_when_the_program_changes_its_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    run = seqgan_music.load(folder.name)
    monkeypatch.chdir(tmp_path)
    assert run.sample(bars=2, seed=1)[0].piece == seqgan_music.load(folder).sample(bars=2, seed=1)[0].piece


def test_runs_and_pieces_go_to_another_process(folder: Path) -> None:
    run = seqgan_music.load(folder)
    (song,) = run.sample(bars=4, seed=5)
    there = pickle.loads(pickle.dumps(run))
    assert (there.folder, there.sample(bars=4, seed=5)) == (run.folder, [song])
    assert pickle.loads(pickle.dumps([song, song.piece])) == [song, song.piece]


def test_a_scan_says_why_it_cannot_go_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path / "cache"))
    seqgan_music.write(tune(1), tmp_path / "music" / "tune.mid")
    found = seqgan_music.scan(tmp_path / "music")
    assert repr(found) == f"<Scan of {tmp_path / 'music'}: 1 piece of 1 file>"
    with pytest.raises(TypeError, match="Scan the folder again there"):
        pickle.dumps(found)


def test_one_run_writes_the_same_from_several_threads(folder: Path) -> None:
    run = seqgan_music.load(folder)
    expected = [run.sample(bars=8, seed=seed) for seed in range(6)]
    fresh = seqgan_music.load(folder)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda seed: fresh.sample(bars=8, seed=seed), range(6))) == expected


def test_torchs_shared_random_numbers_are_left_to_the_program(folder: Path) -> None:
    import torch

    from seqgan_music.config import ChoiceConfig, GeneratorConfig
    from seqgan_music.critic.network import Misfits, Network
    from seqgan_music.learning import discriminators
    from seqgan_music.learning.generator import Generator

    before = torch.get_rng_state()
    seqgan_music.load(folder).sample(bars=1, seed=1)
    Generator(9, 9, GeneratorConfig(embedding=4, hidden=8))
    for name in ("cnn", "recurrent", "repetition"):
        discriminators.create(ChoiceConfig(name), 9, 32)
    Network(4, 4, 8, 0.0)
    Misfits(4, 4, 8, 0.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_printed_of_a_piece_is_short() -> None:
    assert len(repr(tune(1, bars=400))) < 1000
    assert eval(repr(tune(1, bars=1)), vars(notes)) == tune(1, bars=1)
    assert repr(seqgan_music.tokenizer("pitch_grid")).startswith("<pitch_grid: ")


def test_only_public_names_are_completed() -> None:
    assert [name for name in dir(seqgan_music) if not name.startswith("__")] == sorted(NAMES)


def test_a_configuration_may_come_as_anything() -> None:
    changed = {"generator.hidden": 128, "phase.mle.updates": 500, "tokenizer.returns": 0}
    expected = config.load("quick", [f"{key}={value}" for key, value in changed.items()])
    path = ROOT / "configs" / "quick.toml"
    document = config.to_document(config.load("quick"))
    kept = json.dumps(document)
    for given_as in ("quick", path, str(path), document, config.load("quick")):
        assert config.resolve(given_as, changed) == expected
    assert json.dumps(document) == kept
    assert "quick" in seqgan_music.presets()


def test_parts_of_others_are_found_and_take_no_name_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqgan_music.music import objectives

    monkeypatch.setattr(objectives, "__path__", list(objectives.__path__))
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "my_taste.py").write_text("class MyTaste:\n    unit = 'smiles'\n")
    assert seqgan_music.plug_in(tmp_path) == ["objectives/my_taste"]
    assert seqgan_music.plug_in(tmp_path) == ["objectives/my_taste"]
    assert choices.load("seqgan_music.music.objectives", "my_taste", "objective").unit == "smiles"
    assert "my_taste" in objectives.names()
    other = tmp_path / "other"
    (other / "objectives").mkdir(parents=True)
    (other / "objectives" / "key.py").write_text("")
    with pytest.raises(SeqganMusicError, match=r"key\.py: there is a 'key' already"):
        seqgan_music.plug_in(other)
    sys.modules.pop("seqgan_music.music.objectives.my_taste")
