"""A dream made ready and carried out."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styleforge.cli.synthesis import carry_out, check_memory, fitting_size, say_saved
from styleforge.devices import out_of_memory_as_error, pick_device
from styleforge.dream import Dream, Target
from styleforge.errors import UsageError
from styleforge.images import MIN_SIDE, load_image, resize
from styleforge.layers import CONVOLUTIONS
from styleforge.loss_network import paper_network
from styleforge.output import check_output, save_image
from styleforge.synthesis import Size, white_noise
from styleforge.weights import load_weights


@dataclass(frozen=True)
class Request:
    """What the user asked for. ``size``: of a picture, only its longest side matters."""

    image: Path | None
    target: Target
    output: Path
    size: Size
    steps: int
    seed: int
    device: str
    force: bool

    def start(self) -> Tensor:
        """The picture, or noise, at the size of the result."""
        if self.image is not None:
            picture = load_image(self.image)
            return resize(picture.pixels, fitting_size(picture, max(self.size)))
        if min(self.size) < MIN_SIDE:
            raise UsageError(f"--size needs at least {MIN_SIDE} pixels a side")
        return white_noise(self.size, self.seed)


def target(layer: str, channel: int | None, unit: str) -> Target:
    """What the options name. Raises :class:`UsageError`."""
    channels = CONVOLUTIONS[f"conv{layer[4]}_1"]
    if channel is not None and channel >= channels:
        raise UsageError(f"{layer} has channels 0 to {channels - 1} (not {channel})")
    if not unit:
        return Target(layer, channel)
    place = re.fullmatch(r"(\d+),(\d+)", unit)
    if place is None:
        raise UsageError(f"--unit is X,Y in pixels, such as 200,120 (not {unit!r})")
    return Target(layer, channel, (int(place[1]), int(place[2])))


def run(request: Request, *, quiet: bool) -> None:
    """Dream, and save the picture; after Ctrl-C, what there is."""
    started = time.perf_counter()
    device = pick_device(request.device)
    start = request.start()
    size = start.shape[3], start.shape[2]
    _check_unit(request.target, size)
    check_output(
        request.output,
        inputs=[request.image] if request.image else [],
        force=request.force,
        depth=8,
        pixels=size[0] * size[1],
    )
    with out_of_memory_as_error(size):
        network = paper_network(load_weights(), [request.target.read]).to(device)
    check_memory(network, size, device)
    dream = Dream(network, request.target, start, steps=request.steps, seed=request.seed)
    finished = carry_out([dream], quiet=quiet)
    save_image(request.output, dream.image())
    seconds = time.perf_counter() - started
    say_saved(request.output, size, seconds=seconds, finished=finished, quiet=quiet)


def _check_unit(target: Target, size: Size) -> None:
    if target.unit is not None and any(
        place >= side for place, side in zip(target.unit, size, strict=True)
    ):
        x, y = target.unit
        raise UsageError(f"--unit {x},{y} is outside of the picture, {size[0]} x {size[1]} pixels")
