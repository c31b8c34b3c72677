"""How fast the studio answers, and what its pictures on the way cost.

    python benchmarks/studio_speed.py PHOTO PAINTING [--size 512] [--rounds 3]

"painted" is a one-pass picture of 384 pixels in the server, in milliseconds of the processor, which
other work on the machine does not change much.
"drop" is from a file given to the page until its first one-pass picture is drawn, "slider" from a
slider's move until then, both at 384 pixels in headless Chromium. "frames" are the steps of a
transfer that arrive in the page. "overhead" is the processor time of a transfer as the studio's
worker carries it out, over that of the command line's, in turn, in one process; the drawing of the
frames is the browser's and not in it. Prints medians.

Needs: pip install 'styleforge[studio]' playwright, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from styleforge.cli import transfer_run
from styleforge.cli.report import Manner
from styleforge.jobs.styles import Painting
from styleforge.jobs.transfer import TransferJob, TransferRequest
from styleforge.presets.transfer import load_preset
from styleforge.studio.live import Artist
from styleforge.studio.pictures import Stored
from styleforge.studio.quick import QuickPainter
from styleforge.studio.tasks import QuickTask

QUICK = "document.querySelector('.viewer').dataset.quick"


@contextmanager
def studio_page(folder: Path) -> Iterator[Any]:
    """The page of a studio of its own."""
    command = [sys.executable, "-m", "styleforge", "studio", "--no-open", "--port", "0"]
    studio = subprocess.Popen([*command, "-o", str(folder)], stdout=subprocess.PIPE, text=True)
    assert studio.stdout is not None
    address = studio.stdout.readline().strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        yield page
        browser.close()
    studio.terminate()
    studio.wait()


def painted(photo: Path, rounds: int) -> None:
    """Print what a mixture of two styles takes of the processor."""
    painter, stored = QuickPainter("cpu"), Stored("photo", "photo", photo, (0, 0))
    times = []
    for number in range(4 * rounds + 2):  # the first two load and warm up
        strength = 1 - number / 1000
        task = QuickTask(photo="photo", styles={"oil": 1.0, "ember": 0.5}, strength=strength)
        started = time.process_time()
        painter.paint(stored, task)
        times.append(time.process_time() - started)
    print(f"painted  {1000 * statistics.median(times[2:]):.0f} ms of the processor")


def give(page: Any, kind: str, path: Path) -> None:
    """As if the file was dropped."""
    page.evaluate("kind => { document.getElementById('file').dataset.kind = kind; }", kind)
    page.set_input_files("#file", path)


def until_painted(page: Any, act: Any) -> float:
    """Seconds from an act until the page has drawn another one-pass picture."""
    seen = page.evaluate(QUICK)
    started = page.evaluate("performance.now()")
    act()
    page.wait_for_selector(f".viewer[data-quick]:not([data-quick='{seen}'])", state="attached")
    return (float(page.evaluate(QUICK)) - float(started)) / 1000


def answers(page: Any, photo: Path, rounds: int) -> None:
    """Print how long a drop and a slider take."""
    give(page, "photo", photo)
    page.wait_for_selector("#styles button")
    page.click("[data-style=oil]")
    page.wait_for_selector(".viewer[data-quick]")
    page.wait_for_timeout(5000)  # until the styles' thumbnails are there
    drops = [until_painted(page, lambda: give(page, "photo", photo)) for _ in range(rounds)]
    move = "v => { const e = document.getElementById('quick-strength'); e.value = v; e.dispatchEvent(new Event('input')); }"  # noqa: E501
    page.wait_for_timeout(3000)
    values = [0.5 + 0.4 * number / (4 * rounds) for number in range(4 * rounds)]
    slides = [until_painted(page, lambda v=value: page.evaluate(move, v)) for value in values]
    print(f"drop     {1000 * statistics.median(drops):.0f} ms")
    print(f"slider   {1000 * statistics.median(slides):.0f} ms, at most {1000 * max(slides):.0f}")


def frames(page: Any, painting: Path, size: int) -> None:
    """Print how many steps of a transfer arrive in a second."""
    page.click("[data-tab=paint]")
    give(page, "painting", painting)
    page.wait_for_selector("#paintings .mix")
    page.fill("#size", str(size))
    page.dispatch_event("#size", "change")
    page.click("#paint")
    page.wait_for_selector(".viewer[data-frames]", timeout=600_000)
    started = time.perf_counter()
    page.wait_for_selector("#job[hidden]", state="attached", timeout=3_600_000)
    seconds = time.perf_counter() - started
    count = int(page.evaluate("document.querySelector('.viewer').dataset.frames"))
    print(f"frames   {count} in {seconds:.0f} s: {count / seconds:.1f} a second")


def overhead(request: TransferRequest, rounds: int) -> None:
    """Print the processor seconds of both ways, and by how much the studio's are more."""
    ours, other = Pipe()
    threading.Thread(target=_drain, args=(other,), daemon=True).start()
    plain, live = [], []
    for _ in range(rounds + 1):  # the first warms up
        started = time.process_time()
        transfer_run.run(TransferJob.prepare(request), Manner("transfer", True, False, started))
        plain.append(time.process_time() - started)
        started = time.process_time()
        Artist(ours).do(request)
        live.append(time.process_time() - started)
    before, now = statistics.median(plain[1:]), statistics.median(live[1:])
    print(f"overhead {100 * (now / before - 1):.1f} % ({before:.1f} s and {now:.1f} s)")


def _drain(line: Any) -> None:
    with suppress(EOFError):  # at the end
        while True:
            line.recv()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    painted(asked.photo, asked.rounds)
    with tempfile.TemporaryDirectory() as folder:
        with studio_page(Path(folder, "results")) as page:
            answers(page, asked.photo, asked.rounds)
            frames(page, asked.painting, asked.size)
        request = TransferRequest(
            photo=asked.photo,
            paintings=[Painting(asked.painting)],
            preset_name="painterly",
            preset=load_preset("painterly", {"size": asked.size}),
            output=str(Path(folder, "out.png")),
            force=True,
        )
        overhead(request, asked.rounds)


if __name__ == "__main__":
    main()
