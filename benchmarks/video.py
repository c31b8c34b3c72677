"""Films: how much they flicker and how long they take, painted frame by frame and by ``video``.

    python -m benchmarks.video FILM --style mosaic [--size 512] [--frames 132]
    python -m benchmarks.video FILM --painting painting.jpg [--preset preview] [--size 256] ...

Of the film and of three clips made from photographs: a window that pans, turns and comes nearer;
the same with a second photograph that goes across; and one that pans so fast that much comes in at
its side. For each: the warping error (styleforge flicker) of the original, of its frames painted
one by one, and of the film; the quotient of the last two; the frames a second of the whole command;
and how sharp places are that are in sight for so many frames, beside the same places painted one by
one (the energy of the high band, by the motion of the original). At last a still: how far
consecutive frames of its film are apart, in levels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from styleforge.films.flow import motion, warped
from styleforge.images.colors import luminance
from styleforge.jobs.film_painters import pixels_of
from styleforge.transfers.patches import high_band
from tests.conftest import SAMPLES
from tests.films.made import frames_of, save
from tests.pictures import Array

WINDOW = (480, 272)
"""Of the clips that are made."""

AGES = ((0, 0), (1, 3), (4, 8), (9, 10**6))
"""Frames for which a place has been in sight, from and to."""

BEHIND, BEFORE = (SAMPLES / "content" / name for name in ("rocket.jpg", "chelsea.jpg"))


def moving(frames: int, *, crossed: bool) -> Iterator[Array]:
    """Views of a photograph; ``crossed`` by a disc of another one."""
    far, near = (np.asarray(Image.open(path).convert("RGB")) for path in (BEHIND, BEFORE))
    width, height = WINDOW
    for k in range(frames):
        frame = _view(far, turned=0.3 * k, scale=1.2 + 0.006 * k, shift=(2.0 * k, 0.8 * k))
        if crossed:
            place = (120 + 5 * k, round(136 + 15 * np.sin(k / 5)))
            disc = cv2.circle(np.zeros((height, width), np.uint8), place, 60, 1, -1)
            shift = (width / 2 - place[0], height / 2 - place[1])
            frame = np.where(disc[..., None], _view(near, turned=0, scale=1, shift=shift), frame)
        yield frame


def fast(frames: int) -> Iterator[Array]:
    """A pan over a photograph, 20 pixels a frame."""
    photo = np.asarray(Image.open(BEFORE).convert("RGB"))
    for k in range(frames):
        yield _view(photo, turned=0, scale=1.6, shift=(20.0 * k - 120, 2.0 * k))


def _view(photo: Array, *, turned: float, scale: float, shift: tuple[float, float]) -> Array:
    """A window into a photograph around its middle."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turned, scale)
    matrix[:, 2] += (WINDOW[0] - width) / 2 - shift[0], (WINDOW[1] - height) / 2 - shift[1]
    return cv2.warpAffine(photo, matrix, WINDOW, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def run(folder: Path, *arguments: object) -> Any:
    """A command's JSON."""
    command = [sys.executable, "-m", "styleforge", *map(str, arguments), "--json", "-q"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def one_by_one(folder: Path, film: Path, how: Sequence[object], *, network: bool) -> Path:
    """Each frame by itself: of a network without steadiness, after a painting as photos."""
    output = folder / f"alone_{film.stem}.mkv"
    if network:
        run(folder, "video", film, *how, "--steady", "0", "-o", output)
        return output
    frames = []
    for number, levels in enumerate(frames_of(film)):
        photo, painted = folder / f"{number}.png", folder / f"{number}_painted.png"
        Image.fromarray(levels).save(photo)
        run(folder, "transfer", photo, *how, "-o", painted, "--force")
        frames.append(np.asarray(Image.open(painted)))
    return save(output, [_even(frame) for frame in frames], options={"crf": "18"})


def _even(frame: Array) -> Array:
    """With sides as a film's are: the last row and column twice where they are odd."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


def ages(film: Sequence[Array]) -> Iterator[Array]:
    """For how many frames each place has been followed; those of the first frame, always."""
    age = np.full(film[0].shape[:2], AGES[-1][0], np.float32)
    yield age
    for before, now in pairwise(film):
        found = motion(now, before)
        older = 1 + warped(age, found.flow, interpolation=cv2.INTER_NEAREST)
        age = np.where(found.known, older, 0).astype(np.float32)
        yield age


def sharpness(film: Path, alone: Path, painted: Path) -> str:
    """By age, the high band's energy over that of the frames painted one by one; and its share."""
    originals, ones, others = (frames_of(path) for path in (film, alone, painted))
    size = ones[0].shape[1::-1]
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in originals]
    aged = np.stack(list(ages(small)))[1:]
    theirs, ours = (np.stack([_energy(x) for x in own[1:]]) for own in (ones, others))
    places = {(a, b): (aged >= a) & (aged <= b) for a, b in AGES}
    return ", ".join(
        f"from {a}: {ours[at].sum() / theirs[at].sum():.2f} ({at.mean():.0%})"
        for (a, _), at in places.items()
        if at.any()
    )


def _energy(levels: Array) -> Array:
    energy: Array = high_band(luminance(pixels_of(levels)))[0, 0].square().numpy()
    return energy


def measure(folder: Path, film: Path, how: Sequence[object], *, network: bool) -> None:
    """A line of the table."""
    painted = folder / f"painted_{film.stem}.mkv"
    report = run(folder, "video", film, *how, "-o", painted)
    alone = one_by_one(folder, film, how, network=network)
    errors = [run(folder, "flicker", film, one) for one in (alone, painted)]
    original, before, after = errors[0]["original"], errors[0]["painted"], errors[1]["painted"]
    rate = report["frames"] / report["seconds"]
    print(
        f"| {film.stem} | {original:.6f} | {before:.6f} | {after:.6f} | {after / before:.2f} "
        f"| {after / original:.1f} | {rate:.2f} | {sharpness(film, alone, painted)} |",
        flush=True,
    )


def measure_still(folder: Path, how: Sequence[object]) -> None:
    film = save(folder / "still.mkv", [next(moving(1, crossed=True))] * 8, options={"crf": "0"})
    run(folder, "video", film, *how, "-o", "still.mp4", "--crf", "0")
    apart = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames_of(folder / "still.mp4"))]
    print(f"still: {np.mean(apart):.2f} levels from frame to frame, at most {np.max(apart):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--style")
    parser.add_argument("--painting", type=Path)
    parser.add_argument("--preset", default="preview")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--start", type=float, default=1.0, help="of the film, in seconds")
    chosen = parser.parse_args()
    how: list[object] = ["-s", chosen.size]
    if chosen.style:
        how += ["--style", chosen.style]
    else:
        how = [chosen.painting.resolve(), "-p", chosen.preset, *how]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = round(25 * chosen.start)
        film = frames_of(chosen.film)[first : first + chosen.frames]
        clips = {
            "film": film,
            "pan": list(moving(chosen.frames, crossed=False)),
            "crossed": list(moving(chosen.frames, crossed=True)),
            "fast": list(fast(chosen.frames)),
        }
        print(
            "| clip | original | one by one | video | quotient | of original | frames/s | by age |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|---|")
        for stem, frames in clips.items():
            path = save(folder / f"{stem}.mkv", frames, options={"crf": "5"})
            measure(folder, path, how, network=bool(chosen.style))
        measure_still(folder, how)


if __name__ == "__main__":
    main()
