"""The page in headless Chromium: opened by the command line, used as a person would."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

CHROMIUM = os.environ.get("SLEEPLM_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
#: A machine that trains a model beside the tests is slow; what is late still counts.
PATIENCE_MS = 90_000
expect.set_options(timeout=PATIENCE_MS)


class Served:
    """A running ``sleeplm chat`` and all that it printed."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log


@pytest.fixture(scope="module")
def served(
    short_night: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from serving(short_night, model_folder, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served_unscored(
    unscored_night: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from serving(unscored_night, model_folder, tmp_path_factory.mktemp("unscored"))


def serving(night: Path, model_folder: Path, folder: Path) -> Iterator[Served]:
    log = folder / "log.txt"
    environment = os.environ | {"SLEEPLM_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    command = (
        "from ui.cli import main; "
        f"main(['chat', {str(night)!r}, '--model', {str(model_folder)!r}, '--no-browser'])"
    )
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", command], stdout=output, stderr=output, env=environment
        )
    try:
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Served(found[0], log)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed; set SLEEPLM_CHROMIUM to one")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Callable[[], Page]]:
    """Open the page as one more user; at the end no other host may have been asked."""
    asked: set[str | None] = set()
    errors: list[str] = []
    contexts = []

    def opened() -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served.address)
        page.wait_for_selector('[data-role="trace"][data-drawn-ms]')
        return page

    yield opened
    for context in contexts:
        context.close()
    # blob: and data: have no host.
    assert asked - {None} == {"127.0.0.1"}
    assert errors == []


@pytest.fixture
def page(open_page: Callable[[], Page]) -> Page:
    return open_page()


def trace_start(page: Page) -> float:
    return float(page.get_attribute('[data-role="trace"]', "data-start-s") or "nan")


def wait_for_start(page: Page, wanted: Callable[[float], bool]) -> float:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not wanted(start := trace_start(page)):
        assert time.monotonic() < deadline, f"the traces stand at {start} s"
        page.wait_for_timeout(50)
    return start


def ask(page: Page, question: str) -> None:
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")


def inked(page: Page, role: str) -> int:
    """How many pixels of a canvas are drawn on."""
    return int(
        page.evaluate(
            """(role) => {
              const canvas = document.querySelector(`[data-role="${role}"]`);
              const context = canvas.getContext("2d");
              const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
              let count = 0;
              for (let index = 3; index < data.length; index += 4) count += data[index] > 0;
              return count;
            }""",
            role,
        )
    )


def test_the_first_screen_has_the_night_the_examples_and_the_notice(page: Page) -> None:
    expect(page.locator('[data-role="nights"] option')).to_have_text(re.compile(r"night-\w{8}"))
    expect(page.locator("#chat .example")).to_have_count(3)
    expect(page.locator("#footer")).to_contain_text("Research use only, not a medical device")
    expect(page.locator("#footer")).to_contain_text("offline planner")
    expect(page.locator('[data-role="outside"]')).to_be_hidden()
    assert inked(page, "night") > 5000
    assert inked(page, "trace") > 5000


def test_a_click_on_the_hypnogram_moves_the_traces_there(page: Page) -> None:
    box = page.locator('[data-role="night"]').bounding_box()
    assert box is not None
    # Left and right margins of the axis, as night.js draws them.
    across = 124 + 0.75 * (box["width"] - 124 - 44)
    page.mouse.click(box["x"] + across, box["y"] + 40)
    start = wait_for_start(page, lambda at: abs(at - 0.75 * 1800) <= 30)
    assert start % 30 == 0
    number = int(start // 30) + 1
    expect(page.locator('[data-role="place"]')).to_contain_text(f"epoch {number} ·")


def test_dragging_zooms_and_a_button_brings_the_whole_night_back(page: Page) -> None:
    box = page.locator('[data-role="night"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 40, steps=4)
    page.mouse.up()
    whole = page.locator('[data-role="whole"]')
    expect(whole).to_be_visible()
    whole.click()
    expect(whole).to_be_hidden()


def test_keys_page_through_the_night_and_visit_every_event_once(page: Page) -> None:
    first = trace_start(page)
    page.keyboard.press("ArrowRight")
    assert wait_for_start(page, lambda at: at != first) == first + 30
    page.keyboard.press("ArrowLeft")
    wait_for_start(page, lambda at: at == first)
    page.select_option('[data-role="kind"]', "obstructive_apnea")
    page.locator('[data-role="night"]').focus()
    visited = []
    for _ in range(3):
        page.keyboard.press("e")
        page.wait_for_timeout(300)
        visited.append(page.evaluate("window.sleeplm.place().selected"))
    assert visited == sorted(set(visited))


def test_plus_makes_the_signals_larger(page: Page) -> None:
    def sensitivity() -> float:
        text = page.locator('[data-role="gain"]').inner_text()
        return float(text.split()[0])

    before = sensitivity()
    page.click('[data-role="louder"]')
    page.wait_for_timeout(500)
    assert sensitivity() < before


def test_an_example_is_answered_with_a_step_and_its_citation_moves_the_views(page: Page) -> None:
    page.locator("#chat .example").first.click()
    expect(page.locator("#chat")).to_contain_text("obstructive apnea")
    expect(page.locator("#chat .thought-group .title")).to_contain_text("locate_events")
    expect(page.locator("#chat .s-badge.expert").first).to_be_visible()
    link = page.locator('#chat a[href^="#epoch-"]').first
    expect(link).to_be_visible()
    page.keyboard.press("Escape")
    wait_for_start(page, lambda at: at == at)
    page.evaluate("window.sleeplm.goTo(0)")
    wait_for_start(page, lambda at: at == 0)
    number = int(re.search(r"\d+", link.get_attribute("href") or "")[0])  # type: ignore[index]
    link.click()
    wait_for_start(page, lambda at: at <= (number - 1) * 30 <= at + 60)


def test_a_reload_brings_the_conversation_back(page: Page) -> None:
    ask(page, "How much REM sleep was there?")
    expect(page.locator("#chat .bot").last).to_contain_text(re.compile(r"\w"))
    expect(page.locator("#chat")).to_contain_text("summarize_night")
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector('[data-role="trace"][data-drawn-ms]')
    expect(page.locator("#chat")).to_contain_text("How much REM sleep was there?")


def test_a_bad_file_shows_the_reason_and_the_page_lives_on(
    page: Page, served: Served, tmp_path: Path
) -> None:
    bad = tmp_path / "Jane Doe 1970.edf"
    bad.write_text("this is not a recording\n" * 100)
    page.set_input_files('[data-role="file"]', str(bad))
    error = page.locator('[data-role="error-text"]')
    expect(error).to_be_visible()
    expect(error).to_contain_text("recording.edf")
    expected = subprocess.run(
        [sys.executable, "-c", "from ui.cli import main; main(['check', 'recording.edf'])"],
        cwd=shutil.copy(bad, tmp_path / "recording.edf").parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected.stderr.removeprefix("sleeplm: ").strip() in error.inner_text()
    assert "Jane" not in page.content()
    assert "Jane" not in served.log.read_text()
    page.click('[data-role="error-close"]')
    ask(page, "What was the lowest saturation?")
    expect(page.locator("#chat .bot").last).to_contain_text("%")


def test_a_file_that_is_no_recording_is_refused_before_it_is_sent(
    page: Page, tmp_path: Path
) -> None:
    scoring = tmp_path / "stages.csv"
    scoring.write_text("W\nN1\n")
    page.set_input_files('[data-role="file"]', str(scoring))
    expect(page.locator('[data-role="error-text"]')).to_contain_text("no recording among these")


def test_a_real_recording_is_opened_and_asked_about(page: Page, shared_data: Path) -> None:
    before = page.locator('[data-role="nights"] option').count()
    page.set_input_files('[data-role="file"]', str(shared_data / "nox-a1-rsleep" / "subject1.edf"))
    expect(page.locator('[data-role="nights"] option')).to_have_count(before + 1)
    expect(page.locator('[data-role="span"]')).to_contain_text("4 epochs")
    expect(page.locator('[data-role="progress"]')).to_be_hidden()
    expect(page.locator('#header button[aria-checked="true"]')).to_have_text(
        re.compile("automatic|model")
    )
    page.wait_for_function(
        """() => document.querySelector('[data-role="place"]').textContent.includes('epoch 1')"""
    )
    assert inked(page, "night") > 3000
    assert inked(page, "trace") > 5000
    ask(page, "What is the heart doing?")
    expect(page.locator("#chat .thought-group .title")).to_contain_text("describe_system")
    expect(page.locator("#chat .bot").last).to_contain_text("bpm")
    expect(page.locator("#chat .s-badge.measured").first).to_be_visible()


def test_each_user_has_their_own_nights(
    open_page: Callable[[], Page], unscored_night: Path, short_night: Path
) -> None:
    one, other = open_page(), open_page()
    ask(one, "How many arousals were there?")
    expect(one.locator("#chat")).to_contain_text("How many arousals")
    expect(other.locator("#chat .example")).to_have_count(3)
    tokens = [
        page.locator('[data-role="nights"] option').first.get_attribute("value")
        for page in (one, other)
    ]
    assert tokens[0] != tokens[1]


def test_the_model_can_be_chosen_as_scorer(page: Page) -> None:
    page.click('#header button[data-source="model"]')
    expect(page.locator('[data-role="scored-by"]')).to_have_text("model scoring")
    expect(page.locator('#header button[data-source="model"]')).to_have_attribute(
        "aria-checked", "true"
    )
    page.click('#header button[data-source="expert"]')
    expect(page.locator('[data-role="scored-by"]')).to_have_text("expert scoring")


def test_help_opens_with_its_key_and_the_theme_can_be_changed(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator('[data-role="help"]')).to_be_visible()
    page.click('[data-role="help-close"]')
    was = page.evaluate("document.body.classList.contains('dark')")
    page.click('[data-role="theme"]')
    assert page.evaluate("document.body.classList.contains('dark')") is not was


def test_automatic_scoring_can_be_cancelled_and_begun_again_while_questions_are_answered(
    browser: Browser, served_unscored: Served
) -> None:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served_unscored.address)
    cancel = page.locator('[data-role="cancel"]')
    expect(cancel).to_be_visible()
    expect(page.locator('[data-role="words"]')).to_contain_text(re.compile("scoring|YASA|psg"))
    cancel.click()
    expect(page.locator('[data-role="error-text"]')).to_contain_text("was cancelled")
    expect(page.locator('[data-role="scorers"] [aria-checked="true"]')).to_have_count(0)
    expect(cancel).to_be_hidden()
    page.locator('[data-role="scorers"] button[data-source="automatic"]').click()
    expect(cancel).to_be_visible()
    ask(page, "What does the heart do in epoch 20?")
    expect(page.locator("#chat")).to_contain_text("bpm")
    ask(page, "How many hypopneas were there?")
    expect(page.locator("#chat")).to_contain_text(re.compile("scoring under way|automatic"))
    expect(page.locator('[data-role="scored-by"]')).to_have_text("automatic scoring")
    expect(page.locator('[data-role="scorers"] [aria-checked="true"]')).to_have_text("automatic")
    page.context.close()
