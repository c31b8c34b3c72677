"""How much the frames of a panning sequence differ, one from the next, with --sequence and without.

    python -m benchmarks.sequence_flicker [--frames 6] [--size 128] [--shift 2]

Crops of one photo, each so many pixels to the right of the one before, by ``-p preview``. Prints
the mean absolute difference of consecutive results in levels of 255: as they are, and with the
movement taken out, which leaves the flicker alone. The photos' own differences are beside them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import CAFE, CHELSEA
from tests.pictures import Array

START = (120, 40)
"""Of the first crop: the cat's face."""


def write_frames(folder: Path, count: int, size: int, shift: int) -> None:
    photo = Image.open(CHELSEA).convert("RGB")
    left, top = START
    for number in range(count):
        x = left + shift * number
        frame = photo.crop((x, top, x + size, top + size))
        frame.save(folder / f"frame{number + 1}.png")


def read_frames(folder: Path) -> list[Array]:
    return [np.asarray(Image.open(path)).astype(float) for path in sorted(folder.iterdir())]


def differences(frames: Sequence[Array], shift: int) -> tuple[float, float]:
    """Of consecutive frames as they are, and at the same places of the scene."""
    still = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    moved = [np.abs(b[:, :-shift] - a[:, shift:]).mean() for a, b in pairwise(frames)]
    return float(np.mean(still)), float(np.mean(moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--shift", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frames").mkdir()
        write_frames(folder / "frames", arguments.frames, arguments.size, arguments.shift)
        command = [sys.executable, "-m", "styleforge", "batch", "frames", "--style", str(CAFE)]
        command += ["-p", "preview", "-s", str(arguments.size), "-q"]
        subprocess.run([*command, "-o", "alone"], cwd=folder, check=True)
        subprocess.run([*command, "-o", "sequence", "--sequence"], cwd=folder, check=True)
        print("                  as they are   movement taken out")
        for what in ("frames", "alone", "sequence"):
            still, moved = differences(read_frames(folder / what), arguments.shift)
            print(f"{what:>12} {still:16.2f} {moved:16.2f}")


if __name__ == "__main__":
    main()
