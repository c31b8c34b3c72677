"""Ways to repaint any number of photos, with everything loaded once: optimised, or in one pass."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from styleforge.core.devices import free_memory, out_of_memory_as_error
from styleforge.core.errors import UsageError
from styleforge.images.colors import colors, grey, keep_colors, match_colors
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE, Picture
from styleforge.images.save import Depth
from styleforge.jobs.look import Look
from styleforge.jobs.recipe import Before, Input, StylizeRecipe, TransferRecipe, versions
from styleforge.losses.masks import mask_of, patchwork, regions
from styleforge.networks.apply import Stylizer
from styleforge.networks.model_file import Model
from styleforge.optimize.coarse_to_fine import Progress
from styleforge.optimize.scales import Scale
from styleforge.presets.transfer import Preset
from styleforge.transfers.estimate import (
    available_memory,
    ensure_fits,
    ensure_memory,
    estimate,
    extra_bytes,
    working_memory,
)
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.schedule import plan
from styleforge.transfers.studio import Studio

_PROBE_SIDE = 512
"""Side of the square that is painted to learn this machine's speed."""

_PICTURE_BYTES = 100
"""Of what a trained network's pass in tiles takes beside the tile, per pixel (measured)."""


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

    def size(self, photo: Size) -> Size:
        """(width, height) of what becomes of a photo of this (width, height)."""

    def recipe(self, photo: Input, before: Before | None, /) -> TransferRecipe | StylizeRecipe:
        """What the result depends on."""

    def paint(self, photo: Picture, before: Frame | None, /) -> Tensor:
        """(1, 3, H, W) in [0, 1] on the CPU. Raises :class:`StyleforgeError`."""

    def probe(self, photo: Picture) -> Callable[[], object]:
        """A small part of the work on a photo, to be timed."""

    def seconds(self, sizes: Sequence[Size]) -> float:
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
    look: Look = field(default_factory=Look)
    masks: Sequence[Picture] = ()

    @property
    def depth(self) -> Depth:
        return self.look.depth

    @cached_property
    def _stylizer(self) -> Stylizer:
        return self._stylizer_of(self.styles)

    @property
    def min_side(self) -> int:
        return 1

    def size(self, photo: Size) -> Size:
        return fit_size(photo, self.look.size)

    def recipe(self, photo: Input, _before: Before | None = None) -> StylizeRecipe:
        return StylizeRecipe(
            model=Input(str(self.model.path), self.model.sha256),
            styles=self.styles,
            content=photo,
            size=self.look.size,
            strength=self.look.strength,
            colors=self.look.colors,
            seed=self.look.seed,
            device=self.device.type,
            depth=self.depth,
            versions=versions(),
            masks=[Input.of(mask) for mask in self.masks],
        )

    def paint(self, photo: Picture, _before: Frame | None = None) -> Tensor:
        size = self.size(photo.size)
        ensure_fits(free_memory(self.device), size, lambda pixels: pixels * _PICTURE_BYTES)
        pixels = resize(photo.pixels, size).to(self.device)
        seen = grey(pixels) if self.look.colors == "luminance" else pixels
        with out_of_memory_as_error(size):
            result = self._in_regions(seen) if self.masks else self._through(seen)
        if self.look.colors in ("keep", "luminance"):
            result = keep_colors(result, pixels)
        if self.look.colors == "content":
            result = match_colors(result, colors([(pixels, 1.0)])).clamp(0, 1)
        return torch.lerp(pixels, result, self.look.strength).cpu()

    def probe(self, photo: Picture) -> Callable[[], object]:
        return lambda: self.paint(photo)

    def seconds(self, sizes: Sequence[Size]) -> float:
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
        size = size_of(pixels)
        masks = torch.cat([resize(mask_of(mask), size) for mask in self.masks]).to(pixels)
        pastiches = (self._through(pixels, style) for style in self.styles)
        return patchwork(pastiches, pixels, regions(masks, [*self.styles.values()]))

    def _stylizer_of(self, styles: dict[str, float]) -> Stylizer:
        mixture = self.model.mixture(styles).to(self.device)
        return Stylizer(self.model.network.to(self.device), mixture, seed=self.look.seed)


