"""The page in a real browser: Chromium without a window, driven by Playwright."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from styleforge.images.load import load_image
from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, load_recipe
from tests.conftest import CAFE, CHELSEA

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("studio"),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium"),
]

sync_api = pytest.importorskip("playwright.sync_api")

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

PATIENCE = 120.0
"""Seconds; a busy machine is no failure."""


@dataclass
class Studio:
    """The command, as its own process, and what it says."""

    folder: Path
    process: Any = None
    address: str = ""
    requests: set[str] = field(default_factory=set)

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "styleforge", "studio", "--no-open", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "-o", str(self.folder), "-d", "cpu", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), "it says where its page is"

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code: int = self.process.wait(PATIENCE)
        return code

    def results(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("studio") / "results")
    made.start()
    yield made
    assert made.end() == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small photo and painting, and a photo that is cut short."""
    folder = tmp_path_factory.mktemp("files")
    for name, path in (("photo.jpg", CHELSEA), ("painting.jpg", CAFE)):
        image = Image.open(path)
        image.thumbnail((128, 128))
        image.save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:900])
    return {path.stem: path for path in folder.iterdir()}


Launch = Callable[..., Any]


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """A browser, with more flags."""
    with sync_api.sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(
            executable_path=BROWSER, args=[*FLAGS, *flags]
        )


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Iterator[Any]:
    chromium = launch()
    yield chromium
    chromium.close()


Open = Callable[[], Any]


@pytest.fixture
def new_page(browser: Any, studio: Studio) -> Iterator[Open]:
    """A page in a browser profile of its own; whatever it asks for is written down."""
    contexts = []
    mistakes: list[str] = []

    def opened() -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        context.on("request", lambda request: studio.requests.add(request.url))
        page.on("websocket", lambda socket: studio.requests.add(socket.url))
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        visit(page, studio)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert mistakes == []


@pytest.fixture
def page(new_page: Open) -> Any:
    return new_page()


def visit(page: Any, studio: Studio) -> None:
    page.goto(studio.address)
    page.wait_for_selector("body[data-ready]")


def give(page: Any, kind: str, path: Path) -> None:
    """As if the file was chosen."""
    page.evaluate("kind => { document.getElementById('file').dataset.kind = kind; }", kind)
    page.set_input_files("#file", path)


def set_up(page: Any, files: dict[str, Path], *, preset: str = "gram", steps: int = 40) -> None:
    """Photo, painting and a small size."""
    give(page, "photo", files["photo"])
    page.wait_for_selector("#drop-photo img:not([hidden])")
    page.click("[data-tab=paint]")
    give(page, "painting", files["painting"])
    page.wait_for_selector("#paintings .mix")
    page.select_option("#preset", preset)
    for name, value in (("size", 64), ("steps", steps)):
        page.fill(f"#{name}", str(value))
        page.dispatch_event(f"#{name}", "change")


def slide(page: Any, name: str, value: float) -> None:
    script = "([name, value]) => { const e = document.getElementById(name); e.value = value; e.dispatchEvent(new Event('input')); }"  # noqa: E501
    page.evaluate(script, [name, value])


def frames(page: Any) -> int:
    return int(page.evaluate("document.querySelector('.viewer').dataset.frames ?? 0"))


def until(condition: Callable[[], object], page: Any) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + PATIENCE, "it never came about"
        page.wait_for_timeout(50)


def paint(page: Any, studio: Studio) -> int:
    """Begin; how many results there were before."""
    before = len(studio.results())
    page.click("#paint")
    page.wait_for_selector("#job:not([hidden])")
    return before


def newest(page: Any, studio: Studio, before: int) -> Path:
    """The result, once it is on the shelf and shown."""
    until(lambda: len(studio.results()) > before, page)
    page.wait_for_selector("#result:not([hidden])")
    path = max(studio.results(), key=lambda one: one.stat().st_mtime)
    until(lambda: page.inner_text("#result-name") == path.name, page)
    return path


def recipe_of(path: Path) -> TransferRecipe:
    recipe = load_recipe(path)
    assert isinstance(recipe, TransferRecipe)
    return recipe


