"""A sheet of both tools' defaults at 512 pixels, with the seconds that each took.

    python benchmarks/sheet_against_pastiche.py FOLDER STEPS CONTENT STYLE [CONTENT STYLE ...]

Every run is a whole process, timed from the outside, on two threads. STEPS is pastiche's number
of steps; its default is 1000, which takes the better part of an hour a picture on two cores, so
a smaller number is written on the sheet. The sheet is FOLDER/sheet.jpg.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = 512
CELL = 400
BAND = 26


def timed(command: list[str]) -> float:
    """Seconds that a process takes on two threads; a failure ends the benchmark."""
    started = time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
    return time.perf_counter() - started


def run_styleforge(content: Path, style: Path, output: Path) -> float:
    arguments = [str(content), str(style), "-o", str(output), "-s", str(SIZE), "-d", "cpu", "-f"]
    return timed([sys.executable, "-m", "styleforge", "transfer", *arguments])


def run_pastiche(content: Path, style: Path, output: Path, steps: int) -> float:
    arguments = ["-c", str(content), "-s", str(style), "-o", str(output), "--device", "cpu"]
    limits = ["--size", str(SIZE), "--num-steps", str(steps), "--seed", "0"]
    return timed([sys.executable, "-W", "ignore", "-m", "pastiche", *arguments, *limits])


def cell(picture: Path, label: str) -> Image.Image:
    """A picture fitted into a square above one line of text."""
    canvas = Image.new("RGB", (CELL, CELL + BAND), "white")
    image = Image.open(picture).convert("RGB")
    image.thumbnail((CELL - 6, CELL - 6), Image.Resampling.LANCZOS)
    canvas.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    font = ImageFont.load_default(15)
    ImageDraw.Draw(canvas).text((8, CELL + 3), label, fill="black", font=font)
    return canvas


def row(content: Path, style: Path, folder: Path, steps: int) -> list[Image.Image]:
    """Photo, painting, styleforge's default, pastiche's."""
    stem = f"{content.stem}_{style.stem}"
    ours, theirs = folder / f"{stem}_styleforge.png", folder / f"{stem}_pastiche.png"
    seconds = run_styleforge(content, style, ours), run_pastiche(content, style, theirs, steps)
    print(f"{stem}: styleforge {seconds[0]:.0f} s, pastiche {seconds[1]:.0f} s", flush=True)
    return [
        cell(content, "photo"),
        cell(style, "painting"),
        cell(ours, f"styleforge, {seconds[0]:.0f} s"),
        cell(theirs, f"pastiche, {steps} steps, {seconds[1]:.0f} s"),
    ]


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [Path(argument) for argument in sys.argv[3:]]
    rows = [
        row(content, style, folder, steps)
        for content, style in zip(paths[::2], paths[1::2], strict=True)
    ]
    sheet = Image.new("RGB", (4 * CELL, len(rows) * (CELL + BAND)), "white")
    for y, cells in enumerate(rows):
        for x, image in enumerate(cells):
            sheet.paste(image, (x * CELL, y * (CELL + BAND)))
    sheet.save(folder / "sheet.jpg", quality=85)


if __name__ == "__main__":
    main()
