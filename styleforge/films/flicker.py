"""How much a film flickers: the warping error of Lai et al. (2018).

    E = sum m |warp(next) - this|^2 / sum m         over pixels and pairs of frames of one shot

with the motion, and where it is known (m), of the original. Colors are in [0, 1], and squared
differences averaged over the three channels. A painted film cannot be steadier than its original
moves, so its own error is measured beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from styleforge.films.cuts import begins_shot
from styleforge.films.flow import Field, motion, warped
from styleforge.films.reading import Levels


@dataclass
class Flicker:
    """Of a film and its original, so far."""

    pairs: int = 0
    """Of consecutive frames of one shot."""
    cuts: int = 0
    _known: float = 0.0
    _original: float = 0.0
    _painted: float = 0.0

    @property
    def original(self) -> float:
        """E of the original; 0 where nothing was compared."""
        return self._original / max(self._known, 1.0)

    @property
    def painted(self) -> float:
        """E of the painted film."""
        return self._painted / max(self._known, 1.0)

    def add(self, original: tuple[Levels, Levels], painted: tuple[Levels, Levels]) -> None:
        """Two consecutive frames of each, all (H, W, 3) and of one size."""
        this, following = original
        if begins_shot(following, this):
            self.cuts += 1
            return
        found = motion(this, following)
        self.pairs += 1
        self._known += float(found.known.sum())
        self._original += error(this, following, found.flow, found.known)
        self._painted += error(*painted, found.flow, found.known)


def error(this: Levels, following: Levels, flow: Field, known: Field) -> float:
    """Sum m |warp(next) - this|^2 of two frames (H, W, 3)."""
    moved = warped(following.astype(np.float32), flow, interpolation=cv2.INTER_LINEAR)
    apart = np.square((moved - this) / 255).mean(2)
    return float((known * apart).sum(dtype=np.float64))


def flickers(originals: Iterator[Levels], painted: Iterator[Levels]) -> Iterator[Flicker]:
    """What is known after each pair of frames, which are of one size; to the shorter one's end."""
    found = Flicker()
    before: tuple[Levels, Levels] | None = None
    for now in zip(originals, painted, strict=False):
        if before is not None:
            found.add((before[0], now[0]), (before[1], now[1]))
            yield found
        before = now