def test_a_dropped_photo_in_styles(page: Any, studio: Studio, files: dict[str, Path]) -> None:
    """Dropped for real: the event that a browser sends."""
    content = [*files["photo"].read_bytes(), 0]  # another file, for its name
    transfer = page.evaluate_handle(
        """bytes => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "beach.jpg", { type: "image/jpeg" }));
            return files;
        }""",
        content,
    )
    page.dispatch_event("#drop-photo", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#styles button[data-style=mosaic] img")
    assert page.locator("#styles button").count() == 32
    assert page.inner_text("#drop-photo") == "beach.jpg"
    page.click("[data-style=night-cafe]")
    page.wait_for_selector(".viewer[data-quick]")
    page.click("[data-style=church]")
    assert page.locator("#mixture .mix").count() == 2
    seen = page.get_attribute(".viewer", "data-quick")
    slide(page, "quick-strength", 0.6)
    until(lambda: page.get_attribute(".viewer", "data-quick") != seen, page)
    before = len(studio.results())
    page.click("#keep")
    made = load_recipe(newest(page, studio, before))
    assert isinstance(made, StylizeRecipe)
    assert (made.styles, made.strength) == ({"night-cafe": 1.0, "church": 1.0}, 0.6)
    assert "styleforge stylize" in page.inner_text("#command")


def test_live_steps_pause_stop_and_keep(page: Any, studio: Studio, files: dict[str, Path]) -> None:
    set_up(page, files, steps=2000)
    before = paint(page, studio)
    until(lambda: frames(page) >= 3, page)
    assert re.search(r"scale 1 of 1, 64 . \d+, about", page.inner_text("#job-line"))
    page.click("#pause")
    until(lambda: page.inner_text("#job-line") == "Paused", page)
    page.wait_for_timeout(500)
    paused = frames(page)
    page.wait_for_timeout(500)
    assert frames(page) == paused
    page.click("#pause")
    until(lambda: frames(page) > paused, page)
    page.click("#stop")
    path = newest(page, studio, before)
    assert recipe_of(path).evaluations is not None
    assert "styleforge rerun" in page.inner_text("#command")


def test_strength_moved_during_a_run_is_rerun(
    page: Any, studio: Studio, files: dict[str, Path], tmp_path: Path
) -> None:
    set_up(page, files, steps=60)  # so many that a busy browser sees some before the last
    before = paint(page, studio)
    until(lambda: frames(page) >= 1, page)
    slide(page, "strength", 0.9)
    path = newest(page, studio, before)
    (turn,) = recipe_of(path).turns
    assert turn.settings == {"strength": 0.9}
    assert f"From {turn.evaluations} on" in page.inner_text("#recipe")
    command = [sys.executable, "-m", "styleforge", "rerun", str(path), "-q"]
    again = tmp_path / "again.png"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-o", str(again)], check=True, env=environment)
    assert load_image(again).pixels.equal(load_image(path).pixels)


def stroke(page: Any, *places: tuple[float, float]) -> None:
    """With the brush, through places from 0 to 1 of the canvas."""
    box = page.locator("#easel canvas").bounding_box()
    points = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def test_regions_brushed_on_both(page: Any, studio: Studio, files: dict[str, Path]) -> None:
    set_up(page, files, steps=2)
    page.click("#sample-paintings button:nth-child(2)")
    page.click("#brush")
    page.wait_for_selector("#brushes[open]")
    slide(page, "brush-size", 40)
    stroke(page, (0.1, 0.1), (0.9, 0.1))
    page.click("#canvases button:nth-child(3)")
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    page.click("#brushed")
    page.wait_for_selector("#brushes:not([open])", state="attached")
    assert page.inner_text("#regions") == "on the photo and on the paintings"
    path = newest(page, studio, paint(page, studio))
    recipe = recipe_of(path)
    above, rest = (load_image(one.path, min_side=1).pixels for one in recipe.masks)
    assert above[..., 0:10, 40:80].mean() > 0.9
    assert above[..., -20:, :].mean() == 0
    assert (above + rest - 1).abs().mean() < 0.02, "the second goes where the first does not"
    whole, part = (load_image(one.path, min_side=1).pixels for one in recipe.style_masks)
    assert whole.min() == 1
    assert 0.05 < part.mean() < 0.6
    assert load_image(path).pixels.shape[-1] == 64


def test_hover_shows_the_source_and_the_result_is_taken_home(
    page: Any, studio: Studio, files: dict[str, Path], tmp_path: Path
) -> None:
    set_up(page, files, preset="preview", steps=2)
    path = newest(page, studio, paint(page, studio))
    page.wait_for_timeout(1000)
    box = page.locator(".viewer").bounding_box()
    rings = set()
    for u in (0.3, 0.5, 0.7):
        page.mouse.move(box["x"] + u * box["width"], box["y"] + 0.5 * box["height"])
        page.wait_for_selector("#source:not([hidden])")
        rings.add(page.evaluate("document.querySelector('#source i').style.left"))
    assert len(rings) > 1
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.wait_for_selector("#source[hidden]", state="attached")
    for link, name in (("#png", path.name), ("#tiff", path.with_suffix(".tif").name)):
        with page.expect_download() as download:
            page.click(link)
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        recipe = recipe_of(tmp_path / name)
        assert recipe.content.sha256 == load_image(files["photo"]).sha256
    assert recipe.depth == 16
    line = page.inner_text("#command")
    assert line.startswith("styleforge transfer ")
    assert "-p preview -s 64 --steps 2" in line


def test_before_and_after_and_to_the_pixels(page: Any, files: dict[str, Path]) -> None:
    set_up(page, files)
    page.click("[data-tab=styles]")
    page.click("[data-style=mosaic]")
    page.wait_for_selector(".viewer[data-quick]")
    page.click("#split")
    clip = "document.querySelector('.viewer .before').style.clipPath"
    assert page.evaluate(clip) == "inset(0px 50% 0px 0px)"
    line = page.locator(".viewer .line").bounding_box()
    page.mouse.move(line["x"] + line["width"] / 2, line["y"] + line["height"] / 2)
    page.mouse.down()
    page.mouse.move(line["x"] - 150, line["y"] + line["height"] / 2, steps=4)
    page.mouse.up()
    assert page.evaluate(clip) != "inset(0px 50% 0px 0px)"
    page.click("#pixels")
    assert page.inner_text("#zoom") == "100 %"
    box = page.locator(".viewer").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -300)
    until(lambda: page.inner_text("#zoom") != "100 %", page)
    page.click("#fit")


