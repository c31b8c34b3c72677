"""Neural style transfer: a photo and paintings in, a pastiche out, coarse to fine.

>>> photo, painting = torch.rand(2, 1, 3, 48, 48).unbind()
>>> studio = Studio([(painting, 1.0)], load_preset("gatys2016", {"size": 48, "optimizer.steps": 2}))
>>> run = studio.transfer(photo)
>>> losses = [progress.loss.total for progress in run]
>>> run.image().shape
torch.Size([1, 3, 48, 48])
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.devices import Precision, out_of_memory_as_error
from styleforge.core.errors import OutOfMemoryError
from styleforge.images.colors import Colors, colors, grey, keep_colors, match_colors
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.losses.masks import check_masks, check_style_masks, composite
from styleforge.losses.objective import Loss, NeighborTarget, Objective
from styleforge.losses.statistics import statistic_named
from styleforge.losses.tiles import TiledObjective, Tiling, whole_features
from styleforge.optimize.evaluation import LossValues
from styleforge.optimize.minimize import Carried, Iterate, minimize
from styleforge.optimize.scales import Scale, Stage, refine
from styleforge.presets.transfer import Preset
from styleforge.transfers.estimate import extra_bytes, peak_memory, tiling_within
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.matching import Sources, StyleNeighbors
from styleforge.transfers.schedule import check_shape, plan
from styleforge.transfers.styles import StyleImage, StyleTargets, check_layers, shares, style_size
from styleforge.vgg.weights import Weights, load_weights

NOISE = 0.02
"""Standard deviation of the white noise around mid grey that ``init: noise`` starts from.

