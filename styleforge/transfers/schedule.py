"""Which scales a run goes through, and what the style is at each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from styleforge.core.errors import UsageError
from styleforge.images.geometry import Size, fit_size
from styleforge.images.load import MIN_SIDE
from styleforge.optimize.scales import Scale, Stage, plan_scales
from styleforge.presets.transfer import Preset

MAX_ASPECT = 16

SKETCH_SIZES = (96, 256)
"""The smallest and the largest side of a sketch: smaller ones replace the photo's objects."""

SKETCH_STEPS = 2
"""Steps of a sketch for each one that the neighbors take at the same size."""

OFFSETS = ((0, 0), (5, 3), (2, 6), (7, 1))
"""Of the rounds, in turn: all different for squares of four and of eight pixels."""


def plan(content_size: Size, preset: Preset) -> list[Scale]:
    """The scales of a run on a content image of this (width, height), in the order they come in.

    Raises :class:`UsageError` for a strip, or where the result's shorter side would be under 32
    pixels.
    """
    check_shape("the content image", content_size)
    final = fit_size(content_size, preset.size)
    if min(final) < MIN_SIDE:
        needed = math.ceil(MIN_SIDE * max(content_size) / min(content_size))
        raise UsageError(
            f"the content image is {content_size[0]} x {content_size[1]} pixels: at size "
            f"{preset.size} its shorter side would have {min(final)}; use `size` {needed} or more"
        )
    scales = _sizes(final, preset)
    return _with_neighbors(scales, preset) if preset.neighbor_weights else scales


def _sizes(final: Size, preset: Preset) -> list[Scale]:
    if preset.scales is None:
        return [Scale(final, preset.optimizer.steps)]
    return plan_scales(
        final,
        steps=preset.optimizer.steps,
        start=preset.scales.start,
        factor=preset.scales.factor,
        coarse_steps=preset.scales.steps,
    )


def _with_neighbors(scales: Sequence[Scale], preset: Preset) -> list[Scale]:
    """The sketch, then all layers together up to a size, then each by itself up to the last."""
    limit = preset.neighbors.hypercolumns
    coarse = preset.scales.steps if preset.scales else preset.optimizer.steps
    together = [
        Scale(scale.size, coarse, Stage.HYPERCOLUMNS) for scale in scales if scale.longest <= limit
    ]
    alone = [
        Scale(scale.size, steps, Stage.LAYERS, OFFSETS[number % len(OFFSETS)])
        for scale in scales
        if scale.longest > limit or scale is scales[-1]
        for number, steps in enumerate(_shared(preset.optimizer.steps, preset.neighbors.rounds))
    ]
    return [*_sketch(together, preset), *together, *alone]


def _sketch(scales: Sequence[Scale], preset: Preset) -> list[Scale]:
    """By statistics alone, at the sizes that suit it; at the last of the scales if none does."""
    if not preset.sketch:
        return []
    smallest, largest = SKETCH_SIZES
    fitting = [scale for scale in scales if smallest <= scale.longest <= largest] or scales[-1:]
    return [Scale(scale.size, SKETCH_STEPS * scale.steps) for scale in fitting]


def _shared(steps: int, rounds: int) -> list[int]:
    """Steps for each round, as equally as can be, the earlier ones taking what is over."""
    return [steps // rounds + (number < steps % rounds) for number in range(rounds)]


def rest(plan: Sequence[Scale], before: Sequence[Scale], reached: Scale) -> list[Scale]:
    """What of a plan is left for a run that stands at a scale ``reached`` of the plan ``before``.

    Both plans end at the same size. Where they come to the same scale, the run takes its steps
    anew; else it goes on at the first scale that is as large.
    """
    left = len(before) - next(n for n, scale in enumerate(before) if scale is reached)
    if left <= len(plan) and replace(plan[-left], steps=reached.steps) == reached:
        return [*plan[-left:]]
    return [scale for scale in plan if scale.longest >= reached.longest]


def check_shape(what: str, size: Size) -> None:
    """A strip has too few positions across, or would be blown up to a huge image."""
    if max(size) > MAX_ASPECT * min(size):
        raise UsageError(
            f"{what} is {size[0]} x {size[1]} pixels: its longer side may be at most "
            f"{MAX_ASPECT} times its shorter; crop it"
        )
