"""Ways to repaint any number of photos, with everything loaded once: optimised, or in one pass."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from styleforge.core.devices import Precision, out_of_memory_as_error
from styleforge.core.errors import UsageError
from styleforge.images.colors import keep_colors
from styleforge.images.load import MIN_SIDE, Picture, fit_size, load_image, resize
from styleforge.images.motion import carried
from styleforge.images.save import Depth
from styleforge.jobs.recipe import Before, Input, Recipe, StylizeRecipe, versions
from styleforge.losses.masks import mask_of, patchwork, regions
from styleforge.networks.apply import Stylizer
from styleforge.networks.models import Model, load_model
from styleforge.optimize.scales import Scale
from styleforge.presets.networks import TextureSettings
from styleforge.presets.transfer import Preset
from styleforge.transfer.estimate import available_memory, estimate, working_memory
from styleforge.transfer.run import Studio
from styleforge.transfer.schedule import plan
from styleforge.vgg.weights import load_weights

_PROBE_SIDE = 512
"""Side of the square that is painted to learn this machine's speed."""


class Frame(NamedTuple):
    """A photo of a sequence, and what became of it."""

    photo: Picture
    result: Picture


class Painter(Protocol):
    """Repaints photos, one after the other."""

    @property
    def depth(self) -> Depth:
        """Bits per channel of the results."""

    @property
    def device(self) -> torch.device:
        """Where it paints."""

    @property
    def min_side(self) -> int:
        """Pixels that a photo's shorter side must have."""

    def size(self, photo: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of what becomes of a photo of this (width, height)."""

    def recipe(self, photo: Input, before: Before | None, /) -> Recipe | StylizeRecipe:
        """What the result depends on."""

    def paint(self, photo: Picture, before: Frame | None, /) -> Tensor:
        """(1, 3, H, W) in [0, 1] on the CPU. Raises :class:`StyleforgeError`."""

    def probe(self, photo: Picture) -> Callable[[], object]:
        """A small part of the work on a photo, to be timed."""

    def seconds(self, sizes: Sequence[tuple[int, int]]) -> float:
        """About how long photos of these (width, height) take, one after the other."""


@dataclass(frozen=True)
class NetworkPainter:
    """A trained network, and what of it is wanted; ``memory`` is what a picture may take in all.

    ``masks`` are where each style goes, one for each, or none.
    """

    model: Model
    styles: dict[str, float]
    device: torch.device
    memory: int
    size_limit: int = 0
    strength: float = 1.0
    colors: str = "style"
    seed: int = 0
    depth: Depth = 8
    masks: Sequence[Picture] = ()

    @cached_property
    def _stylizer(self) -> Stylizer:
        return self._stylizer_of(self.styles)

    @property
    def min_side(self) -> int:
        return 1

    def size(self, photo: tuple[int, int]) -> tuple[int, int]:
        return fit_size(photo, self.size_limit)

    def recipe(self, photo: Input, _before: Before | None = None) -> StylizeRecipe:
        return StylizeRecipe(
            model=Input(str(self.model.path), self.model.sha256),
            styles=self.styles,
            content=photo,
            size=self.size_limit,
            strength=self.strength,
            colors=self.colors,
            seed=self.seed,
            device=self.device.type,
            depth=self.depth,
            versions=versions(),
            masks=[Input.of(mask) for mask in self.masks],
        )

    def paint(self, photo: Picture, _before: Frame | None = None) -> Tensor:
        size = self.size(photo.size)
        pixels = resize(photo.pixels, size).to(self.device)
        with out_of_memory_as_error(size):
            result = self._in_regions(pixels) if self.masks else self._through(pixels)
        if self.colors == "keep":
            result = keep_colors(result, pixels)
        return torch.lerp(pixels, result, self.strength).cpu()

    def probe(self, photo: Picture) -> Callable[[], object]:
        return lambda: self.paint(photo)

    def seconds(self, sizes: Sequence[tuple[int, int]]) -> float:
        probe = torch.rand(1, 3, _PROBE_SIDE, _PROBE_SIDE, device=self.device)
        for _ in range(2):  # the first warms up
            started = time.perf_counter()
            self._stylizer(probe, memory=self.memory).cpu()
            taken = time.perf_counter() - started
        return taken / _PROBE_SIDE**2 * sum(map(math.prod, map(self.size, sizes)))

    def _through(self, pixels: Tensor, style: str | None = None) -> Tensor:
        """The mixture, or one style alone."""
        stylizer = self._stylizer if style is None else self._stylizer_of({style: 1.0})
        return stylizer(pixels, memory=working_memory(self.memory, self.device))

    def _in_regions(self, pixels: Tensor) -> Tensor:
        size = pixels.shape[3], pixels.shape[2]
        masks = torch.cat([resize(mask_of(mask), size) for mask in self.masks]).to(pixels)
        pastiches = (self._through(pixels, style) for style in self.styles)
        return patchwork(pastiches, pixels, regions(masks, [*self.styles.values()]))

    def _stylizer_of(self, styles: dict[str, float]) -> Stylizer:
        mixture = self.model.mixture(styles).to(self.device)
        return Stylizer(self.model.network.to(self.device), mixture, seed=self.seed)


@dataclass(frozen=True)
class TransferPainter:
    """A :class:`Studio`; ``template`` is the recipe of its results but for the photo."""

    studio: Studio
    template: Recipe

    @property
    def depth(self) -> Depth:
        return self.template.depth

    @property
    def device(self) -> torch.device:
        return self.studio.device

    @property
    def min_side(self) -> int:
        return MIN_SIDE

    def size(self, photo: tuple[int, int]) -> tuple[int, int]:
        return plan(photo, self.studio.preset)[-1].size

    def recipe(self, photo: Input, before: Before | None = None) -> Recipe:
        recipe = replace(self.template, content=photo)
        if before is None:
            return recipe
        settings = following(self.studio.preset).model_dump() | {"init": before.result.path}
        return replace(recipe, settings=settings, init=before.result, init_photo=before.photo)

    def paint(self, photo: Picture, before: Frame | None = None) -> Tensor:
        """From the frame before, its result moves with the scene and is corrected in few steps."""
        size = self.size(photo.size)
        with out_of_memory_as_error(size):
            if before is None:
                transfer = self.studio.transfer(photo.pixels)
            else:
                images = (before.result.pixels, before.photo.pixels, photo.pixels)
                init = carried(*(resize(image, size) for image in images))
                later = copy.copy(self.studio)  # the network and the targets are shared
                later.preset = following(self.studio.preset)
                transfer = later.transfer(photo.pixels, init=init)
            try:
                for _ in transfer:
                    pass
            except FloatingPointError as error:
                raise UsageError(f"{error}; use smaller weights") from error
            return transfer.image()

    def probe(self, photo: Picture) -> Callable[[], object]:
        """One evaluation at the final size."""
        pixels = resize(photo.pixels, self.size(photo.size)).to(self.device)
        objective = self.studio.objective(pixels)

        def evaluate() -> Tensor:
            image = pixels.clone().requires_grad_()
            return torch.autograd.grad(objective(image).total, image)[0]

        return evaluate

    def seconds(self, sizes: Sequence[tuple[int, int]]) -> float:
        studio = self.studio
        runs = [plan(size, studio.preset) for size in sizes]
        if not runs:
            return 0.0
        memory = available_memory(self.device)
        first = estimate(studio.network, runs[0], device=self.device, memory=memory)
        return first.seconds * sum(map(_work, runs)) / _work(runs[0])


def following(preset: Preset) -> Preset:
    """For a frame that starts from the one before: at the final size alone, in half the steps."""
    optimizer = preset.optimizer
    halved = optimizer.model_copy(update={"steps": math.ceil(optimizer.steps / 2)})
    return preset.model_copy(update={"scales": None, "optimizer": halved})


def _work(scales: Sequence[Scale]) -> int:
    """What the time of a run goes with: pixels evaluated, with the targets taken before."""
    return sum(math.prod(scale.size) * (scale.steps + 2) for scale in scales)


@dataclass(frozen=True)
class OptimizedStyle:
    """One or more style images with weights, and the preset to optimise with. Can be pickled."""

    name: str
    images: Sequence[tuple[Path, float]]
    preset_name: str
    preset: Preset
    precision: Precision = "float32"
    depth: Depth = 8

    @property
    def inputs(self) -> list[Path]:
        """The files that make it."""
        return [path for path, _ in self.images]

    def painter(
        self, device: torch.device, memory: int, last: Painter | None = None
    ) -> TransferPainter:
        """``last`` is the same batch's last painter; of the same preset, it shares its network."""
        pictures = [(load_image(path), weight) for path, weight in self.images]
        styles = [(picture.pixels, weight) for picture, weight in pictures]
        studio = self._studio_like(last, styles) or Studio(
            styles,
            self.preset,
            device=device,
            weights=load_weights(self.preset.network.weights),
            memory=memory,
            precision=self.precision,
        )
        weights = studio.weights
        template = Recipe(
            preset=self.preset_name,
            settings=self.preset.model_dump(),
            content=Input("", ""),
            styles=[Input.of(picture, weight) for picture, weight in pictures],
            init=None,
            weights=weights.origin,
            device=device.type,
            depth=self.depth,
            versions=versions(),
        )
        return TransferPainter(studio, template)

    def _studio_like(
        self, last: Painter | None, styles: Sequence[tuple[Tensor, float]]
    ) -> Studio | None:
        """The last painter's with other styles, if it painted by the same preset."""
        if isinstance(last, TransferPainter) and last.studio.preset == self.preset:
            return last.studio.with_styles(styles)
        return None


@dataclass(frozen=True)
class TrainedStyle:
    """A mixture of the styles that a model file carries. Can be pickled."""

    name: str
    model: Path
    styles: dict[str, float]
    size_limit: int = 0
    strength: float = 1.0
    colors: str = "style"
    seed: int = 0
    depth: Depth = 8

    @property
    def inputs(self) -> list[Path]:
        """The file that makes it."""
        return [self.model]

    def painter(
        self, device: torch.device, memory: int, last: Painter | None = None
    ) -> NetworkPainter:
        """``last`` is the same batch's last painter; of the same file, it shares its model."""
        return NetworkPainter(
            model=self._model_like(last),
            styles=self.styles,
            device=device,
            memory=memory,
            size_limit=self.size_limit,
            strength=self.strength,
            colors=self.colors,
            seed=self.seed,
            depth=self.depth,
        )

    def _model_like(self, last: Painter | None) -> Model:
        if isinstance(last, NetworkPainter) and last.model.path == self.model:
            return last.model
        return stylizing_model(self.model)


Style = OptimizedStyle | TrainedStyle


def stylizing_model(path: Path) -> Model:
    """A model that repaints photos. Raises :class:`UsageError` for one of textures."""
    model = load_model(path)
    settings = model.info.generator
    if isinstance(settings, TextureSettings) and not settings.content:
        raise UsageError(f"{model.name} makes textures: use styleforge texture --model {path}")
    return model