Like the authors' own code, it is faint: loud noise is still there after hundreds of steps.
"""

Styles = Sequence[StyleImage | tuple[Tensor, float]]


@dataclass(frozen=True)
class Progress:
    """Where a run stands after one step; ``evaluations`` counts those of all scales so far.

    Reading ``loss`` or ``note`` waits for the device.
    """

    scale: Scale
    scale_index: int
    scale_count: int
    evaluations: int
    iterate: Iterate
    message: str = ""

    @property
    def step(self) -> int:
        """Steps taken at this scale."""
        return self.iterate.step

    @property
    def loss(self) -> LossValues:
        return self.iterate.loss

    @property
    def note(self) -> str:
        """What the user should know of this step; mostly nothing."""
        return self.message or self.iterate.note


class Studio:
    """A network and paintings made ready, for transfers to any number of photos.

    ``styles`` are images (1, 3, H, W), sRGB in [0, 1], with weights, which at each layer are
    scaled to sum to 1. A picture that needs more than ``memory`` bytes is evaluated in tiles, which
    gives the same and takes longer. ``precision`` is of the convolutions on a GPU.
    """

    def __init__(
        self,
        styles: Styles,
        preset: Preset,
        *,
        device: torch.device | str = "cpu",
        weights: Weights | None = None,
        memory: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.styles = _checked(styles, preset)
        self.preset = preset
        self.device = torch.device(device)
        weights = weights or load_weights(preset.network.weights)
        self.network = loss_network(weights, preset, precision=precision).to(self.device)
        self.weights = replace(weights, kernels={}, biases={})
        """Where the network's weights came from; it has its own copy."""
        self._memory = memory
        self._targets = self._style_targets()
        self.neighbors = self._style_neighbors()

    def alone(self) -> Studio:
        """One whose memory is planned anew without others' knowing; all else is shared."""
        other = copy.copy(self)
        other._targets = replace(self._targets, tiling=other.tiling)
        other.neighbors = replace(self.neighbors, tiling=other.tiling)
        return other

    def with_styles(self, styles: Styles) -> Studio:
        """One for other style images, all else equal; they share the network."""
        other = copy.copy(self)
        other.styles = _checked(styles, self.preset)
        other._targets = other._style_targets()
        other.neighbors = other._style_neighbors()
        return other

    def transfer(
        self, content: Tensor, *, init: Tensor | None = None, masks: Sequence[Tensor] = ()
    ) -> StyleTransfer:
        """To a photo (1, 3, H, W), sRGB in [0, 1]; ``init`` replaces what the preset starts from.

        ``masks`` (1, 1, H, W) in [0, 1], of the photo's shape, say where each style goes.
        Raises :class:`UsageError` for a photo that is a strip, or too small, and for masks that do
        not fit.
        """
        named = [(f"mask {number}", mask) for number, mask in enumerate(masks, 1)]
        check_masks(
            named,
            styles=len(self.styles),
            size=size_of(content),
            statistic=self.preset.style.statistic,
        )
        return StyleTransfer(self, content, init, masks)

    def tiling(self, size: Size) -> Tiling | None:
        """How pictures of this (width, height) are cut to keep to the memory; None: not at all.

        Raises :class:`OutOfMemoryError` for a statistic that needs them whole.
        """
        if self._memory is None:
            return None
        pixels = size[0] * size[1]
        sorts = self.preset.style.statistic == "sliced-wasserstein"
        memory = self._memory - round(pixels * extra_bytes(self.preset))
        tiling = tiling_within(memory, self.network, pixels, device=self.device)
        if tiling is not None and sorts:
            raise OutOfMemoryError(
                f"{size[0]} x {size[1]} pixels do not fit into the memory at once, and "
                "sliced-wasserstein cannot be evaluated in tiles; "
                "use a smaller `size` or another `statistic`"
            )
        return tiling

    def take_smaller_tiles(self, size: Size) -> bool:
        """Plan with less memory; false if the tiles are the smallest already."""
        tiling = self.tiling(size)
        pixels = size[0] * size[1]
        needed = peak_memory(self.network, pixels, device=self.device, tiling=tiling)
        self._memory = needed - 1
        return self.tiling(size) != tiling

    @torch.no_grad()
    def objective(
        self,
        photo: Tensor,
        masks: Sequence[Tensor] = (),
        neighbors: Mapping[str, NeighborTarget] | None = None,
        offset: tuple[int, int] = (0, 0),
    ) -> Objective | TiledObjective:
        """The preset's objective for a photo at the size of a scale, in tiles where it must be.

        ``neighbors`` are what the picture is held against beside the statistics. With an
        ``offset`` it is of pictures that are :func:`moved` by it.
        """
        preset, neighbors = self.preset, neighbors or {}
        photo = photo.to(self.device)
        places = [moved(resize(mask, size_of(photo)).to(photo), offset) for mask in masks]
        targets = self._targets
        style, guidance = (
            targets.in_regions(photo, places) if masks else (targets.everywhere(photo), {})
        )
        photo = moved(photo, offset)
        tiling = self.tiling(size_of(photo))
        layers = [*preset.content_weights, *preset.style_weights, *neighbors]
        objective = Objective(
            partial(self.network, layers=layers),
            content_targets=whole_features(self.network, photo, preset.content_weights, tiling),
            content_weights=preset.content_weights,
            style_targets=style,
            style_weights=preset.style_weights,
            tv_weight=preset.tv_weight,
            statistic=targets.statistic,
            guidance=guidance,
            neighbor_targets=neighbors,
            neighbor_weights=preset.neighbor_weights if neighbors else {},
        )
        return objective if tiling is None else TiledObjective(objective, tiling)

    def colors(self, longest: int) -> Colors:
        """The styles' colors taken together."""
        own = shares([style.weight for style in self.styles])
        images = [
            resize(style.image, fit_size(size_of(style.image), longest)) for style in self.styles
        ]
        return colors(list(zip(images, own, strict=True)))

    def _style_targets(self) -> StyleTargets:
        preset = self.preset
        statistic = statistic_named(preset.style.statistic, seed=preset.seed)
        return StyleTargets(self.network, preset, self.styles, statistic, self.tiling)

    def _style_neighbors(self) -> StyleNeighbors:
        return StyleNeighbors(self.network, self.preset, self.styles, self.tiling)


