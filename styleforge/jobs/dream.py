"""A dream made ready and carried out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.core.layers import CONVOLUTIONS
from styleforge.images.load import MIN_SIDE, Picture, load_image, resize
from styleforge.images.save import check_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import Destination, carry_out, check_memory, fitting_size, save
from styleforge.synthesis.dream import Dream, Target
from styleforge.synthesis.run import Size, white_noise
from styleforge.transfer.loss_network import paper_network
from styleforge.vgg.weights import load_weights


@dataclass(frozen=True)
class Request:
    """What the user asked for. ``size``: of a picture, only its longest side matters."""

    image: Path | None
    target: Target
    size: Size
    steps: int
    seed: int
    device: str

    def start(self, picture: Picture | None) -> Tensor:
        """The picture, or noise, at the size of the result."""
        if picture is not None:
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


def run(request: Request, to: Destination) -> None:
    """Dream, and save the picture; after Ctrl-C, what there is."""
    device = pick_device(request.device)
    picture = None if request.image is None else load_image(request.image)
    start = request.start(picture)
    size = start.shape[3], start.shape[2]
    _check_unit(request.target, size)
    inputs = [] if request.image is None else [request.image]
    check_output(to.output, inputs=inputs, force=to.force, depth=8, pixels=size[0] * size[1])
    weights = load_weights()
    with out_of_memory_as_error(size):
        network = paper_network(weights, [request.target.read]).to(device)
    check_memory(network, size, device)
    dream = Dream(network, request.target, start, steps=request.steps, seed=request.seed)
    finished = carry_out([dream], quiet=to.quiet)
    recipe = SynthesisRecipe(
        command="dream",
        inputs={} if picture is None else {"image": Input.of(picture)},
        options=_options(request),
        weights=weights.origin,
        device=device.type,
        versions=versions(),
    )
    save(to, dream.image(), recipe, finished=finished)


def _options(request: Request) -> dict[str, Any]:
    """What the command was given."""
    target, (width, height) = request.target, request.size
    return {
        "layer": target.layer,
        "channel": target.channel,
        "unit": "" if target.unit is None else "{},{}".format(*target.unit),
        "size": f"{width}x{height}",
        "steps": request.steps,
        "seed": request.seed,
    }


def _check_unit(target: Target, size: Size) -> None:
    if target.unit is not None and any(
        place >= side for place, side in zip(target.unit, size, strict=True)
    ):
        x, y = target.unit
        raise UsageError(f"--unit {x},{y} is outside of the picture, {size[0]} x {size[1]} pixels")