def test_two_tabs_and_one_queue(new_page: Open, studio: Studio, files: dict[str, Path]) -> None:
    one, other = new_page(), new_page()
    set_up(one, files, steps=2000)
    set_up(other, files, steps=2)
    paint(one, studio)
    until(lambda: frames(one) >= 2, one)
    before = len(studio.results())
    other.click("#paint")
    for page in (one, other):
        page.wait_for_selector("#queue li")
        assert "next" in page.inner_text("#queue")
    until(lambda: frames(other) >= 1, other)
    other.click("#cancel")
    until(lambda: len(studio.results()) > before, other)
    assert recipe_of(max(studio.results(), key=lambda p: p.stat().st_mtime)).evaluations is None
    everything = len(studio.results())
    for page in (one, other):
        until(lambda page=page: page.locator("#shelf button").count() == everything, page)  # type: ignore[misc]


def test_a_broken_upload_is_a_line_on_the_page(page: Any, files: dict[str, Path]) -> None:
    give(page, "photo", files["broken"])
    page.wait_for_selector("#said:not([hidden])")
    assert page.inner_text("#said").startswith("broken.jpg is damaged or cut short")
    give(page, "photo", files["photo"])
    page.wait_for_selector("#drop-photo img:not([hidden])")


def test_the_shelf_lasts_and_what_is_on_it_can_be_changed(
    new_page: Open, studio: Studio, files: dict[str, Path]
) -> None:
    page = new_page()
    set_up(page, files, steps=3)
    newest(page, studio, paint(page, studio))
    page.click("[data-tab=paint]")
    slide(page, "strength", 0.35)
    newest(page, studio, paint(page, studio))
    names = {path.name for path in studio.results()}
    studio.end(signal.SIGKILL)
    address = studio.address
    studio.start()
    visit(page, studio)
    shown = page.locator("#shelf button")
    assert {shown.nth(n).get_attribute("data-name") for n in range(shown.count())} == names
    assert address != studio.address
    shown.first.click()
    page.click("#change")
    until(lambda: page.input_value("#strength") == "0.35", page)
    assert page.inner_text("#drop-photo").startswith("photo")
    page.click("[data-tab=result]")
    page.click("#compare")
    shown.nth(1).click()
    assert page.locator(".viewer").count() == 2


def test_a_print_is_planned_before_it_is_painted(
    page: Any, studio: Studio, files: dict[str, Path]
) -> None:
    set_up(page, files, steps=1)
    newest(page, studio, paint(page, studio))
    assert page.is_disabled("#print")
    page.select_option("#paper", "10x15cm")
    page.fill("#dpi", "30")
    page.click("#print-plan")
    until(lambda: "GiB" in page.inner_text("#print-planned"), page)
    assert re.match(r"177 . 118 pixels, about", page.inner_text("#print-planned"))
    before = len(studio.results())
    page.click("#print")
    until(lambda: len(studio.results()) > before, page)
    printed = recipe_of(max(studio.results(), key=lambda one: one.stat().st_mtime))
    assert (printed.settings["size"], printed.dpi) == (177, 30.0)


def test_closing_the_tab_loses_nothing(page: Any, studio: Studio, files: dict[str, Path]) -> None:
    set_up(page, files, steps=4)
    slide(page, "strength", 0.65)
    before = paint(page, studio)
    context = page.context
    page.close()
    page = context.new_page()
    visit(page, studio)
    assert page.inner_text("#drop-photo").startswith("photo")
    assert page.input_value("#strength") == "0.65"
    assert page.locator("#paintings .mix").count() == 1
    until(lambda: len(studio.results()) > before, page)


def test_no_request_left_the_machine(studio: Studio) -> None:
    """Of all that the tests above made the browser ask for; the last one, therefore."""
    kinds = {urlsplit(url).scheme for url in studio.requests}
    assert {"http", "ws"} <= kinds <= {"http", "ws", "blob", "data"}
    hosts = {urlsplit(url).hostname for url in studio.requests if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
    assert len(studio.requests) > 50


def test_nor_does_the_log_of_the_network_know_of_one(
    launch: Launch, studio: Studio, files: dict[str, Path], tmp_path: Path
) -> None:
    """Chromium's own log, of a whole visit: of requests for a page, not of those for itself."""
    log = tmp_path / "net.json"
    chromium = launch(f"--log-net-log={log}")
    page = chromium.new_page()
    visit(page, studio)
    give(page, "photo", files["photo"])
    page.click("[data-style=mosaic]")
    page.wait_for_selector(".viewer[data-quick]")
    chromium.close()
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    started = [event["params"] for event in events if "initiator" in event.get("params", {})]
    asked = [one["url"] for one in started if one["initiator"].startswith("http") and "url" in one]
    assert len(asked) > 40
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}