@dataclass(frozen=True)
class TransferPainter:
    """A :class:`Studio`; ``template`` is the recipe of its results but for the photo.

    ``masks`` are where in the photo each painting goes, one for each, or none.
    """

    studio: Studio
    template: TransferRecipe
    masks: Sequence[Picture] = ()

    @property
    def depth(self) -> Depth:
        return self.template.depth

    @property
    def device(self) -> torch.device:
        return self.studio.device

    @property
    def min_side(self) -> int:
        return MIN_SIDE

    def size(self, photo: Size) -> Size:
        return plan(photo, self.studio.preset)[-1].size

    def recipe(self, photo: Input, before: Before | None = None) -> TransferRecipe:
        recipe = replace(self.template, content=photo)
        if before is None:
            return recipe
        settings = following(self.studio.preset).model_dump() | {"init": before.result.path}
        return replace(recipe, settings=settings, init=before.result, init_photo=before.photo)

    def start(
        self,
        photo: Picture,
        *,
        init: Picture | None = None,
        init_photo: Picture | None = None,
        after: StyleTransfer | None = None,
    ) -> StyleTransfer:
        """The run for a photo; ``init`` moves with the scene since ``init_photo``, if there is one.

        ``after`` is a run for this photo from whose picture it goes on.

        Raises :class:`UsageError`, :class:`OutOfMemoryError`.
        """
        size = self.size(photo.size)
        with out_of_memory_as_error(size):
            start = None if init is None else init.pixels
            if init is not None and init_photo is not None:
                from styleforge.films.carrying import carried  # OpenCV takes a while to load

                images = (init.pixels, init_photo.pixels, photo.pixels)
                start = carried(*(resize(image, size) for image in images))
            places = [mask_of(mask) for mask in self.masks]
            return StyleTransfer(self.studio, photo.pixels, init=start, masks=places, after=after)

    def paint(self, photo: Picture, before: Frame | None = None) -> Tensor:
        """From the frame before, its result moves with the scene and is corrected in few steps."""
        studio, size = self.studio, self.size(photo.size)
        memory, extra = available_memory(self.device), extra_bytes(studio.preset)
        ensure_memory(memory, studio.network, size, device=self.device, extra=extra)
        transfer = (
            self.start(photo)
            if before is None
            else self._following.start(photo, init=before.result, init_photo=before.photo)
        )
        finish(transfer)
        return transfer.image()

    @cached_property
    def _following(self) -> TransferPainter:
        """For the frames after the first; the network and the targets are shared."""
        studio = copy.copy(self.studio)
        studio.preset = following(studio.preset)
        return replace(self, studio=studio)

    def probe(self, photo: Picture) -> Callable[[], object]:
        """One evaluation at the final size."""
        pixels = resize(photo.pixels, self.size(photo.size)).to(self.device)
        objective = self.studio.objective(pixels)

        def evaluate() -> Tensor:
            image = pixels.clone().requires_grad_()
            return torch.autograd.grad(objective(image).total, image)[0]

        return evaluate

    def seconds(self, sizes: Sequence[Size]) -> float:
        studio = self.studio
        runs = [plan(size, studio.preset) for size in sizes]
        if not runs:
            return 0.0
        memory = available_memory(self.device)
        extra = extra_bytes(studio.preset)
        first = estimate(studio.network, runs[0], device=self.device, memory=memory, extra=extra)
        return first.seconds * sum(map(_work, runs)) / _work(runs[0])


def finish(transfer: StyleTransfer) -> None:
    """Take all steps. Raises :class:`StyleforgeError`."""
    for _ in steps(transfer):
        pass


def steps(transfer: StyleTransfer) -> Iterator[Progress]:
    """The run's steps; numbers that are too large become a :class:`UsageError`."""
    try:
        yield from transfer
    except FloatingPointError as error:
        raise UsageError(f"{error}; use smaller weights") from error


def following(preset: Preset) -> Preset:
    """For a frame that starts from the one before: at the final size alone, in half the steps."""
    optimizer = preset.optimizer
    halved = optimizer.model_copy(update={"steps": math.ceil(optimizer.steps / 2)})
    return preset.model_copy(update={"scales": None, "optimizer": halved})


def _work(scales: Sequence[Scale]) -> int:
    """What the time of a run goes with: pixels evaluated, with the targets taken before."""
    return sum(math.prod(scale.size) * (scale.steps + 2) for scale in scales)
