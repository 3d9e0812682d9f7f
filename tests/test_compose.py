"""From a run and controls to pieces: what is asked for is what comes, to the bar, the key and the seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_run import make_run, teach

from seqgan_music.compose import (
    Composer,
    Controls,
    Key,
    Primer,
    bars_of,
    check_seeds,
    compose,
    find_run,
    newest_run,
    runs,
)
from seqgan_music.compose import (
    composer as composing,
)
from seqgan_music.errors import ConfigError, InputError, RunError
from seqgan_music.music import tokenizers
from seqgan_music.music.drafting import Draft, Ending
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import HIGHEST_PITCH, LOWEST_PITCH, Meter, Note, Piece, Tempo

TOKENIZERS = ["note_event", "performance", "pitch_grid"]
MAJOR = {0, 2, 4, 5, 7, 9, 11}
# Three bars of 3/4 and one beat: the primer ends inside its fourth bar.
TUNE = Piece(
    tuple(Note(12 * beat, 60 + (5 * beat) % 12, 12) for beat in range(10)),
    meters=(Meter(0, 3, 4),),
    tempos=(Tempo(0, 90.0),),
    program=40,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def composers(folder: Path) -> dict[str, Composer]:
    return {name: Composer.open(make_run(folder / name, name)) for name in TOKENIZERS}


@pytest.fixture(scope="module")
def composer(composers: dict[str, Composer]) -> Composer:
    return composers["note_event"]


@pytest.fixture(scope="module")
def tune(folder: Path) -> Path:
    write_midi(TUNE, folder / "tune.mid")
    return folder / "tune.mid"


@pytest.fixture(scope="module")
def primers(composers: dict[str, Composer], tune: Path) -> dict[str, Primer]:
    return {name: composer.read_primer(tune) for name, composer in composers.items()}


@pytest.fixture(scope="module")
def primer(primers: dict[str, Primer]) -> Primer:
    return primers["note_event"]


# Length


@pytest.mark.parametrize("bars", [1, 2, 16, 120])
def test_exactly_the_bars_asked_for(composer: Composer, bars: int) -> None:
    for made in composer.compose(Controls(bars=bars), seed=1, count=2):
        assert (len(bars_of(made.piece)), made.finished, made.dropped.total()) == (bars, True, 0)


@pytest.mark.parametrize("bars", [1, 16, 120])
def test_a_grid_has_exactly_the_steps_of_its_bars(composers: dict[str, Composer], bars: int) -> None:
    (made,) = composers["pitch_grid"].compose(Controls(bars=bars), seed=1)
    assert (len(made.ids), made.finished) == (8 * bars, True)
    assert made.piece.end <= 48 * bars


def test_sixteen_bars_unless_told(composer: Composer) -> None:
    (made,) = composer.compose(seed=1)
    assert len(bars_of(made.piece)) == 16


@pytest.mark.parametrize(("seconds", "tempo"), [(0.5, 120.0), (10, 90.0), (60, 200.0)])
def test_seconds_are_kept_to_within_the_last_bar(composer: Composer, seconds: float, tempo: float) -> None:
    for made in composer.compose(Controls(seconds=seconds, tempo=tempo), seed=3, count=3):
        last_bar = bars_of(made.piece)[-1].length * 60 / (tempo * 12)
        assert made.piece.tempos == (Tempo(0, tempo),)
        assert seconds - last_bar < made.piece.seconds_at(made.piece.end) <= seconds + 1e-9


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_generator_that_will_not_end_is_stopped_and_said(
    composers: dict[str, Composer], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composing, "_TOKENS_A_BEAT", 1)
    (made,) = composers[name].compose(Controls(seconds=60, tempo=120), seed=1)
    assert (made.finished, len(made.ids)) == (False, 120 + 1)
    assert made.piece.notes


# Randomness


@pytest.mark.parametrize("name", TOKENIZERS)
def test_each_of_several_can_be_made_again_alone(composers: dict[str, Composer], name: str) -> None:
    several = composers[name].compose(Controls(bars=4, temperature=0.8, top_p=0.9), seed=5, count=3)
    assert [made.seed for made in several] == [5, 6, 7]
    for made in several:
        assert composers[name].compose(Controls(bars=4, temperature=0.8, top_p=0.9), seed=made.seed) == [made]
    assert len({made.ids for made in several}) == 3


def test_the_likeliest_token_alone_needs_no_seed(composer: Composer) -> None:
    alike = [(Controls(bars=4, top_k=1), 1), (Controls(bars=4, top_k=1), 99)]
    alike += [(Controls(bars=4, temperature=1e-4), 1), (Controls(bars=4, top_p=1e-6), 9)]
    assert len({composer.compose(controls, seed=seed)[0].ids for controls, seed in alike}) == 1


# Key


@pytest.mark.parametrize(
    ("text", "name", "signature", "classes"),
    [
        ("C major", "C major", "C major", MAJOR),
        ("A minor", "A minor", "A minor", MAJOR),
        ("f# minor", "F# minor", "F# minor", {6, 8, 9, 11, 1, 2, 4}),
        ("Bb", "Bb major", "Bb major", {10, 0, 2, 3, 5, 7, 9}),
        ("bb minor", "Bb minor", "Bb minor", {10, 0, 1, 3, 5, 6, 8}),
        ("b minor", "B minor", "B minor", {11, 1, 2, 4, 6, 7, 9}),
        ("Em", "E minor", "E minor", {4, 6, 7, 9, 11, 0, 2}),
        ("CM", "C major", "C major", MAJOR),
        ("  E flat MAJOR ", "Eb major", "Eb major", {3, 5, 7, 8, 10, 0, 2}),
        ("C♯ min", "C# minor", "C# minor", {1, 3, 4, 6, 8, 9, 11}),
        ("D dorian", "D dorian", "C major", MAJOR),
        ("Gmix", "G mixolydian", "C major", MAJOR),
        ("F-lydian", "F lydian", "C major", MAJOR),
        ("A harmonic minor", "A harmonic minor", "A minor", (MAJOR - {7}) | {8}),
    ],
)
def test_keys_as_people_write_them(text: str, name: str, signature: str, classes: set[int]) -> None:
    assert Key.parse(text) == Key(name, signature, frozenset(classes))


@given(
    tonic=st.sampled_from([letter + sign for letter in "CDEFGAB" for sign in ("", "#", "b")]),
    mode=st.sampled_from(["major", "minor", "dorian", "phrygian", "lydian", "mixolydian", "locrian"]),
)
def test_a_signature_has_the_scales_own_notes(tonic: str, mode: str) -> None:
    key = Key.parse(f"{tonic} {mode}")
    number = pretty_midi.key_name_to_key_number(key.signature)
    parent = number if number < 12 else number - 12 + 3
    assert key.pitch_classes == {(parent + degree) % 12 for degree in MAJOR}
    assert pretty_midi.note_name_to_number(f"{tonic}4") % 12 in key.pitch_classes
    assert min(key.pitches) >= LOWEST_PITCH
    assert max(key.pitches) <= HIGHEST_PITCH


@pytest.mark.parametrize("text", ["", "H major", "C banana", "g", "C majr", "Bbb", "5", "C" * 99])
def test_what_is_no_key_is_one_line_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]*'C major', 'A minor'[^\n]*$"):
        Key.parse(text)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("key", ["C major", "F# minor", "D dorian"])
def test_every_note_lies_in_the_key(composers: dict[str, Composer], name: str, key: str) -> None:
    scale = Key.parse(key)
    for made in composers[name].compose(Controls(bars=8, key=scale), seed=1, count=3):
        assert {note.pitch % 12 for note in made.piece.notes} <= scale.pitch_classes
        assert made.finished


# Primer


def test_a_primer_is_read_as_the_tokenizer_holds_it(primer: Primer) -> None:
    assert primer.piece == replace(TUNE, name="tune.mid")
    assert (primer.full_bars, primer.others) == (3, 0)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_kept_primer_opens_the_piece(
    composers: dict[str, Composer], primers: dict[str, Primer], name: str
) -> None:
    held = primers[name]
    for made in composers[name].compose(Controls(bars=5), seed=1, count=4, primer=held):
        opening = [n for n in made.piece.notes if n.onset < held.piece.notes[-1].onset]
        assert opening == list(held.piece.notes[:-1])
        if name == "note_event":
            assert len(bars_of(made.piece)) == 3 + 5
            assert bars_of(made.piece)[0].meter == (3, 4)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("key", [None, Key.parse("C# major")])
def test_without_the_primer_the_rest_of_the_same_piece_is_there(
    composers: dict[str, Composer], primers: dict[str, Primer], name: str, key: Key | None
) -> None:
    held = primers[name]
    whole = composers[name].compose(Controls(bars=5, key=key), seed=1, count=6, primer=held)
    rest = composers[name].compose(Controls(bars=5, key=key, keep_primer=False), seed=1, count=6, primer=held)
    start = sum(bar.length for bar in bars_of(held.piece)[: held.full_bars])
    for kept, new in zip(whole, rest, strict=True):
        assert kept.ids == new.ids
        moved = {(note.onset + start, note.pitch) for note in new.piece.notes}
        everything = {(note.onset, note.pitch) for note in kept.piece.notes}
        primer_notes = {(note.onset, note.pitch) for note in held.piece.notes}
        # A grid cannot tell a last note that is held on from one that is struck again.
        assert everything - primer_notes == moved - {(held.piece.end, held.piece.notes[-1].pitch)}
        assert everything >= primer_notes
        if key:
            assert {note.pitch % 12 for note in new.piece.notes} <= key.pitch_classes
        if name == "note_event":
            assert len(bars_of(new.piece)) == 5
            assert new.piece.meters[0] == Meter(0, *bars_of(kept.piece)[3].meter)


def test_an_upbeat_under_the_primers_last_chord_comes_with_its_bar(composer: Composer, tmp_path: Path) -> None:
    chord = Piece(tuple(Note(48, pitch, 48) for pitch in (60, 64, 67)))
    write_midi(replace(chord, notes=(Note(0, 60, 12), *chord.notes)), tmp_path / "chord.mid")
    held = composer.read_primer(tmp_path / "chord.mid")
    assert held.full_bars == 2
    lengths = set()
    for made in composer.compose(Controls(bars=3, keep_primer=False), seed=1, count=12, primer=held):
        upbeat = len(bars_of(made.piece)) == 4
        lengths.add(len(bars_of(made.piece)))
        assert not upbeat or any(note.onset < 48 for note in made.piece.notes)
    assert lengths == {3, 4}


def test_tempo_and_program_are_asked_for_or_the_primers_or_the_runs(
    folder: Path, composers: dict[str, Composer], primers: dict[str, Primer]
) -> None:
    primer = primers["note_event"]
    typical = Composer.open(make_run(folder / "typical", typical={"qpm": 132.5, "program": 73}))

    def of(composer: Composer, primer: Primer | None = None, **controls: float) -> tuple[float, int]:
        (made,) = composer.compose(Controls(bars=1, **controls), seed=1, primer=primer)  # type: ignore[arg-type]
        return made.piece.tempos[0].qpm, made.piece.program

    assert of(composers["note_event"]) == (120.0, 0)
    assert of(typical) == (132.5, 73)
    assert of(typical, primer=primer) == (90.0, 40)
    assert of(typical, primer=primer, tempo=61.5, program=0) == (61.5, 0)
    # A step of the paper's grid lasts 0.4 s whatever the training music's tempo.
    (made,) = composers["pitch_grid"].compose(Controls(bars=1), seed=1)
    assert made.piece.seconds_at(6) == pytest.approx(0.4)
    # What was learnt in seconds is played in seconds, whatever tempo the files had.
    played = Composer.open(make_run(folder / "played", "performance", typical={"qpm": 132.5, "program": 0}))
    assert of(played)[0] == of(played, primer=primers["performance"])[0] == 120.0


def test_primers_that_cannot_be_used_are_one_line(composer: Composer, tmp_path: Path) -> None:
    (tmp_path / "broken.mid").write_bytes(b"MThd, or so it says")
    write_midi(Piece(()), tmp_path / "silent.mid")
    (tmp_path / "text.txt").write_text("la la la")
    (tmp_path / "folder.mid").mkdir()
    for name, message in {
        "missing.mid": "is not there",
        "folder.mid": "is a folder",
        "text.txt": "is of no known kind. Kinds: .abc",
        "broken.mid": "cannot be used: ",
        "silent.mid": "cannot be used: no notes",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            composer.read_primer(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


# Runs


def test_controls_that_cannot_be_are_one_line() -> None:
    for controls, message in (
        ({"temperature": 0.0}, "temperature must be above 0 and at most 100, not 0.0."),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": float("inf")}, "temperature must be"),
        ({"top_k": -1}, "top-k must be 0 (off) or more, not -1."),
        ({"top_p": 0.0}, "top-p must be above 0 and at most 1, not 0.0."),
        ({"top_p": 1.01}, "top-p must be"),
        ({"bars": 0}, "bars must be 1 to 10000, not 0."),
        ({"bars": 10_001}, "bars must be"),
        ({"seconds": 0.0}, "seconds must be above 0 and at most 7200, not 0.0."),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"bars": 4, "seconds": 4.0}, "Give bars or seconds, not both."),
        ({"tempo": 9.9}, "tempo must be 10 to 400 quarter notes a minute, not 9.9."),
        ({"tempo": float("nan")}, "tempo must be"),
        ({"program": 128}, "program must be 0 to 127, not 128."),
        ({"max_copy": 1}, "max-copy must be 2 to 1000, not 1."),
    ):
        with pytest.raises(ConfigError) as caught:
            Controls(**controls)  # type: ignore[arg-type]
        assert str(caught.value).startswith(message)


def test_seeds_that_cannot_be_are_refused_before_the_run_is_looked_at() -> None:
    for seed, count, message in (
        (1, 0, "count must be 1 to 10000, not 0."),
        (1, 10_001, "count must be"),
        (-1, 1, "seed must be 0 to 2^63 - 10001, not -1."),
        (2**63, 1, "seed must be"),
    ):
        with pytest.raises(ConfigError) as caught:
            compose(Path("no such run"), seed=seed, count=count)
        assert str(caught.value).startswith(message)
    check_seeds(2**63 - 10_001, 10_000)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_is_told_of_each_token_may_stop_the_work(composers: dict[str, Composer], name: str) -> None:
    class CancelledError(Exception):
        pass

    told = []

    def cancel() -> None:
        told.append(1)
        if len(told) == 5:
            raise CancelledError

    whole = composers[name].compose(Controls(bars=2), seed=1)
    with pytest.raises(CancelledError):
        composers[name].compose(Controls(bars=2), seed=1, on_token=cancel)
    assert len(told) == 5
    assert composers[name].compose(Controls(bars=2), seed=1) == whole


def test_the_function_does_all_from_the_folder(
    folder: Path, composer: Composer, tune: Path, primer: Primer
) -> None:
    controls = Controls(bars=3, key=Key.parse("C major"), keep_primer=False)
    made = compose(folder / "note_event", controls, seed=3, primer=tune)
    assert made == composer.compose(controls, seed=3, primer=primer)


def test_a_run_that_is_not_there_or_not_whole_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"There is no run .*nowhere\. Train one first"):
        Composer.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="vocabulary"):
        Composer.open(tmp_path / "empty")


def test_a_checkpoint_of_another_vocabulary_is_one_line_with_both_numbers(tmp_path: Path) -> None:
    composer = Composer.open(make_run(tmp_path / "mixed", "pitch_grid", vocabulary_size=300))
    with pytest.raises(RunError, match=r"300 tokens, vocabulary.json 89: they are of different runs"):
        composer.compose(seed=1)


@pytest.mark.parametrize("scan", ["", "[]", '{"typical": 3}', '{"typical": {"qpm": "fast"}}', "[" * 10_000])
def test_a_damaged_scan_only_costs_its_defaults(tmp_path: Path, scan: str) -> None:
    run = make_run(tmp_path / "run")
    (run / "scan.json").write_text(scan)
    assert (Composer.open(run).qpm, Composer.open(run).program) == (120.0, 0)


def test_the_newest_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Train one \(seqgan-music train DIR\) or name one with --run"):
        newest_run(tmp_path / "runs")
    for age, name in enumerate(["c", "a", "b"]):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.toml").write_text("")
        os.utime(tmp_path / "runs" / name / "config.toml", (1000 - age, 1000 - age))
    latest = tmp_path / "runs" / "latest"
    assert newest_run(tmp_path / "runs").name == "c"
    latest.write_text("a\n")
    assert newest_run(tmp_path / "runs").name == "a"
    latest.write_text("gone")
    assert newest_run(tmp_path / "runs").name == "c"
    latest.write_text("")
    assert newest_run(tmp_path / "runs").name == "c"
    latest.unlink()
    latest.symlink_to("b")
    assert newest_run(tmp_path / "runs").name == "b"
    latest.unlink()
    latest.symlink_to("gone")
    assert newest_run(tmp_path / "runs").name == "c"
    (tmp_path / "runs" / "several" / "seed-1").mkdir(parents=True)
    (tmp_path / "runs" / "several" / "seed-1" / "config.toml").write_text("")
    assert newest_run(tmp_path / "runs").name == "seed-1"


def test_without_a_run_of_ones_own_the_bundled_one_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BUNDLED", tmp_path / "package" / "bundled")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"There is no run in runs/\. Train one"):
        find_run(None)
    (tmp_path / "package" / "bundled").mkdir(parents=True)
    assert find_run(None) == find_run(Path("bundled")) == tmp_path / "package" / "bundled"
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.toml").write_text("")
    assert find_run(None) == Path("runs/mine")
    assert find_run(Path("elsewhere")) == Path("elsewhere")
    (tmp_path / "bundled").mkdir()
    assert find_run(Path("bundled")) == Path("bundled")  # a folder of that name is the user's


def test_what_does_not_fit_is_replaced_by_its_own_kind_or_the_end(composer: Composer) -> None:
    tokenizer = composer.tokenizer
    ids = {name: index for index, name in enumerate(tokenizer.vocabulary)}
    begun = [ids[name] for name in ("METER(4/4)", "BAR", "PITCH(60)", "END(36)")]
    ending = Ending(
        tokenizer.grammar(prefix=begun), tokenizer.grammar(bars=1, prefix=begun), tokenizer, lambda: None
    )

    def allowed() -> set[str]:
        (mask,) = ending.allowed()
        return {tokenizer.vocabulary[index] for index in np.flatnonzero(mask)}

    def take(name: str) -> None:
        ending.advance(np.array([ids[name]]))

    # Whatever comes next in an endless piece may be drawn, since the piece may end here.
    assert {"END_OF_PIECE", "BAR", "METER(3/4)", "PITCH(60)", "AT(40)"} <= allowed()
    take("PITCH(62)")
    assert {"END(40)", "END(48)", "END(12)", "PITCH(63)"} <= allowed()
    take("END(12)")  # of the next bar: too long
    assert (ending.refused, ending.finished.tolist()) == (ids["END(12)"], [True])
    ending.narrow()
    assert allowed() == {f"END({position})" for position in range(37, 49)}
    take("END(48)")
    assert not ending.finished.any()
    take("PITCH(64)")  # would begin bar 2
    ending.narrow()
    assert allowed() == {"END_OF_PIECE"}
    take("END_OF_PIECE")
    assert (ending.finished.tolist(), ending.refused) == ([True], None)


def test_the_end_is_not_open_before_its_bar(composer: Composer) -> None:
    tokenizer = composer.tokenizer
    ids = {name: index for index, name in enumerate(tokenizer.vocabulary)}
    begun = [ids[name] for name in ("METER(4/4)", "BAR", "PITCH(60)", "END(48)")]
    ending = Ending(
        tokenizer.grammar(prefix=begun), tokenizer.grammar(bars=2, prefix=begun), tokenizer, lambda: None
    )
    assert not ending.allowed()[0, ids["END_OF_PIECE"]]
    assert ending.allowed()[0, ids["PITCH(60)"]]


# Copies


@pytest.fixture(scope="module")
def copiers(folder: Path, composers: dict[str, Composer]) -> dict[str, Composer]:
    """Composers that learnt from the very pieces that they write with seeds 1 to 3."""
    made = {}
    for name, composer in composers.items():
        run = make_run(folder / f"{name} copier", name)
        teach(
            run,
            [one.ids for one in composer.compose(Controls(bars=8), seed=1, count=3)],
            ["a.mid", "b.mid", "c.mid"],
        )
        made[name] = Composer.open(run)
    return made


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("most", [2, 5, 12])
def test_no_more_notes_in_a_row_than_asked_are_copied(copiers: dict[str, Composer], name: str, most: int) -> None:
    copier = copiers[name]
    free = copier.compose(Controls(bars=8), seed=1, count=3)
    kept = copier.compose(Controls(bars=8, max_copy=most), seed=1, count=3)
    for source, before, after in zip(["a.mid", "b.mid", "c.mid"], free, kept, strict=True):
        whole = copier.training.longest_run(before.piece)
        assert whole is not None
        assert (whole.source, whole.notes, before.copied) == (source, len(before.piece.notes), None)
        assert after.copied == copier.training.longest_run(after.piece)
        assert after.copied is not None
        assert after.copied.notes <= most
        assert after.refusals > 0
        assert (after.finished, after.dropped.total()) == (True, 0)
        if name == "note_event":
            assert len(bars_of(after.piece)) == 8
        # What is not copied yet stays: the first notes are those of the free piece.
        same = [one == other for one, other in zip(before.piece.notes, after.piece.notes, strict=False)]
        assert same.index(False) <= most
    assert kept == [copier.compose(Controls(bars=8, max_copy=most), seed=made.seed)[0] for made in kept]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_copies_nothing_is_the_same_with_and_without_the_bound(
    copiers: dict[str, Composer], name: str
) -> None:
    for free, kept in zip(
        copiers[name].compose(Controls(bars=4), seed=50, count=3),
        copiers[name].compose(Controls(bars=4, max_copy=200), seed=50, count=3),
        strict=True,
    ):
        assert kept == replace(free, copied=kept.copied)
        assert kept.copied is None or kept.copied.notes < 20


def test_key_and_length_hold_while_notes_are_taken_back(folder: Path) -> None:
    scale = Key.parse("C major")
    run = make_run(folder / "scale copier")
    free = Composer.open(run).compose(Controls(bars=6, key=scale), seed=1, count=2)
    teach(run, [one.ids for one in free])
    for made in Composer.open(run).compose(Controls(bars=6, key=scale, max_copy=4), seed=1, count=2):
        assert {note.pitch % 12 for note in made.piece.notes} <= scale.pitch_classes
        assert (len(bars_of(made.piece)), made.finished, made.refusals > 0) == (6, True, True)
        assert made.copied is not None
        assert (made.copied.notes <= 4, made.copied.source[:15]) == (True, "training piece ")


@pytest.mark.parametrize("keep", [True, False])
def test_a_primers_own_notes_are_no_copies(copiers: dict[str, Composer], tmp_path: Path, keep: bool) -> None:
    copier = copiers["note_event"]
    learnt = copier.compose(Controls(bars=8), seed=2)[0].piece
    write_midi(replace(learnt, notes=learnt.notes[:20]), tmp_path / "tune.mid")
    primer = copier.read_primer(tmp_path / "tune.mid")
    for made in copier.compose(Controls(bars=3, keep_primer=keep, max_copy=3), seed=1, count=4, primer=primer):
        whole = copier.training.longest_run(made.piece)
        assert whole is None or (whole.notes > 10) == keep
        assert made.copied is None or made.copied.notes <= 3
        if made.copied is not None and keep:
            assert made.copied.start_bar > primer.full_bars
        assert (made.piece.notes[:15] == primer.piece.notes[:15]) == keep


def test_where_no_way_is_found_the_run_that_remains_is_told(
    copiers: dict[str, Composer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composing, "_REFUSALS_A_BEAT", 0)
    (free,) = copiers["note_event"].compose(Controls(bars=8), seed=3)
    (made,) = copiers["note_event"].compose(Controls(bars=8, max_copy=4), seed=3)
    assert (made.piece, made.finished, made.refusals) == (free.piece, True, 1)
    assert made.copied is not None
    assert (made.copied.notes, made.copied.source) == (len(free.piece.notes), "c.mid")


def test_what_was_learnt_from_must_be_there(composer: Composer) -> None:
    with pytest.raises(RunError, match="does not hold the music"):
        composer.compose(Controls(max_copy=8), seed=1)
    with pytest.raises(RunError, match="learnt from is not known"):
        Composer(composer.tokenizer, lambda: composer.generator).compose(Controls(max_copy=8), seed=1)


@given(forbidden=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=9))
def test_taking_back_finds_the_first_way_there_is(forbidden: set[tuple[int, int]]) -> None:
    """A sampler that always takes the lowest pitch, and pitches that must not follow each other."""
    tokenizer = tokenizers.create("pitch_grid", {"rest": False, "step_beats": 1.0}, 12)

    def bad(ids: Sequence[int]) -> bool:
        return any((one - 39, other - 39) in forbidden for one, other in pairwise(ids))

    draft = Draft(tokenizer, [], {"bars": 1}, range(60, 63), lambda: None, copies=bad, most_refusals=1000)
    while True:
        while not draft.finished.any():
            mask = draft.allowed()
            draft.advance(np.flatnonzero(mask[0])[:1])
        if not draft.revise():
            break
    ways = [way for way in product((39, 40, 41), repeat=4) if not bad(way)]
    assert tuple(draft.ids) == min(ways, default=tuple(draft.ids))
    assert bad(draft.ids) == (not ways)
    assert draft.whole
