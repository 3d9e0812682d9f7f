"""The studio as a person meets it, in a browser over a real server: write, hear, compare, mend, rate, save."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, chromium
from conftest import ROOT
from report_run import make_run
from tunes import midi, tune

from seqgan_music.preference import ratings
from seqgan_music.studio.server import _DOOR

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt install chromium)")

HERE = re.compile(r"http://127\.0\.0\.1:\d+/")
PLAYER = "document.querySelector('.card.current')"
# What sounds: the page's script makes these elements and puts them nowhere, so the test listens from the start.
LISTEN = """
window.sounds = [];
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  if (!window.sounds.includes(this)) window.sounds.push(this);
  return play.call(this);
};
"""
SOUNDING = "window.sounds.find(one => !one.paused)"
LOUDNESS = f"""
(async () => {{
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaElementSource({SOUNDING}).connect(analyser).connect(context.destination);
  await context.resume();
  let loudest = 0;
  const samples = new Float32Array(analyser.fftSize);
  for (let turn = 0; turn < 60 && loudest < 0.01; turn++) {{
    await new Promise(done => setTimeout(done, 50));
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, Math.hypot(...samples) / Math.sqrt(samples.length));
  }}
  return loudest;
}})()
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studio")
    made = make_run(folder, name="tunes")
    (folder / "runs").mkdir()
    made.rename(folder / "runs" / "tunes")
    return folder / "runs"


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    line = [sys.executable, "-m", "seqgan_music", "studio", "--no-browser", "--runs", str(runs)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert HERE.match(said.removeprefix("Studio: "))
        yield said.removeprefix("Studio: ").strip()
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as tab:
        yield tab


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The studio, freshly opened; no test may leave an error or a request to elsewhere."""
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)["identifier"]
    browser.open(address)  # with its token: from here on the browser has the cookie
    browser.open(f"{HERE.match(address)[0]}static/icon.svg")  # type: ignore[index]
    browser.run("sessionStorage.clear()")
    browser.open(address)
    browser.wait_until("document.querySelector('#run').value")
    yield browser
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert browser.problems(HERE.match(address)[0], "data:") == []  # type: ignore[index]


def write(page: Page, count: int = 2, bars: int = 4, **fields: object) -> None:
    """Fill in the form, write, and wait for the pieces."""
    before = page.run("document.querySelectorAll('.card').length")
    for name, value in {"count": count, "bars": bars, "seed": 1, **fields}.items():
        page.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
    page.run("document.querySelector('[name=tonic]').dispatchEvent(new Event('change'))")
    page.run("document.querySelector('#write').click()")
    page.wait_until(f"document.querySelectorAll('.card').length === {before + count}")
    page.wait_until("!document.querySelector('.job')")


def play(page: Page, card: int) -> None:
    page.run(f"document.querySelectorAll('.card')[{card}].querySelector('.play').click()")
    page.wait_until(f"{SOUNDING} && {SOUNDING}.currentTime > 0.3")


def test_pieces_are_written_side_by_side_with_what_was_asked_for(page: Page) -> None:
    assert page.run("document.querySelector('#empty').hidden") is False
    write(page, 3, 4, tonic="D", mode="dorian", tempo=90, program="73")
    assert page.run("document.querySelector('#empty').hidden") is True
    facts = page.run("[...document.querySelectorAll('.facts')].map(one => one.textContent)")
    assert [text[: len("Seed 1")] for text in facts] == ["Seed 1", "Seed 2", "Seed 3"]
    assert all("% of real" in text for text in facts)
    assert all("D dorian" in text and "90 bpm" in text and "Flute" in text for text in facts)
    assert page.run("document.querySelectorAll('.notes rect').length") > 3
    bars = "[...document.querySelector('.bars').children]"
    assert page.run(f"{bars}.map(one => one.textContent)") == ["1", "2", "3", "4"]
    # The run has a critic, and says so bar by bar to those who do not see the shades.
    assert page.run(
        f"{bars}.every(one => /^Bar \\d, above \\d+% of real bars$/.test(one.getAttribute('aria-label')))"
    )
    assert page.run(f"{bars}.every(one => one.style.getPropertyValue('--shade-of-bar').endsWith('%'))")


def test_a_piece_is_heard_and_its_playhead_follows(page: Page) -> None:
    write(page)
    play(page, 0)
    assert page.run(LOUDNESS) > 0.01
    before = page.run(f"{SOUNDING}.currentTime")
    page.wait_until(f"{SOUNDING}.currentTime > {before}")
    x = "new DOMMatrix(getComputedStyle(document.querySelector('.card .playhead')).transform).m41"
    share = page.run(f"{x} / document.querySelector('.card .roll').clientWidth")
    assert 0 < share < 1
    assert page.run("document.querySelector('#toggle').getAttribute('aria-label')") == "Pause"


def test_going_over_to_another_piece_keeps_the_place(page: Page) -> None:
    write(page, 2, 24, tempo=60)
    play(page, 0)
    page.run("document.querySelector('#place').value = 5")
    page.run("document.querySelector('#place').dispatchEvent(new Event('input'))")
    page.wait_until(f"{SOUNDING}.currentTime > 5.1")
    page.run("document.querySelectorAll('.card')[1].querySelector('.badge').click()")
    page.wait_until("window.sounds.length === 2 && window.sounds[0].paused && !window.sounds[1].paused")
    page.wait_until("window.sounds[1].currentTime > 5.1")
    assert page.run("window.sounds[1].currentTime - window.sounds[0].currentTime") < 2
    assert page.run("document.querySelector('#current').textContent") == "B"
    assert page.run("document.querySelectorAll('.card.current').length") == 1
    # The place in a piece of another tempo is the same beat, not the same second.
    page.press(" ", 32)
    page.wait_until("window.sounds[1].paused")
    write(page, 1, 24, tempo=120)
    beat = page.run("window.sounds[1].currentTime")
    page.run("document.querySelector('.card .badge').click()")
    page.press(" ", 32)
    page.wait_until("window.sounds.length === 3 && window.sounds[2].currentTime > 0")
    page.press(" ", 32)
    page.wait_until("window.sounds[2].paused")
    assert page.run("window.sounds[2].currentTime") == pytest.approx(beat / 2, abs=1.5)


def test_a_click_into_the_roll_goes_there_and_plays(page: Page) -> None:
    write(page, 2, 8, tempo=60)
    page.run("document.querySelectorAll('.roll')[1].scrollIntoView({block: 'center'})")
    box = page.run("document.querySelectorAll('.roll')[1].getBoundingClientRect().toJSON()")
    page.click(box["x"] + 0.5 * box["width"], box["y"] + 30)
    page.wait_until(f"{SOUNDING} && {SOUNDING}.currentTime > 0")
    length = page.run("Number(document.querySelector('#place').max)")
    assert page.run(f"{SOUNDING}.currentTime") == pytest.approx(length / 2, abs=3)
    assert page.run(f"{PLAYER}.getAttribute('aria-label')") == "Piece B"


def test_the_keyboard_is_enough(page: Page) -> None:
    write(page, 2, 4, tempo=60)
    page.run("document.activeElement.blur()")
    page.press(" ", 32)
    page.wait_until(f"{SOUNDING} && {SOUNDING}.currentTime > 0")
    page.press(" ", 32)
    page.wait_until(f"!{SOUNDING}")
    page.press("ArrowRight", 39)
    bar = float(page.run("document.querySelector('.bars button').style.flexGrow"))  # beats, seconds at this tempo
    assert page.run("window.sounds[0].currentTime") == pytest.approx(bar, abs=0.01)
    page.press("2", 50)
    assert page.run(f"{PLAYER}.getAttribute('aria-label')") == "Piece B"
    page.press("ArrowUp", 38)
    assert page.run(f"{PLAYER}.getAttribute('aria-label')") == "Piece A"
    # Along the bars with arrows, one of them chosen with Enter.
    page.run("document.querySelector('.bars button').focus()")
    page.press("ArrowRight", 39)
    assert page.run("document.activeElement.textContent") == "2"
    page.run("document.activeElement.click()")
    assert page.run("document.querySelector('.chosen span').textContent") == "Bar 2"
    # In the roll, which is a slider.
    page.run("document.querySelector('.roll').focus()")
    page.press("Home", 36)
    page.press("ArrowRight", 39)
    told = page.run("document.querySelector('.roll').getAttribute('aria-valuetext')")
    assert float(told.split()[0]) == pytest.approx(bar, abs=0.06)
    # All that can be clicked can be reached, in an order, and is seen to be reached.
    reached = page.run(
        "[...document.querySelectorAll('button, a, input, select, [role=slider]')]"
        ".filter(one => one.offsetParent && one.tabIndex < 0 && !one.closest('.bars')).length"
    )
    assert reached == 0
    page.press("Tab", 9)
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_piece_that_is_put_away_is_gone_and_the_others_stay(page: Page) -> None:
    write(page, 3)
    play(page, 1)
    page.run("document.querySelectorAll('.card')[1].querySelector('.remove').click()")
    page.wait_until(f"!{SOUNDING}")
    names = "[...document.querySelectorAll('.card')].map(one => one.getAttribute('aria-label'))"
    assert page.run(names) == ["Piece A", "Piece C"]
    assert page.run("document.activeElement.textContent") == "C"
    page.run("document.querySelector('#clear').click()")
    assert page.run(names) == []
    assert page.run("document.querySelector('#empty').hidden") is False


def test_every_control_has_a_name(page: Page) -> None:
    write(page)
    nameless = """[...document.querySelectorAll("button, input, select, a, [role=slider]")].filter(one =>
        !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.[0]?.textContent.trim())
    ).map(one => one.outerHTML.slice(0, 80))"""
    assert page.run(nameless) == []


def test_a_dropped_file_begins_the_music(page: Page, tmp_path: Path) -> None:
    (tmp_path / "question.mid").write_bytes(midi(tune(2, 16)))
    page.drop_file(200, 300, tmp_path / "question.mid")  # anywhere on the page
    page.wait_until("!document.querySelector('#primer-held').hidden")
    assert page.run("document.querySelector('#primer-name').textContent") == "question.mid"
    assert "16 notes" in page.run("document.querySelector('#primer-note').textContent")
    write(page, 1, 2)
    assert page.run("document.querySelectorAll('.card .old').length") == 1
    assert "after question.mid" in page.run("document.querySelector('.facts').textContent")
    assert page.run("document.querySelectorAll('.bars button').length") > 2
    page.run("document.querySelector('#primer-remove').click()")
    assert page.run("document.querySelector('#primer-held').hidden")


def test_a_bad_file_is_told_of(browser: Page, page: Page, tmp_path: Path) -> None:
    (tmp_path / "broken.mid").write_bytes(b"MThd and no more")
    page.choose_file("#file", tmp_path / "broken.mid")
    page.wait_until("document.querySelector('#say').textContent")
    assert page.run("document.querySelector('#say').textContent").startswith("broken.mid cannot be used")
    assert page.run("document.querySelector('#primer-held').hidden")
    # The browser itself notes every refusal in its console.
    (told,) = browser.problems("http://127.0.0.1", "data:")
    assert "400" in told
    browser.events.clear()


def test_a_bar_is_mended_by_clicking_it_and_both_versions_stay(page: Page) -> None:
    write(page, 1, 6, temperature=1.3)
    notes = "[...document.querySelectorAll('.notes rect')].map(one => one.outerHTML).join()"
    before = page.run(notes)
    page.run("document.querySelectorAll('.bars button')[2].scrollIntoView({block: 'center'})")
    box = page.run("document.querySelectorAll('.bars button')[2].getBoundingClientRect().toJSON()")
    page.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.run("document.querySelector('.chosen span').textContent") == "Bar 3"
    page.run("document.querySelector('.chosen button').click()")
    page.wait_until("document.querySelector('.takes')")
    assert "version 2 of 2" in page.run("document.querySelector('.takes').textContent")
    assert page.run(notes) != before
    page.run("document.querySelector('.takes button').click()")
    assert page.run(notes) == before
    assert page.run("document.querySelectorAll('.card').length") == 1


def test_more_like_one_are_put_beside_it(page: Page) -> None:
    write(page, 1, 4)
    page.run(
        "[...document.querySelectorAll('.acts button')].find(one => one.textContent === 'More like this').click()"
    )
    page.wait_until("document.querySelectorAll('.card').length === 4")
    assert page.run("document.querySelector('.group h2').textContent") == "More like A"


def test_a_thumb_stays_until_it_is_pressed_again(page: Page, runs: Path) -> None:
    write(page, 1)
    before = len(ratings.load(runs / "tunes"))
    page.run("document.querySelector('.thumbs button').click()")
    page.wait_until("document.querySelector('.thumbs button').getAttribute('aria-pressed') === 'true'")
    found = ratings.load(runs / "tunes")
    assert len(found) == before + 1
    assert found[-1].liked
    # The same one again takes it back.
    page.run("document.querySelector('.thumbs button').click()")
    page.wait_until("document.querySelector('.thumbs button').getAttribute('aria-pressed') === 'false'")
    assert len(ratings.load(runs / "tunes")) == before


def test_the_token_goes_out_of_sight_and_a_reload_brings_everything_back(page: Page, address: str) -> None:
    write(page, 2)
    facts = page.run("[...document.querySelectorAll('.facts')].map(one => one.textContent)")
    own = page.run("location.href")
    assert HERE.fullmatch(own)
    assert address.startswith(f"{own}?token=")
    assert page.run("document.cookie") == ""  # no script can read it
    page.open(own)
    page.wait_until("document.querySelectorAll('.card').length === 2")
    assert page.run("[...document.querySelectorAll('.facts')].map(one => one.textContent)") == facts


def test_it_can_be_cancelled(page: Page) -> None:
    for name, value in {"count": 12, "bars": 128}.items():
        page.run(f"document.querySelector('[name={name}]').value = {value}")
    page.run("document.querySelector('#write').click()")
    page.wait_until("document.querySelector('.job button')")
    page.wait_until("document.querySelector('.job progress').value > 0")
    page.run("document.querySelector('.job button').click()")
    page.wait_until("!document.querySelector('.job')")
    assert page.run("document.querySelectorAll('.card').length") < 12


def test_links_save_what_is_shown(page: Page) -> None:
    write(page, 1)
    links = page.run("[...document.querySelectorAll('.acts a')].map(one => [one.textContent, one.href])")
    assert [name for name, _ in links][:2] == ["MIDI", "MP3"]
    script = "fetch({}).then(one => one.ok && one.headers.get('Content-Disposition'))"
    for _, link in links:
        assert page.run(script.format(json.dumps(link))).startswith("attachment; filename=tunes-1.")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_the_screen_in_light_and_dark(page: Page, address: str, width: int, dark: bool) -> None:
    write(page, 2, 16)
    page.run("document.querySelectorAll('.bars button')[2].click()")
    page.open(address, width=width, height=800, dark=dark)
    page.wait_until("document.querySelectorAll('.card').length === 2")
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.run("document.querySelectorAll('.bars button')[2].click()")
    assert page.run("document.documentElement.scrollWidth") <= width
    (red, green, blue) = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(red, green, blue) < 64) if dark else (min(red, green, blue) > 192)
    cut = """[...document.querySelectorAll("body *")].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1 && !one.closest(".scroll, .skip, svg");
    }).map(one => one.outerHTML.slice(0, 100))"""
    assert page.run(cut) == []
    page.open(address)  # back to the size that the other tests expect


def test_a_file_leads_to_the_page_as_the_command_opens_it(page: Page, address: str, tmp_path: Path) -> None:
    door = tmp_path / "studio.html"
    door.write_text(_DOOR.format(address=address))
    own = HERE.match(address)[0]  # type: ignore[index]
    page.call("Network.clearBrowserCookies")
    page.open(door)
    page.wait_for_address(own)
    page.wait_until(f"location.href === {json.dumps(own)} && document.querySelector('#run')?.value")
    page.events.clear()
