"""Frames optimised one after the other, each in a few steps from the last result, moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error
from styleforge.images.colors import grey, match_colors
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.losses.temporal import Held
from styleforge.presets.transfer import Preset, Scales
from styleforge.transfers.estimate import available_memory, estimate, extra_bytes, measured_speed
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.schedule import plan
from styleforge.transfers.studio import Studio
from styleforge.transfers.styles import StyleImage

STEPS, COARSE_STEPS, _COARSE = 1, 6, 2
"""Of a frame after the first: at its size, and before at such a part of it. So it takes about a
seventh of a picture's time: strokes are made at the coarse size, and get crisp at the other."""

SAMPLES = 1024
"""Places of a painting among which layers find their neighbors."""

RIM = 0.05
"""Of a painting's sides, from which nothing is taken for what comes in at the side of a frame."""

HELD, STIFFNESS = 300.0, 0.5
"""Weight of the temporal loss, and how much less by a step what is known may change."""


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
        self._following = studio.with_styles(studio.styles, following(studio.preset, size))
        self._following.neighbors = replace(
            self._following.neighbors,
            styles=[unframed(style) for style in studio.styles],
            keeps_cells=True,
            samples=SAMPLES,
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

    def seconds(self, first: int, later: int, size: Size) -> float:
        """About how long so many of a (width, height) take that begin shots, and others."""
        studio, following = self._studio, self._following
        speed = measured_speed(studio.network, studio.device)
        return sum(
            count
            * estimate(
                one.network,
                plan(size, one.preset),
                device=one.device,
                memory=available_memory(one.device),
                speed=speed,
                extra=extra_bytes(one.preset),
            ).seconds
            for one, count in ((studio, first), (following, later))
            if count
        )

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
    steps = preset.optimizer.steps
    optimizer = preset.optimizer.model_copy(update={"steps": min(STEPS, steps)})
    longest = _coarse(size)
    neighbors = preset.neighbors.model_copy(
        update={"rounds": 1, "hypercolumns": longest, "sketch": 0.0}
    )
    coarse = min(COARSE_STEPS, preset.scales.steps if preset.scales else steps)
    scales = Scales(start=longest, factor=_COARSE, steps=coarse, detail=1.0)
    changed = {"scales": scales, "optimizer": optimizer, "neighbors": neighbors}
    return preset.model_copy(update=changed)


def unframed(style: StyleImage) -> StyleImage:
    """A style image without its rim, by its mask, unless that leaves the rim alone.

    The edge of a painting, and the line around a print, is what the edge of a picture is most
    like, and would come in with every frame of a film that pans.
    """
    width, height = size_of(style.image)
    across, down = (round(side * RIM) for side in (width, height))
    inside = style.image.new_zeros(1, 1, height, width)
    inside[:, :, down : height - down, across : width - across] = 1
    mask = inside if style.mask is None else inside * style.mask
    return style._replace(mask=mask) if mask.any() else style


def _coarse(size: Size) -> int:
    """Longest side, in pixels, of the scale before the last."""
    return max(MIN_SIDE, round(max(size) / _COARSE))


def _finished(transfer: StyleTransfer) -> Tensor:
    with out_of_memory_as_error(transfer.scales[-1].size):
        for _ in transfer:
            pass
    return transfer.image()
