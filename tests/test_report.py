"""The report: what stands in it is what the run's files say, escaped, whatever they hold or lack."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from report_run import HOSTILE, evaluation, make_run

from seqgan_music import report
from seqgan_music.cli.report import command
from seqgan_music.compose import bars_of
from seqgan_music.errors import RunError
from seqgan_music.pages import shared
from seqgan_music.report import charts, comparison, listening, markup
from seqgan_music.report.charts import Axes
from seqgan_music.report.sources import Sources


class Reader(HTMLParser):
    """Collects elements and text; fails where elements are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, class_: str | None = None) -> int:
        return sum(
            name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
            for name, attributes in self.elements
        )


def words(page: str) -> str:
    return " ".join(" ".join(Reader(page).text).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture
def without_evaluation(run: Path) -> Path:
    (run / "evaluation.json").unlink(missing_ok=True)
    return run


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding MP3 takes a second a piece; what it gives is tested with the formats."""
    monkeypatch.setattr(listening, "audio_bytes", lambda piece: repr(piece.notes).encode())


def written(run: Path, **options: Any) -> str:
    return report.write(run, **options).read_text(encoding="utf-8")


def test_a_report_is_one_well_formed_file_that_asks_for_nothing(run: Path) -> None:
    evaluation(run)
    page = written(run, samples=1)
    read = Reader(page)
    addresses = [value for _, attributes in read.elements for name, value in attributes.items() if name == "src"]
    assert len(addresses) == 2 + read.count("summary", "nearest")  # a new piece, a real one, tunes beside them
    assert all(address and address.startswith("data:audio/mpeg;base64,") for address in addresses)
    links = [attributes["href"] for name, attributes in read.elements if name == "a"]
    ids = {attributes.get("id") for _, attributes in read.elements}
    assert links
    assert all(link and link[0] == "#" and link[1:] in ids for link in links)
    assert read.count("link") == read.count("img") == read.count("iframe") == 0
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.usefixtures("silent")
def test_hostile_names_are_text(run: Path) -> None:
    evaluation(run)
    page = written(run, samples=1)
    assert HOSTILE not in page
    shown = words(page)
    assert f"run {HOSTILE}" in shown  # the run's folder
    assert f"{HOSTILE}.mid: " in shown  # a skipped file and why
    assert f"4.00 lower {HOSTILE}" in shown  # the verdict's reason
    assert Reader(page).count("script") == 1


@given(st.text(), st.text())
def test_text_and_attributes_are_escaped(text: str, value: str) -> None:
    element = markup.tag("p", text, title=value)
    read = Reader(element)
    assert [name for name, _ in read.elements] == ["p"]
    assert "".join(read.text).replace("\r", "\n") == markup._printable(text)
    assert read.elements[0][1]["title"] == markup._printable(value)
    element.encode("utf-8")


def test_elements_inside_elements_are_not_escaped_again() -> None:
    made = markup.tag("div", ["a & b", None, markup.tag("b", "<")], data_x=1.50, hidden=True, id=None, class_="c")
    assert made == '<div data-x="1.5" hidden class="c">a &amp; b<b>&lt;</b></div>'
    assert markup.tag("br") == "<br>"
    assert markup.tag("path", d="M0 0") == '<path d="M0 0"/>'


def test_the_evaluation_is_shown(run: Path) -> None:
    evaluation(run)
    page = written(run, samples=0)
    shown = words(page)
    assert "MIXED seqgan" in shown
    assert "What sample uses: mle. Of seed 1." in shown
    assert "1,234 held-out pieces with 5,678 windows" in shown
    assert "Lower-left is better; moving along a line is only temperature." in shown
    assert "Too far away to be shown: random." in shown
    assert "seqgan 26.00 24.50 to 27.50" not in shown  # cells stand in the order of the rows, not by name
    cells = re.search(r"Fréchet distance ↓ (.*?) self-BLEU-4", shown)
    assert cells is not None
    assert cells[1] == (
        "4.00 2.50 to 5.50 5.00 3.50 to 6.50 400.00 398.50 to 401.50 30.00 28.50 to 31.50 26.00 24.50 to 27.50"
    )
    assert "-4.00 -6.00 to -2.00 better" in shown
    assert "+0.010 -0.010 to +0.030 no clear difference" in shown
    assert "The test split has been read 2 times" in shown
    assert "A note on this evaluation." in shown
    assert f"14 notes from bar 26 of mle-7 on, as in {HOSTILE}.mid, bar 3" in shown
    assert "novelty-8" not in shown  # a figure that no row has is left out
    assert shown.index("note density") < shown.index("pitch range")  # what differs most comes first


def test_the_picture_holds_a_line_a_method_and_the_floor(run: Path) -> None:
    drawn = comparison.quality_and_diversity(evaluation(run))
    assert drawn is not None
    read = Reader(drawn)
    assert read.count("rect", "band") == 1
    assert read.count("path", "error") == 6
    assert read.count("circle", "dot") == 6 + 2  # real and copies; random is too far away
    sizes = [attributes["r"] for name, attributes in read.elements if name == "circle"]
    assert sizes.count("6") == 2  # temperature 1
    (label,) = [attributes["aria-label"] for name, attributes in read.elements if name == "svg"]
    assert label is not None
    assert "seqgan at T=1: self-BLEU-4 0.910, Fréchet distance 26.00" in label


def test_without_what_it_needs_there_is_no_picture(run: Path) -> None:
    rows = [{**row, "figures": {}} for row in evaluation(run)["rows"]]
    assert comparison.quality_and_diversity(evaluation(run, rows=rows)) is None
    assert "there is no picture" in words(written(run, samples=0))


def test_a_run_that_was_not_evaluated_says_how(without_evaluation: Path) -> None:
    shown = words(written(without_evaluation, samples=0))
    assert "Not evaluated yet" in shown
    assert f"seqgan-music evaluate '{without_evaluation}'" in shown


def test_an_evaluation_of_other_checkpoints_is_called_out_of_date(run: Path) -> None:
    chosen = {**evaluation(run)["chosen"], "sha256": "0" * 64}
    evaluation(run, chosen=chosen)
    assert "The run was trained further since" in words(written(run, samples=0))


def test_without_a_phase_after_mle_there_is_nothing_to_judge(run: Path) -> None:
    evaluation(run, verdicts=[], differences=[])
    assert "There is no phase after maximum likelihood to judge" in words(written(run, samples=0))


def test_learning_curves_show_every_phase_and_measure(run: Path) -> None:
    evaluation(run)
    page = written(run, samples=0)
    shown = words(page)
    for title in ("Held-out loss", "Rewards", "Entropy", "Distinct-4", "Discriminator's accuracy", "Losses"):
        assert title in shown, title
    lines = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    last = lines[-1]
    assert f"At the end: distinct 4 {charts.number(last['distinct_4'])}." in page
    assert re.search(r"of training.*mle.*seqgan", shown)


def test_what_it_was_trained_on_is_shown_with_reasons(run: Path) -> None:
    evaluation(run)
    shown = words(written(run, samples=0))
    assert "12 files were kept, 2 skipped" in shown
    assert f"duplicate 1 again {HOSTILE}.mid: the same notes as 3 {HOSTILE}.mid" in shown


@pytest.mark.parametrize("broken", ["scan.json", "metrics.jsonl", "evaluation.json", "checkpoints/last.json"])
@pytest.mark.parametrize(
    "content", [None, b"", b"[1]", b"{}", b'{"format": 1', b'{"format": 1}', b"\xff\xfe", b'{"phase": 1}\n[]\n1']
)
def test_a_damaged_file_costs_its_section_alone(run: Path, broken: str, content: bytes | None) -> None:
    evaluation(run)
    path = run / broken
    whole = path.read_bytes()
    try:
        path.unlink() if content is None else path.write_bytes(content)
        read = Reader(written(run, samples=0))
    finally:
        path.write_bytes(whole)
    assert read.count("section") == 5


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config\.toml"):
        report.write(tmp_path)


@pytest.mark.usefixtures("silent")
def test_the_same_run_and_seed_give_the_same_report(run: Path, tmp_path: Path) -> None:
    evaluation(run)
    first, again, other = (
        report.write(run, out=tmp_path / f"{number}.html", samples=1, seed=seed).read_bytes()
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again != other


@pytest.mark.usefixtures("silent")
def test_samples_are_the_runs_own_and_judged(run: Path) -> None:
    evaluation(run)
    found = listening.samples(run, 2, 5, lambda text: None)
    assert [sample.real for sample in found] == [False, False, True]
    assert "written by phase mle, seed 6, temperature 1" in found[1].told
    for sample in found:
        piece = sample.heard.piece
        assert len(bars_of(piece)) == len(sample.scores)
        assert len(bars_of(piece)) in (16, 17)  # with an upbeat
        assert all(0 <= score <= 1 for score in sample.scores)
        assert sample.heard.mp3 == repr(piece.notes).encode()
        nearest = sample.nearest
        if nearest is None:
            continue
        notes = sorted(piece.notes)[nearest.copied.start_note :][: nearest.copied.notes]
        tune = sorted(nearest.excerpt.piece.notes)
        shared = [note.pitch - nearest.copied.transposed for note in notes]
        # The excerpt begins with the bar in which the shared notes do.
        pitches = [note.pitch for note in tune]
        assert any(pitches[at : at + len(shared)] == shared for at in range(len(pitches)))


def test_the_command_evaluates_first_unless_told_not_to(
    without_evaluation: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Found:
        def document(self) -> dict[str, Any]:
            return evaluation(without_evaluation)

    asked = []
    monkeypatch.setattr(
        "seqgan_music.evaluate.evaluation.evaluate", lambda run, *_, **__: asked.append(run) or Found()
    )
    page = tmp_path / "page.html"
    arguments = [str(without_evaluation), "--samples", "0", "--out", str(page)]
    told = CliRunner().invoke(command, [*arguments, "--no-evaluation"], catch_exceptions=False)
    assert (told.exit_code, asked) == (0, [])
    assert told.stdout == f"Report: {page}\n"
    assert "Not evaluated yet" in words(page.read_text())
    for _ in range(2):  # the second time there is one
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert asked == [without_evaluation]
    assert "MIXED seqgan" in words(page.read_text())


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_and_inside(low: float, wide: float, most: int) -> None:
    found = charts.ticks((low, low + wide), most)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * wide <= value <= low + wide * (1 + 1e-6) for value in found)
    if len(found) > 1:
        step = found[1] - found[0]
        assert round(step / 10 ** math.floor(math.log10(step) + 1e-6), 3) in (1, 2, 5, 10)


@example([5e-324], False)
@example([0.0, 5e-324], True)
@given(st.lists(st.floats(-1e9, 1e9), max_size=5), st.booleans())
def test_a_span_holds_its_values_and_is_never_empty(values: list[float], zero: bool) -> None:
    low, high = charts.span([*values, math.nan], zero=zero)
    assert low < high
    assert all(low <= value <= high for value in values)


def test_values_stand_where_they_belong() -> None:
    axes = Axes((0, 10), (0, 1), width=100, height=100, left=20, bottom=30)
    assert axes.at(0, 0) == (20, 70)
    assert axes.at(10, 1) == (88, 12)
    assert axes.at(5, 0.5) == (54, 41)


def test_sources_keep_numbers_of_whole_lines_alone(run: Path) -> None:
    path = run / "metrics.jsonl"
    whole = path.read_bytes()
    try:
        path.write_bytes(
            whole + b'{"phase": 2, "method": "m", "seconds": 5, "d": null, "w": "<b>"}\n{"phase": 3, "met'
        )
        lines = Sources.read(run).lines
    finally:
        path.write_bytes(whole)
    assert lines[-1] == {"phase": 2, "method": "m", "seconds": 5}


def test_colours_have_contrast_in_light_and_dark() -> None:
    style = shared("base.css")
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in style.split("@media")[:2])
    assert light.keys() == dark.keys()

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        a, b = sorted((luminance(one), luminance(other)))
        return (b + 0.05) / (a + 0.05)

    for theme in (light, dark):
        for ground in ("paper", "card"):  # WCAG 2.2, 1.4.3 and 1.4.11
            for text in ("ink", "soft", "accent", "good", "bad", "neutral"):
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
        for drawn in ("real", "play", *(f"s{number}" for number in range(charts.COLOURS))):
            assert contrast(theme[drawn], theme["card"]) >= 3, drawn
        assert contrast(theme["ink"], theme["heat"]) >= 4.5
