"""Textures made ready: synthesised from a painting, or sampled from a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict
from torch import Tensor

from styleforge.core.devices import free_memory, out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import is_elsewhere
from styleforge.images.geometry import size_text
from styleforge.images.load import MIN_SIDE, load_image
from styleforge.images.save import Depth
from styleforge.jobs.look import check_seed
from styleforge.jobs.naming import checked_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import PictureSize, SynthesisJob, check_memory
from styleforge.networks.apply import sample_texture
from styleforge.networks.model_file import Model, load_model
from styleforge.networks.registry import find_model
from styleforge.networks.texture_network import TextureNetwork
from styleforge.synthesis.texture import PERIOD, period_of, texture, texture_network
from styleforge.transfers.estimate import ensure_fits
from styleforge.vgg.weights import load_weights

STEPS = 50
"""At every scale, where nothing else is said."""

_NETWORK_BYTES = 1200
"""Of a texture network's pass, per pixel (measured)."""


@dataclass(frozen=True)
class TextureRequest:
    """What is wanted: ``style`` is a painting's path, or the name of a texture of a model's."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    style: str = ""
    model: str | None = None
    size: PictureSize = (512, 512)
    tile: bool = False
    steps: int | None = None
    seed: int = 0
    depth: Depth = 8
    output: Path | None = None
    device: str = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def is_from_painting(self) -> bool:
        """Names of styles and models have no suffix."""
        if self.model is not None:
            return False
        return is_elsewhere(self.style) or Path(self.style).suffix not in ("", ".safetensors")

    def options(self) -> dict[str, Any]:
        """What a recipe says of it, wherever the texture comes from."""
        return {
            "size": size_text(self.size),
            "tile": self.tile,
            "seed": self.seed,
            "depth": self.depth,
        }

    def checked_output(self, name: str, source: Path) -> Path | None:
        """Where the texture of this name goes. Raises :class:`UsageError` if it cannot."""
        return checked_output(
            self.output,
            f"{name}_{size_text(self.size)}.png",
            inputs=[source],
            force=self.force,
            depth=self.depth,
            size=self.size,
        )

    def check_period(self, period: int) -> None:
        """Raise :class:`UsageError` where a seamless texture cannot have this size."""
        width, height = self.size
        if self.tile and (width % period or height % period):
            raise UsageError(
                f"`tile` needs sides that are multiples of {period} pixels, such as "
                f"{_rounded(width, period)}x{_rounded(height, period)}"
            )


def prepare(request: TextureRequest) -> SynthesisJob:
    """Check and load. Raises :class:`StyleforgeError`."""
    if not (request.style or request.model):
        raise UsageError("name a painting, a texture, or a model with `model`")
    if request.is_from_painting:
        return _from_painting(request)
    if request.steps is not None:
        raise UsageError("`steps` is for a texture from a painting; a trained network takes none")
    return _from_network(request)


def _from_painting(request: TextureRequest) -> SynthesisJob:
    """One with the painting's Gram matrices."""
    device = pick_device(request.device)
    picture = load_image(request.style)
    (width, height), steps = request.size, request.steps or STEPS
    if min(request.size) < MIN_SIDE:
        raise UsageError(
            f"a texture from a painting needs at least {MIN_SIDE} pixels a side "
            f"(not {width}x{height})"
        )
    request.check_period(PERIOD)
    output = request.checked_output(picture.path.stem, picture.path)
    weights = load_weights()
    check_memory(texture_network(weights), period_of(request.size), device)
    with out_of_memory_as_error(request.size):
        run = texture(
            weights, picture.pixels, request.size, steps=steps, seed=request.seed, device=device
        )
    recipe = SynthesisRecipe(
        command="texture",
        inputs={"style": Input.of(picture)},
        options={"steps": steps, **request.options()},
        weights=weights.origin,
        device=device.type,
        versions=versions(),
    )

    def cut() -> Tensor:
        return run.image()[..., :height, :width]

    return SynthesisJob(output, device, recipe, [run], cut, request.depth)


def _from_network(request: TextureRequest) -> SynthesisJob:
    """One that a network makes, which was trained on it."""
    path, _ = find_model(request.model or request.style)
    loaded = load_model(path)
    network = _texture_network(loaded)
    if request.style:
        loaded.mixture({request.style: 1.0})
    request.check_period(network.period)
    output = request.checked_output(loaded.style_names[0], path)
    device = pick_device(request.device)
    ensure_fits(free_memory(device), request.size, lambda pixels: pixels * _NETWORK_BYTES)
    recipe = SynthesisRecipe(
        command="texture",
        inputs={"model": Input(str(path), loaded.sha256)},
        options={"style": request.style if request.model else "", **request.options()},
        weights={},
        device=device.type,
        versions=versions(),
    )

    def sample() -> Tensor:
        with out_of_memory_as_error(request.size):
            return sample_texture(network.to(device), request.size, seed=request.seed).cpu()

    return SynthesisJob(output, device, recipe, [], sample, request.depth)


def _texture_network(model: Model) -> TextureNetwork:
    network = model.network
    if not isinstance(network, TextureNetwork) or network.settings.content:
        raise UsageError(f"{model.name} stylizes photos: use stylize with `model` {model.path}")
    return network


def _rounded(side: int, period: int) -> int:
    return max(period, round(side / period) * period)
