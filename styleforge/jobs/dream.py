"""A dream made ready."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.core.layers import filters, known_layer
from styleforge.images.geometry import Size, resize, size_text
from styleforge.images.load import MIN_SIDE, Picture, load_image, stem_of
from styleforge.jobs.look import check_seed
from styleforge.jobs.naming import checked_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import PictureSize, SynthesisJob, check_memory, fitting_size
from styleforge.optimize.coarse_to_fine import white_noise
from styleforge.synthesis.dream import Target, dream
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.weights import load_weights

STEPS, STEPS_FROM_NOISE = 10, 50
"""At every octave, where nothing else is said."""

Place = tuple[int, int]
"""(x, y) in pixels."""


def parse_place(text: str | Place | None) -> Place | None:
    """``200,120`` to (200, 120), nothing to None. Raises :class:`UsageError`."""
    if not isinstance(text, str):
        return text
    if not text:
        return None
    found = re.fullmatch(r"(\d+),(\d+)", text)
    if found is None:
        raise UsageError(f"`unit` is X,Y in pixels, such as 200,120 (not {text!r})")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class DreamRequest:
    """What is wanted. No image: noise. ``size``: of a picture only its longest side matters."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    image: str | Path | None = None
    layer: str = "conv5_1"
    channel: int | None = None
    unit: Annotated[Place | None, BeforeValidator(parse_place)] = None
    size: PictureSize = (512, 512)
    steps: int | None = None
    seed: int = 0
    output: Path | None = None
    device: str = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def target(self) -> Target:
        """What is maximised. Raises :class:`UsageError` for a channel that is not there."""
        channels = filters(known_layer(self.layer))
        if self.channel is not None and self.channel >= channels:
            raise UsageError(f"{self.layer} has channels 0 to {channels - 1} (not {self.channel})")
        return Target(self.layer, self.channel, self.unit)

    @property
    def all_steps(self) -> int:
        return self.steps or (STEPS_FROM_NOISE if self.image is None else STEPS)

    @property
    def name(self) -> str:
        """What the output is named after where nothing is said."""
        stem = stem_of(self.image) if self.image else "dream"
        return "_".join([stem, self.layer, *([] if self.channel is None else [str(self.channel)])])

    def size_of(self, picture: Picture | None) -> Size:
        """(width, height) of the result. Raises :class:`UsageError` where that is too small."""
        if picture is not None:
            return fitting_size(picture, max(self.size))
        if min(self.size) < MIN_SIDE:
            raise UsageError(f"`size` needs at least {MIN_SIDE} pixels a side")
        return self.size

    def start(self, picture: Picture | None, size: Size) -> Tensor:
        """The picture, or noise."""
        return white_noise(size, self.seed) if picture is None else resize(picture.pixels, size)

    def options(self) -> dict[str, Any]:
        """What a recipe says of it."""
        return {
            "layer": self.layer,
            "channel": self.channel,
            "unit": "" if self.unit is None else "{},{}".format(*self.unit),
            "size": size_text(self.size),
            "steps": self.all_steps,
            "seed": self.seed,
        }


def prepare(request: DreamRequest) -> SynthesisJob:
    """Check and load. Raises :class:`StyleforgeError`."""
    target = request.target
    device = pick_device(request.device)
    picture = None if request.image is None else load_image(request.image)
    size = request.size_of(picture)
    _check_unit(target, size)
    inputs = [] if picture is None else [picture.path]
    output = checked_output(
        request.output,
        f"{request.name}.png",
        inputs=inputs,
        force=request.force,
        size=size,
    )
    weights = load_weights()
    with out_of_memory_as_error(size):
        network = paper_network(weights, [target.read]).to(device)
    check_memory(network, size, device)
    start = request.start(picture, size)
    run = dream(network, target, start, steps=request.all_steps, seed=request.seed)
    recipe = SynthesisRecipe(
        command="dream",
        inputs={} if picture is None else {"image": Input.of(picture)},
        options=request.options(),
        weights=weights.origin,
        device=device.type,
        versions=versions(),
    )
    return SynthesisJob(output, device, recipe, [run], run.image)


def _check_unit(target: Target, size: Size) -> None:
    if target.unit is not None and any(
        place >= side for place, side in zip(target.unit, size, strict=True)
    ):
        x, y = target.unit
        raise UsageError(f"`unit` {x},{y} is outside of the picture, {size[0]} x {size[1]} pixels")
