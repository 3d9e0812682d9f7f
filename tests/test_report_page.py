"""The report as a reader meets it in a browser: it plays, seeks, fits every screen, and asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, chromium
from report_run import evaluation, make_run

from seqgan_music import report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt install chromium)")

LOUDNESS = """
(async () => {
  const audio = document.querySelector("audio");
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaElementSource(audio).connect(analyser).connect(context.destination);
  await context.resume();
  await audio.play();
  let loudest = 0;
  const samples = new Float32Array(analyser.fftSize);
  for (let turn = 0; turn < 40 && loudest < 0.01; turn++) {
    await new Promise(done => setTimeout(done, 50));
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, Math.hypot(...samples) / Math.sqrt(samples.length));
  }
  return loudest;
})()
"""
FIRST = 'document.querySelector(".roll")'
SOUND = 'document.querySelector("audio")'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("page"))
    evaluation(run)
    return report.write(run, samples=1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as tab:
        yield tab


def test_it_opens_from_disk_without_a_request_or_an_error(browser: Page, page: Path) -> None:
    browser.open(page)
    browser.wait_until(f"{SOUND}.readyState > 0")
    assert browser.problems() == []
    assert browser.run("document.querySelectorAll('.player').length") >= 2


def test_nothing_but_its_own_script_may_run(browser: Page, page: Path) -> None:
    browser.open(page)
    script = (
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.bad = 1'}))"
    )
    browser.run(script)
    assert browser.run("window.bad") is None
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 1\">')")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("window.bad") is None


def test_it_is_heard(browser: Page, page: Path) -> None:
    browser.open(page)
    assert browser.run(LOUDNESS) > 0.01


def test_a_click_into_the_roll_seeks_and_plays(browser: Page, page: Path) -> None:
    browser.open(page)
    browser.wait_until(f"{SOUND}.readyState > 0")
    browser.run(f"{FIRST}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = browser.run(f"{FIRST}.getBoundingClientRect().toJSON()")
    rate, left = (float(browser.run(f"{FIRST}.dataset.{name}")) for name in ("rate", "left"))
    browser.click(box["x"] + left + 4 * rate, box["y"] + 30)
    browser.wait_until(f"!{SOUND}.paused && {SOUND}.currentTime > 4.1")
    assert browser.run(f"{SOUND}.currentTime") < 10
    place = browser.run("new DOMMatrix(getComputedStyle(document.querySelector('.playhead')).transform).m41")
    assert abs(place - left - browser.run(f"{SOUND}.currentTime") * rate) < 0.5 * rate


def test_the_keyboard_moves_by_a_bar_and_plays(browser: Page, page: Path) -> None:
    browser.open(page)
    browser.wait_until(f"{SOUND}.readyState > 0")
    browser.run(f"{FIRST}.focus()")
    bar = float(browser.run(f"{FIRST}.dataset.bar"))
    for _ in range(3):
        browser.press("ArrowRight", 39)
    browser.press("ArrowLeft", 37)
    assert browser.run(f"{SOUND}.currentTime") == pytest.approx(2 * bar, abs=0.01)
    assert browser.run(f"{FIRST}.getAttribute('aria-valuetext')").startswith(f"{2 * bar:.1f} of ")
    browser.press(" ", 32)
    browser.wait_until(f"!{SOUND}.paused")
    browser.press(" ", 32)
    browser.wait_until(f"{SOUND}.paused")


def test_only_one_piece_plays_at_a_time(browser: Page, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    for number in (0, 1):
        browser.run(f"document.querySelectorAll('audio')[{number}].play()")
    assert browser.run("[...document.querySelectorAll('audio')].map(one => one.paused)")[:2] == [True, False]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_the_screen_in_light_and_dark(browser: Page, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    (red, green, blue) = browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(red, green, blue) < 64) if dark else (min(red, green, blue) > 192)
    # What is wider than the screen scrolls inside its own frame.
    cut = """[...document.querySelectorAll("main *")].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1 && !one.closest(".scroll, pre");
    }).map(one => one.outerHTML.slice(0, 100))"""
    assert browser.run(cut) == []
