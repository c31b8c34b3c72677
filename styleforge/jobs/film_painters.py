"""Ways to repaint the frames of a film one after the other, each from what became of the last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from styleforge.films.flow import Motion, motion, warped
from styleforge.films.optimized import Followed, OptimizedFrames
from styleforge.films.reading import Levels
from styleforge.films.steady import recognized, steadied, trust
from styleforge.images.geometry import Size
from styleforge.images.load import Picture
from styleforge.images.save import to_levels
from styleforge.jobs.painters import NetworkPainter

_STILL = 0.9
"""Of an optimised frame, how much is the last one where nothing moves."""


class Moved(NamedTuple):
    """A frame within a shot: how it moved since the last one, and what that was and became."""

    frame: Levels
    motion: Motion
    before: Levels
    result: Levels


class FilmPainter(Protocol):
    """Repaints frames (H, W, 3) of one size, in their order."""

    def first(self, frame: Levels, /) -> Levels:
        """Of a shot."""

    def following(self, moved: Moved, /) -> Levels:
        """A later one."""

    def seconds(self, first: int, later: int, size: Size) -> float:
        """About how long so many frames of a (width, height) take that begin shots, and others."""


@dataclass(frozen=True)
class SteadyNetwork:
    """A network's frames, each mixed with ``steadiness`` times the one before it, moved."""

    painter: NetworkPainter
    steadiness: float

    def first(self, frame: Levels) -> Levels:
        return to_levels(self.painter.paint(picture_of(frame)))

    def following(self, moved: Moved) -> Levels:
        painted = self.first(moved.frame)
        if not self.steadiness:
            return painted
        trusted = trust(moved.motion, moved.frame, moved.before)
        return steadied(
            painted, moved.result, moved.motion.flow, trusted, steadiness=self.steadiness
        )

    def seconds(self, first: int, later: int, size: Size) -> float:
        """By one frame: all take as long as a later one."""
        frame = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        result = self.first(frame)  # warms up
        started = time.perf_counter()
        self.following(Moved(frame, motion(frame, frame), frame, result))
        return (first + later) * (time.perf_counter() - started)


@dataclass(frozen=True)
class OptimizedFilm:
    """Frames by optimisation, each from the last result, moved.

    Where nothing moves they are mixed with it as a network's: a still stays still.
    """

    frames: OptimizedFrames

    def first(self, frame: Levels) -> Levels:
        return to_levels(self.frames.first(pixels_of(frame)))

    def following(self, moved: Moved) -> Levels:
        trusted = trust(moved.motion, moved.frame, moved.before)
        followed = Followed(
            result=pixels_of(warped(moved.result, moved.motion.flow)),
            start=torch.from_numpy(recognized(moved.motion, moved.frame, moved.before))[None, None],
            share=torch.from_numpy(trusted)[None, None],
        )
        painted = to_levels(self.frames.following(pixels_of(moved.frame), followed))
        still = trusted * np.exp(-np.square(moved.motion.flow).sum(2))
        return steadied(painted, moved.result, moved.motion.flow, still, steadiness=_STILL)

    def seconds(self, first: int, later: int, size: Size) -> float:
        return self.frames.seconds(first, later, size)


def picture_of(frame: Levels) -> Picture:
    """For painters of photos."""
    return Picture(Path("frame"), "", pixels_of(frame), None, b"")


def pixels_of(frame: Levels) -> Tensor:
    """(H, W, 3) of levels to (1, 3, H, W) in [0, 1]."""
    numbers = np.ascontiguousarray(frame).astype(np.float32) / 255
    return torch.from_numpy(numbers).permute(2, 0, 1)[None].contiguous()
