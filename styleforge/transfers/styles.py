"""Style images, and what of them pictures are held against: by layer, by place, by colors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.layers import LAYERS
from styleforge.core.settings import suggestion
from styleforge.images.colors import colors, match_colors, match_luminance
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.losses.masks import guidance, regions
from styleforge.losses.objective import Guidance, Statistic
from styleforge.losses.statistics import blended
from styleforge.losses.tiles import Tiling, style_statistics
from styleforge.presets.transfer import Preset
from styleforge.vgg.network import VGG19

Targets = Mapping[str, Tensor]


class StyleImage(NamedTuple):
    """An image (1, 3, H, W), sRGB in [0, 1], and its weight among others.

    ``layers`` are those that it goes to; none: all of them. ``mask`` (1, 1, H, W) in [0, 1], of
    the image's shape, is white where the style may be taken from.
    """

    image: Tensor
    weight: float = 1.0
    layers: Sequence[str] = ()
    mask: Tensor | None = None


@dataclass(frozen=True)
class StyleTargets:
    """A preset's statistics of style images, for pictures of any size, each taken only once.

    ``tiling`` says how an image of a (width, height) is to be cut.
    """

    network: VGG19
    preset: Preset
    styles: Sequence[StyleImage]
    statistic: Statistic
    tiling: Callable[[Size], Tiling | None]
    _known: dict[int, list[Targets]] = field(default_factory=dict)

    def everywhere(self, photo: Tensor) -> Targets:
        """By layer, for pictures as large as this photo: the styles blended by weight."""
        found = self._by_style(photo)
        return {
            layer: blended([found[k][layer] for k in numbers], shares(self._weights(numbers)))
            for layer, numbers in self._numbers().items()
        }

    def in_regions(
        self, photo: Tensor, masks: Sequence[Tensor]
    ) -> tuple[Targets, Mapping[str, Guidance]]:
        """By layer, for pictures as large as this photo: a target for each style, and where.

        ``masks`` (1, 1, H, W) are of the size of what is looked at.
        """
        found = self._by_style(photo)
        whole = torch.cat([*masks]).to(photo)
        targets, places = {}, {}
        for layer, numbers in self._numbers().items():
            targets[layer] = torch.cat([found[k][layer] for k in numbers])
            places[layer] = guidance(regions(whole[numbers], self._weights(numbers)), layer)
        return targets, places

    def _numbers(self) -> dict[str, list[int]]:
        numbers = styles_by_layer([style.layers for style in self.styles], self.preset)
        return {layer: numbers[layer] for layer in self.preset.style_weights}

    def _weights(self, numbers: Sequence[int]) -> list[float]:
        return [self.styles[k].weight for k in numbers]

    def _by_style(self, photo: Tensor) -> list[Targets]:
        """Kept for other photos of this size, unless they are in the photo's colors."""
        longest = max(size_of(photo))
        if longest in self._known:
            return self._known[longest]
        found = [self._statistics(style, photo) for style in self.styles]
        if self.preset.colors in ("style", "keep"):
            self._known[longest] = found
        return found

    def _statistics(self, style: StyleImage, photo: Tensor) -> Targets:
        painting, mask = sized(style, photo, self.preset)
        layers = list(self.preset.style_weights)
        places = {layer: guidance(mask, layer) for layer in layers} if mask is not None else {}
        return style_statistics(
            self.network,
            painting,
            layers,
            self.tiling(size_of(painting)),
            statistic=self.statistic,
            guidance=places,
        )


def sized(style: StyleImage, photo: Tensor, preset: Preset) -> tuple[Tensor, Tensor | None]:
    """A style image for a picture as large as this photo, in the wanted colors, and its mask."""
    size = style_size(size_of(style.image), max(size_of(photo)), preset.style.scale)
    painting = recolored(resize(style.image, size).to(photo), photo, preset.colors)
    mask = None if style.mask is None else resize(style.mask, size).clamp(0, 1).to(photo)
    return painting, mask


def recolored(painting: Tensor, photo: Tensor, wanted: str) -> Tensor:
    """A style image with its own colors, the photo's, or the photo's luminance; (1, 3, H, W)."""
    if wanted == "content":
        return match_colors(painting, colors([(photo, 1.0)]))
    return match_luminance(painting, photo) if wanted == "luminance" else painting


def style_size(size: Size, longest: int, factor: float) -> Size:
    """(width, height) of a style image for a picture of this longest side, which it follows.

    So a stroke takes up the same share of the picture at every output size.
    """
    wanted = factor * longest
    least = MIN_SIDE * max(size) / min(size)
    return fit_size(size, round(max(wanted, least)))


def styles_by_layer(chosen: Sequence[Sequence[str]], preset: Preset) -> dict[str, list[int]]:
    """The numbers of the styles that go to each of the network's style layers.

    ``chosen`` are each style's layers. Raises :class:`UsageError` for a layer that is none, or
    not the preset's, or nobody's.
    """
    for layer in (layer for layers in chosen for layer in layers):
        _check_layer(layer, preset)
    read = preset.network.layer
    found: dict[str, list[int]] = {}
    for name in preset.style.layers:
        found[read(name)] = [
            number
            for number, layers in enumerate(chosen)
            if not layers or read(name) in map(read, layers)
        ]
        if not found[read(name)]:
            raise UsageError(
                f"no style names the style layer {name}: give it to one, as in a.jpg@{name}, "
                "or choose other layers with `style_layer`"
            )
    return found


def check_layers(chosen: Sequence[Sequence[str]], preset: Preset) -> None:
    """Raise :class:`UsageError` where styles, by their own layers, do not go with the preset."""
    styles_by_layer(chosen, preset)
    if any(chosen) and preset.neighbor_weights:
        raise UsageError(
            "layers for each style are for Gram matrices, and this preset also takes neighbors, "
            "whose layers belong together; use `preset` gram, or `neighbors` 0"
        )


def _check_layer(layer: str, preset: Preset) -> None:
    if layer not in LAYERS:
        raise UsageError(f"{layer}: unknown layer{suggestion(layer, LAYERS)}")
    names = list(preset.style.layers)
    if preset.network.layer(layer) not in map(preset.network.layer, names):
        raise UsageError(
            f"{layer} is not one of the style layers, {', '.join(names)}; "
            "choose them with `style_layer`"
        )


def shares(weights: Sequence[float]) -> list[float]:
    """Scaled to sum to 1."""
    return [weight / sum(weights) for weight in weights]
