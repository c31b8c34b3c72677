"""How close a picture is to its content and its style, in figures that compare between tools.

The judge is the same whatever made the picture: the original VGG-19 as it was published, with
max pooling, zero padding and no normalisation, read after the ReLUs. It is nobody's objective:
what a tool minimises differs from it in pooling, padding, normalisation or weights.

Everything is brought to one size first. Content image and picture get the content image's shape
with a longest side of ``SIZE`` pixels, the style images a longest side of ``SIZE`` too, each by
antialiased bicubic interpolation. So a picture is looked at at this size, and detail beyond it
does not count. The figures depend on the size: compare those of the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from styleforge.colors import color_distance, colors, luminance
from styleforge.errors import UsageError
from styleforge.images import resize
from styleforge.layers import rectified
from styleforge.losses import gram_matrix
from styleforge.presets import Preset
from styleforge.schedule import plan
from styleforge.similarity import structural_similarity
from styleforge.styles import style_size
from styleforge.vgg import VGG19
from styleforge.weights import Weights

SIZE = 512
CONTENT_LAYERS = tuple(f"conv{block}_2" for block in range(1, 6))
STYLE_LAYERS = tuple(f"conv{block}_1" for block in range(1, 6))

SHAPE_TOLERANCE = 0.02
"""How much a picture's proportions may differ from the content image's: tools round sizes."""


@dataclass(frozen=True)
class Score:
    """All are distances, 0 where there is no difference, but ``ssim``, which is 1 there.

    ``content`` is the relative distance of the features to the content image's, by layer;
    ``style`` that of the Gram matrices to the styles'. ``ssim`` is the structural similarity of
    the luminance to the content image's. The colours' distances are Wasserstein-2 distances
    between normal distributions, in units of the range of a channel.
    """

    size: tuple[int, int]
    content: dict[str, float]
    style: dict[str, float]
    ssim: float
    content_color: float
    style_color: float

    @property
    def mean_content(self) -> float:
        return fmean(self.content.values())

    @property
    def mean_style(self) -> float:
        return fmean(self.style.values())


@torch.no_grad()
def score(
    picture: Tensor,
    content: Tensor,
    styles: Sequence[tuple[Tensor, float]],
    *,
    weights: Weights,
    size: int = SIZE,
) -> Score:
    """Of a picture by its content image and its styles, all (1, 3, H, W), sRGB in [0, 1].

    Styles blend as in a transfer: their Gram matrices are averaged by their weights, whatever
    those sum to. Raises :class:`UsageError` for a picture of another shape than the content's.
    """
    _check_shape(_size(picture), _size(content))
    common = plan(_size(content), Preset(size=size, scales=None))[-1].size
    picture, content = resize(picture, common), resize(content, common)
    total = sum(weight for _, weight in styles)
    paintings = [(_at(size, image), weight / total) for image, weight in styles]
    network = _judge(weights)
    features, originals = _features(network, picture), _features(network, content, CONTENT_LAYERS)
    grams = _blended_grams(network, paintings)
    own_colors = colors([(picture, 1.0)])
    return Score(
        size=common,
        content={
            name: relative_distance(features[name], originals[name]) for name in CONTENT_LAYERS
        },
        style={
            name: relative_distance(gram_matrix(features[name]), grams[name])
            for name in STYLE_LAYERS
        },
        ssim=structural_similarity(luminance(picture), luminance(content)).item(),
        content_color=color_distance(own_colors, colors([(content, 1.0)])),
        style_color=color_distance(own_colors, colors(paintings)),
    )


def relative_distance(x: Tensor, target: Tensor) -> float:
    """mean((X - T)^2) / mean(T^2): 0 for the target itself, 1 for nothing at all."""
    difference = (x - target).square().mean()
    return (difference / target.square().mean().clamp(min=1e-12)).item()


def _judge(weights: Weights) -> VGG19:
    layers = map(rectified, (*CONTENT_LAYERS, *STYLE_LAYERS))
    return VGG19(weights, layers, pooling="max", padding="zeros")


def _features(
    network: VGG19, image: Tensor, layers: Sequence[str] = (*CONTENT_LAYERS, *STYLE_LAYERS)
) -> dict[str, Tensor]:
    """By the papers' names: conv4_2 is read after its ReLU."""
    features = network(image, map(rectified, layers))
    return {name: features[rectified(name)] for name in layers}


def _blended_grams(network: VGG19, styles: Sequence[tuple[Tensor, float]]) -> dict[str, Tensor]:
    features = [(_features(network, image, STYLE_LAYERS), share) for image, share in styles]
    return {
        name: torch.stack([share * gram_matrix(own[name]) for own, share in features]).sum(0)
        for name in STYLE_LAYERS
    }


def _at(longest: int, style: Tensor) -> Tensor:
    return resize(style, style_size(_size(style), longest, 1.0))


def _check_shape(picture: tuple[int, int], content: tuple[int, int]) -> None:
    ratio = (picture[0] * content[1]) / (picture[1] * content[0])
    if not 1 / (1 + SHAPE_TOLERANCE) <= ratio <= 1 + SHAPE_TOLERANCE:
        raise UsageError(
            f"the picture is {picture[0]} x {picture[1]} pixels and the content image "
            f"{content[0]} x {content[1]}: they must have the same proportions; crop one of them"
        )


def _size(image: Tensor) -> tuple[int, int]:
    """(width, height) of (1, C, H, W)."""
    return image.shape[3], image.shape[2]
