"""Textures made ready and carried out: synthesised from a painting, or sampled from a network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styleforge.cli.synthesis import carry_out, check_memory, say_saved
from styleforge.devices import out_of_memory_as_error, pick_device
from styleforge.errors import UsageError
from styleforge.images import MIN_SIDE, load_image
from styleforge.models import find_model, load_model
from styleforge.networks.texture import TextureNetwork
from styleforge.output import Depth, check_output, save_image
from styleforge.stylize import sample_texture
from styleforge.synthesis import Size
from styleforge.texture import PERIOD, period_of, synthesis, texture_network
from styleforge.weights import load_weights


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

    def checked_output(self, style: str, source: Path) -> Path:
        """Where the texture of a style goes. Raises :class:`UsageError` if it cannot."""
        width, height = self.size
        output = self.output or Path(f"{style}_{width}x{height}.png")
        check_output(
            output, inputs=[source], force=self.force, depth=self.depth, pixels=width * height
        )
        return output

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
    started = time.perf_counter()
    path, _ = find_model(model or style)
    loaded = load_model(path)
    network = loaded.network
    if not isinstance(network, TextureNetwork) or network.settings.content:
        raise UsageError(f"{loaded.name} stylizes photos: use styleforge stylize --model {path}")
    if style:
        loaded.mixture({style: 1.0})
    request.check_period(network.period)
    output = request.checked_output(loaded.style_names[0], path)
    with out_of_memory_as_error(request.size):
        network = network.to(pick_device(request.device))
        image = sample_texture(network, request.size, seed=request.seed).cpu()
    _save(request, output, image, started=started)


def synthesize(request: TextureRequest, painting: Path, steps: int) -> None:
    """Find a texture with the painting's Gram matrices, and save it."""
    started = time.perf_counter()
    device = pick_device(request.device)
    picture = load_image(painting)
    _check_size(request.size)
    request.check_period(PERIOD)
    output = request.checked_output(painting.stem, painting)
    weights = load_weights()
    with out_of_memory_as_error(request.size):
        run = synthesis(
            weights, picture.pixels, request.size, steps=steps, seed=request.seed, device=device
        )
    check_memory(texture_network(weights), period_of(request.size), device)
    finished = carry_out([run], quiet=request.quiet)
    width, height = request.size
    _save(request, output, run.image()[..., :height, :width], started=started, finished=finished)


def _save(
    request: TextureRequest, output: Path, image: Tensor, *, started: float, finished: bool = True
) -> None:
    save_image(output, image, depth=request.depth)
    say_saved(
        output,
        request.size,
        seconds=time.perf_counter() - started,
        finished=finished,
        quiet=request.quiet,
    )


def _check_size(size: Size) -> None:
    if min(size) < MIN_SIDE:
        raise UsageError(
            f"a texture from a painting needs at least {MIN_SIDE} pixels a side "
            f"(not {size[0]}x{size[1]})"
        )


def _rounded(side: int, period: int) -> int:
    return max(period, round(side / period) * period)
