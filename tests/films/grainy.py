"""``python -m tests.films.grainy FILM CODEC``: grain, which leaves an encoder much to choose."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from styleforge.films.color import BT709, LIMITED, Color
from styleforge.films.reading import Film, Frame
from styleforge.films.writing import Encoding, FilmWriter
from tests.films.made import STEP, TIME_BASE, pan, save

FRAMES, SIZE = 20, (160, 120)


def main(path: Path, codec: str) -> None:
    source = save(path.with_suffix(".source.mkv"), pan(1, size=SIZE))
    color = Color(BT709, BT709, BT709, LIMITED)
    film = Film(source, SIZE, TIME_BASE, Fraction(25), FRAMES / 25, Fraction(0), color)
    grain = np.random.default_rng(0)
    with FilmWriter(path, film, Encoding(path.suffix, codec)) as writer:
        for number, frame in enumerate(pan(FRAMES, size=SIZE)):
            levels = frame + grain.integers(-40, 41, frame.shape)
            writer.add(Frame(STEP * number, STEP, np.clip(levels, 0, 255).astype(np.uint8)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