class StyleTransfer:
    """One run: iterate over it to its end, or stop early; ``image()`` is the picture so far.

    Made by :meth:`Studio.transfer`.
    """

    def __init__(
        self, studio: Studio, content: Tensor, init: Tensor | None, masks: Sequence[Tensor]
    ) -> None:
        self.scales = plan(size_of(content), studio.preset)
        self.studio = studio = studio.alone()
        self._photo = content
        self._masks = masks
        in_grey = studio.preset.colors == "luminance"
        self._content = grey(content) if in_grey else content
        self._init = grey(init) if in_grey and init is not None else init
        self._carried = Carried()
        self._reached: _Reached | None = None
        self._sketch: Tensor | None = None
        self.sources: Sources | None = None
        """Where the style images' strokes came from, once neighbors have been matched."""

    def __iter__(self) -> Iterator[Progress]:
        evaluations = 0
        for index, scale in enumerate(self.scales):
            for iterate, message in self._optimize_within_memory(scale):
                evaluations += 1
                yield Progress(scale, index, len(self.scales), evaluations, iterate, message)

    def image(self) -> Tensor:
        """The pastiche so far, (1, 3, H, W) in [0, 1] on the CPU, always at the final size."""
        image = self._image(self.scales[-1])
        photo = resize(self._photo, self.scales[-1].size)
        if self.studio.preset.colors in ("luminance", "keep"):
            image = keep_colors(image, photo)
        if self._masks:
            masks = [resize(mask, self.scales[-1].size) for mask in self._masks]
            image = composite(image, photo, torch.cat(masks))
        return image

    def _optimize_within_memory(self, scale: Scale) -> Iterator[tuple[Iterate, str]]:
        """Where the memory does not suffice after all, go on from there in smaller tiles."""
        message = ""
        while True:
            error: OutOfMemoryError | None = None
            try:
                for iterate in self._optimize(scale):
                    yield iterate, message
                    message = ""
            except OutOfMemoryError as reason:
                error = reason.with_traceback(None)  # whose frames hold the tensors
            if error is None:
                return
            if not self.studio.take_smaller_tiles(scale.size):
                raise error
            message = "out of memory: goes on in smaller tiles"

    def _optimize(self, scale: Scale) -> Iterator[Iterate]:
        studio = self.studio
        with out_of_memory_as_error(scale.size):
            if self._reached is not None and self._reached.scale.stage is not scale.stage:
                self._carried = Carried()
            start = self._start(scale).to(studio.device)
            initial = self._initial(scale)
            for iterate in minimize(
                self._objective(scale, start),
                start,
                optimizer=studio.preset.optimizer.name,
                steps=scale.steps,
                replay=studio.device.type == "cuda" and studio.tiling(scale.size) is None,
                carried=self._carried,
            ):
                self._reached = _Reached(scale, initial, iterate)
                yield iterate

    def _objective(self, scale: Scale, start: Tensor) -> Callable[[Tensor], Loss]:
        """The studio's at a scale, for images that are yet to be moved by its offset."""
        photo = resize(self._content, scale.size).to(self.studio.device)
        neighbors = self._neighbors(scale, photo, moved(start, scale.offset))
        objective = self.studio.objective(photo, self._masks, neighbors, scale.offset)
        if scale.offset == (0, 0):
            return objective
        return lambda image: objective(moved(image, scale.offset))

    def _neighbors(
        self, scale: Scale, photo: Tensor, start: Tensor
    ) -> Mapping[str, NeighborTarget]:
        """What of the styles is most like the picture at the start of a scale."""
        neighbors = self.studio.neighbors
        if scale.stage is Stage.HYPERCOLUMNS:
            query = self._query(scale, photo)
            targets, self.sources = neighbors.of_hypercolumns(query, photo, self._masks)
            return targets
        if scale.stage is Stage.LAYERS:
            if self.sources is None:  # no scale was small enough for hypercolumns
                self.sources = self._sources(photo)
            return neighbors.of_layers(start, photo, self.sources.style)
        return {}

    def _sources(self, photo: Tensor) -> Sources:
        """What hypercolumns find for the photo alone, at the largest size that is theirs.

        A flat photo stays larger: every layer has to see something of it.
        """
        largest = self.studio.preset.neighbors.hypercolumns
        small = resize(photo, style_size(size_of(photo), largest, 1.0))
        return self.studio.neighbors.of_hypercolumns(small, small, self._masks)[1]

    def _query(self, scale: Scale, photo: Tensor) -> Tensor:
        """What is matched: the photo and the sketch, mixed, and some of the picture so far."""
        query = photo
        if self._sketch is not None:
            sketch = resize(self._sketch, scale.size).to(photo)
            query = torch.lerp(photo, sketch, self.studio.preset.sketch)
        if self._reached is None or self._reached.scale.stage is Stage.STATISTICS:
            return query
        so_far = self._refined(scale, self._reached, detail=1.0).to(photo)
        return torch.lerp(query, so_far, self.studio.preset.neighbors.mix)

    def _start(self, scale: Scale) -> Tensor:
        """What a scale starts from, on the CPU: the last result, enlarged, but for a sketch's."""
        if self._reached is None:
            return self._initial(scale)
        before = self._reached.scale
        if before.stage is Stage.STATISTICS and scale.stage is not Stage.STATISTICS:
            self._sketch = self._image(before)
            return self._initial(scale)
        return self._image(scale)

    def _image(self, scale: Scale) -> Tensor:
        """What is known so far, at the size of a scale, on the CPU."""
        preset = self.studio.preset
        detail = preset.scales.detail if preset.scales else 0.0
        if not preset.strength:  # nothing but the photo: nor should its detail get lost
            detail = 1.0
        return self._refined(scale, self._reached, detail=detail)

    def _refined(self, scale: Scale, reached: _Reached | None, *, detail: float) -> Tensor:
        if reached is None:
            return self._initial(scale)
        image = reached.iterate.image().detach().cpu()
        if reached.scale.size == scale.size:
            return image
        if self._init is None and self.studio.preset.init == "noise":
            detail = 0.0
        return refine(image, reached.initial, self._initial(scale), detail=detail)

    def _initial(self, scale: Scale) -> Tensor:
        """Content, noise, recolored content or the given image at this scale, on the CPU."""
        preset = self.studio.preset
        if self._init is None and preset.init == "noise":
            width, height = scale.size
            generator = torch.Generator().manual_seed(preset.seed)
            return 0.5 + NOISE * torch.randn(1, 3, height, width, generator=generator)
        image = resize(self._content if self._init is None else self._init, scale.size)
        if self._init is None and preset.init == "recolored" and preset.colors in ("style", "keep"):
            target = self.studio.colors(max(self.scales[0].size))
            return match_colors(image, target).clamp(0, 1)
        return image


@dataclass(frozen=True)
class _Reached:
    """The last iterate, with the initial image of its scale."""

    scale: Scale
    initial: Tensor
    iterate: Iterate


def moved(image: Tensor, offset: tuple[int, int]) -> Tensor:
    """(B, C, H, W) moved to the right and down by (x, y) pixels, which repeat its edges."""
    x, y = offset
    return F.pad(image, (x, 0, y, 0), mode="replicate") if x or y else image


def _checked(styles: Styles, preset: Preset) -> list[StyleImage]:
    """Raises :class:`UsageError` for a strip, and for layers and masks that do not fit."""
    checked = [StyleImage(*style) for style in styles]
    for style in checked:
        check_shape("a style image", size_of(style.image))
    check_layers([style.layers for style in checked], preset)
    check_style_masks(
        [
            (f"style mask {n}", style.mask)
            for n, style in enumerate(checked, 1)
            if style.mask is not None
        ],
        sizes=[size_of(style.image) for style in checked if style.mask is not None],
        statistic=preset.style.statistic,
    )
    return checked
