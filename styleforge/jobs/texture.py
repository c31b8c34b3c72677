"""Textures made ready and carried out: synthesised from a painting, or sampled from a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.images.load import MIN_SIDE, load_image
from styleforge.images.save import Depth, check_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import Destination, carry_out, check_memory, save
from styleforge.networks.apply import sample_texture
from styleforge.networks.models import find_model, load_model
from styleforge.networks.texture_network import TextureNetwork
from styleforge.synthesis.run import Size
from styleforge.synthesis.texture import PERIOD, period_of, synthesis, texture_network
from styleforge.vgg.weights import load_weights


@dataclass(frozen=True)
class TextureRequest:
    """What the user asked for, wherever the texture comes from."""

    size: Size
    output: Path | None
    tile: bool
    seed: int
    device: str
    depth: Depth
    force: bool
    quiet: bool
    as_json: bool

    def options(self) -> dict[str, Any]:
        """What a recipe says of it."""
        width, height = self.size
        return {
            "size": f"{width}x{height}",
            "tile": self.tile,
            "seed": self.seed,
            "depth": self.depth,
        }

    def destination(self, style: str, source: Path) -> Destination:
        """Where the texture of a style goes. Raises :class:`UsageError` if it cannot."""
        width, height = self.size
        output = self.output or Path(f"{style}_{width}x{height}.png")
        check_output(
            output, inputs=[source], force=self.force, depth=self.depth, pixels=width * height
        )
        return Destination(output, self.force, self.quiet, self.as_json)

    def check_period(self, period: int) -> None:
        """Raise :class:`UsageError` where a seamless texture cannot have this size."""
        width, height = self.size
        if self.tile and (width % period or height % period):
            raise UsageError(
                f"--tile needs sides that are multiples of {period} pixels, such as "
                f"{_rounded(width, period)}x{_rounded(height, period)}"
            )


def sample(request: TextureRequest, style: str, model: str | None) -> None:
    """Sample a texture from a network that was trained on it, and save it."""
    path, _ = find_model(model or style)
    loaded = load_model(path)
    network = loaded.network
    if not isinstance(network, TextureNetwork) or network.settings.content:
        raise UsageError(f"{loaded.name} stylizes photos: use styleforge stylize --model {path}")
    if style:
        loaded.mixture({style: 1.0})
    request.check_period(network.period)
    to = request.destination(loaded.style_names[0], path)
    device = pick_device(request.device)
    with out_of_memory_as_error(request.size):
        image = sample_texture(network.to(device), request.size, seed=request.seed).cpu()
    recipe = SynthesisRecipe(
        command="texture",
        inputs={"model": Input(str(path), loaded.sha256)},
        options={"style": style if model else "", **request.options()},
        weights={},
        device=device.type,
        versions=versions(),
    )
    save(to, image, recipe, finished=True, depth=request.depth)


def synthesize(request: TextureRequest, painting: Path, steps: int) -> None:
    """Find a texture with the painting's Gram matrices, and save it."""
    device = pick_device(request.device)
    picture = load_image(painting)
    _check_size(request.size)
    request.check_period(PERIOD)
    to = request.destination(painting.stem, painting)
    weights = load_weights()
    with out_of_memory_as_error(request.size):
        run = synthesis(
            weights, picture.pixels, request.size, steps=steps, seed=request.seed, device=device
        )
    check_memory(texture_network(weights), period_of(request.size), device)
    finished = carry_out([run], quiet=request.quiet)
    width, height = request.size
    recipe = SynthesisRecipe(
        command="texture",
        inputs={"style": Input.of(picture)},
        options={"steps": steps, **request.options()},
        weights=weights.origin,
        device=device.type,
        versions=versions(),
    )
    image = run.image()[..., :height, :width]
    save(to, image, recipe, finished=finished, depth=request.depth)


def _check_size(size: Size) -> None:
    if min(size) < MIN_SIDE:
        raise UsageError(
            f"a texture from a painting needs at least {MIN_SIDE} pixels a side "
            f"(not {size[0]}x{size[1]})"
        )


def _rounded(side: int, period: int) -> int:
    return max(period, round(side / period) * period)
