"""How close a picture is to its content and its style, in figures that compare between tools.

The judge is the same whatever made the picture: the original VGG-19 as it was published, with
max pooling, zero padding and no normalisation, read after the ReLUs. It is nobody's objective:
what a tool minimises differs from it in pooling, padding, normalisation or weights. The nearest
patches are searched at layers at which the default and ``gram`` minimise nothing.

Everything is brought to one size first. Content image and picture get the content image's shape
with a longest side of ``SIZE`` pixels, the style images a longest side of ``SIZE`` too, each by
antialiased bicubic interpolation. So a picture is looked at at this size, and detail beyond it
does not count. The figures depend on the size: compare those of the same one. The time for the
nearest patches grows with its fourth power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.layers import rectified
from styleforge.images.colors import color_distance, colors, luminance
from styleforge.images.geometry import Size, resize, size_of
from styleforge.images.ssim import structural_similarity
from styleforge.losses.objective import Features, gram_matrix
from styleforge.presets.transfer import Preset
from styleforge.transfers.estimate import ensure_fits
from styleforge.transfers.patches import PATCH_LAYERS, leak, patches
from styleforge.transfers.schedule import plan
from styleforge.transfers.styles import style_size
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights

SIZE = 512
CONTENT_LAYERS = tuple(f"conv{block}_2" for block in range(1, 6))
STYLE_LAYERS = tuple(f"conv{block}_1" for block in range(1, 6))
_OF_STYLES = (*STYLE_LAYERS, *PATCH_LAYERS)
_OF_PICTURES = (*CONTENT_LAYERS, *_OF_STYLES)

_BYTES = 1000
"""A pixel of the picture, of the content image or of a style takes (measured: 840)."""

_NETWORK_BYTES = 2**30
"""What the judge takes whatever the size (measured: 0.9 GiB)."""

SHAPE_TOLERANCE = 0.02
"""How much a picture's proportions may differ from the content image's: tools round sizes."""


@dataclass(frozen=True)
class Score:
    """Distances are 0 where there is no difference; ``ssim`` and ``leak`` are 1 there.

    ``content`` is the relative distance of the features to the content image's, by layer;
    ``style`` that of the Gram matrices to the styles'. ``ssim`` is the structural similarity of
    the luminance to the content image's. The colors' distances are Wasserstein-2 distances
    between normal distributions, in units of the range of a channel.

    ``nearness`` is how far the picture's patches are from the most similar of the styles', by
    layer: mean 1 - cosine, in [0, 2]. ``usage`` is the share of the styles' patches that are the
    most similar to any, in (0, 1]. ``leak`` is the correlation of the picture's fine detail with
    the content image's, in [-1, 1]. The formulas are in :mod:`styleforge.transfers.patches`.
    """

    size: Size
    content: dict[str, float]
    style: dict[str, float]
    ssim: float
    content_color: float
    style_color: float
    nearness: dict[str, float]
    usage: float
    leak: float

    @property
    def mean_content(self) -> float:
        return fmean(self.content.values())

    @property
    def mean_style(self) -> float:
        return fmean(self.style.values())

    @property
    def mean_nearness(self) -> float:
        return fmean(self.nearness.values())


@torch.no_grad()
def score(
    picture: Tensor,
    content: Tensor,
    styles: Sequence[tuple[Tensor, float]],
    *,
    weights: Weights,
    size: int = SIZE,
    memory: int | None = None,
) -> Score:
    """Of a picture by its content image and its styles, all (1, 3, H, W), sRGB in [0, 1].

    Styles blend as in a transfer: their Gram matrices are averaged by their weights, whatever
    those sum to. For ``nearness`` and ``usage`` all styles' patches are taken together, and the
    weights do not count. Raises :class:`UsageError` for a picture of another shape than the
    content's, and :class:`OutOfMemoryError` where ``memory`` bytes are not enough.
    """
    _check_shape(size_of(picture), size_of(content))
    common = plan(size_of(content), Preset(size=size, scales=None))[-1].size
    if memory is not None:
        sizes = [style_size(size_of(image), size, 1.0) for image, _ in styles]
        _check_memory(memory, common, sizes)
    picture, content = resize(picture, common), resize(content, common)
    total = sum(weight for _, weight in styles)
    paintings = [(_at(size, image), weight / total) for image, weight in styles]
    network = _judge(weights)
    features, originals = _features(network, picture), _features(network, content, CONTENT_LAYERS)
    targets = [_features(network, image, _OF_STYLES) for image, _ in paintings]
    grams = _blended_grams(targets, [share for _, share in paintings])
    taken = patches(features, targets)
    own_colors = colors([(picture, 1.0)])
    light, original_light = luminance(picture), luminance(content)
    return Score(
        size=common,
        content={
            name: relative_distance(features[name], originals[name]) for name in CONTENT_LAYERS
        },
        style={
            name: relative_distance(gram_matrix(features[name]), grams[name])
            for name in STYLE_LAYERS
        },
        ssim=structural_similarity(light, original_light).item(),
        content_color=color_distance(own_colors, colors([(content, 1.0)])),
        style_color=color_distance(own_colors, colors(paintings)),
        nearness=taken.nearness,
        usage=taken.usage,
        leak=leak(light, original_light),
    )


def relative_distance(x: Tensor, target: Tensor) -> float:
    """mean((X - T)^2) / mean(T^2): 0 for the target itself, 1 for nothing at all."""
    difference = (x - target).square().mean()
    return (difference / target.square().mean().clamp(min=1e-12)).item()


def _judge(weights: Weights) -> VGG19:
    return VGG19(weights, map(rectified, _OF_PICTURES), pooling="max", padding="zeros")


def _features(
    network: VGG19, image: Tensor, layers: Sequence[str] = _OF_PICTURES
) -> dict[str, Tensor]:
    """By the papers' names: conv4_2 is read after its ReLU."""
    features = network(image, map(rectified, layers))
    return {name: features[rectified(name)] for name in layers}


def _blended_grams(styles: Sequence[Features], shares: Sequence[float]) -> dict[str, Tensor]:
    weighted = list(zip(styles, shares, strict=True))
    return {
        name: torch.stack([share * gram_matrix(own[name]) for own, share in weighted]).sum(0)
        for name in STYLE_LAYERS
    }


def _at(longest: int, style: Tensor) -> Tensor:
    return resize(style, style_size(size_of(style), longest, 1.0))


def _check_memory(memory: int, common: Size, styles: Sequence[Size]) -> None:
    pixels = common[0] * common[1]
    all_pixels = 2 * pixels + sum(width * height for width, height in styles)
    each = all_pixels / pixels * _BYTES
    ensure_fits(memory, common, lambda pixels: _NETWORK_BYTES + round(each * pixels))


def _check_shape(picture: Size, content: Size) -> None:
    ratio = (picture[0] * content[1]) / (picture[1] * content[0])
    if not 1 / (1 + SHAPE_TOLERANCE) <= ratio <= 1 + SHAPE_TOLERANCE:
        raise UsageError(
            f"the picture is {picture[0]} x {picture[1]} pixels and the content image "
            f"{content[0]} x {content[1]}: they must have the same proportions; crop one of them"
        )
