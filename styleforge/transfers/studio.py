"""A network and paintings made ready: the objective for any photo, in tiles where it must be."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.devices import Precision
from styleforge.core.errors import OutOfMemoryError
from styleforge.images.colors import Colors, colors
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.losses.masks import check_style_masks
from styleforge.losses.objective import NeighborTarget, Objective
from styleforge.losses.statistics import statistic_named
from styleforge.losses.tiles import TiledObjective, Tiling, whole_features
from styleforge.presets.transfer import Preset
from styleforge.transfers.estimate import extra_bytes, peak_memory, tiling_within
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.matching import StyleNeighbors
from styleforge.transfers.schedule import check_shape
from styleforge.transfers.styles import StyleImage, StyleTargets, check_layers, shares
from styleforge.vgg.weights import Weights, load_weights

Styles = Sequence[StyleImage | tuple[Tensor, float]]


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

    def suits(self, preset: Preset) -> bool:
        """Whether the network is the one that a preset looks through."""
        own = self.preset
        return (own.network, {*own.read_layers}) == (preset.network, {*preset.read_layers})

    def with_styles(self, styles: Styles, preset: Preset | None = None) -> Studio:
        """One for other style images, and another preset that it suits; they share the network."""
        other = copy.copy(self)
        other.preset = preset or self.preset
        other.styles = _checked(styles, other.preset)
        other._targets = other._style_targets()
        other.neighbors = other._style_neighbors()
        return other

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
