"""Frames optimised one after the other, each in a few steps from the last result, moved."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error
from styleforge.images.colors import grey, match_colors
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.losses.temporal import Held
from styleforge.presets.transfer import Preset, Scales
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.studio import Studio

STEPS, _PART = 3, 7
"""Of a frame after the first, but no more than such a part of the first one's: so it takes about a
sixth of its time, by whatever preset."""

HELD, STIFFNESS = 300.0, 0.5
"""Weight of the temporal loss, and how much less by a step what is known may change."""

COARSE_STEPS, _COARSE = 3, 2
"""Steps at such a part of the size before."""


@dataclass(frozen=True)
class Followed:
    """The last result, moved to where its scene is now, and how far it can be followed.

    ``result`` (1, 3, H, W), ``start`` and ``share`` (1, 1, H, W), in [0, 1]: a frame starts from
    the result where ``start`` says so, and is held to it by ``share``.
    """

    result: Tensor
    start: Tensor
    share: Tensor


class OptimizedFrames:
    """Pictures (1, 3, H, W) of a film, of one size, in their order, by a preset."""

    def __init__(self, studio: Studio, size: Size) -> None:
        self._studio = studio
        self._following = copy.copy(studio)
        self._following.preset = following(studio.preset, size)
        self._following.neighbors = replace(
            studio.neighbors, preset=self._following.preset, keeps_cells=True
        )

    def first(self, frame: Tensor) -> Tensor:
        """Of a shot: as any picture is painted."""
        return _finished(StyleTransfer(self._studio, frame))

    def following(self, frame: Tensor, followed: Followed) -> Tensor:
        """One that starts from the last, and where that is new from what suits it of the painting.

        Which is found with its own recolored self; a weak style leaves some of that.
        """
        start = torch.lerp(self._fresh(frame), followed.result, followed.start)
        in_grey = self._studio.preset.colors in ("luminance", "keep")
        target = grey(followed.result) if in_grey else followed.result
        new = (1 - followed.start) * min(1.0, 2 * self._studio.preset.strength)
        held = Held(target, followed.share, new, HELD, STIFFNESS)
        return _finished(StyleTransfer(self._following, frame, init=start, held=held))

    def _fresh(self, frame: Tensor) -> Tensor:
        """Without what a coarse scale does not see: strokes take the place of its detail."""
        size = size_of(frame)
        coarse = fit_size(size, _coarse(size))
        if self._studio.preset.colors == "style":
            frame = match_colors(frame, self._studio.colors(max(size))).clamp(0, 1)
        return resize(resize(frame, coarse), size)


def following(preset: Preset, size: Size) -> Preset:
    """Few steps at the final size, after some at half of it, where what is new is painted.

    There places are matched by all layers together; what is known keeps its detail.
    """
    optimizer = preset.optimizer.model_copy(update={"steps": _steps(preset.optimizer.steps)})
    longest = _coarse(size)
    neighbors = preset.neighbors.model_copy(
        update={"rounds": 1, "hypercolumns": longest, "sketch": 0.0}
    )
    scales = Scales(start=longest, factor=_COARSE, steps=COARSE_STEPS, detail=1.0)
    changed = {"scales": scales, "optimizer": optimizer, "neighbors": neighbors}
    return preset.model_copy(update=changed)


def _steps(of_first: int) -> int:
    return min(STEPS, of_first, max(1, of_first // _PART))


def _coarse(size: Size) -> int:
    """Longest side, in pixels, of the scale before the last."""
    return max(MIN_SIDE, round(max(size) / _COARSE))


def _finished(transfer: StyleTransfer) -> Tensor:
    with out_of_memory_as_error(transfer.scales[-1].size):
        for _ in transfer:
            pass
    return transfer.image()
