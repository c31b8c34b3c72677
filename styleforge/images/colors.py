"""The colors of an image as a mean and a covariance: how far from another's, and moved there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_VARIANCE = 1e-7
"""A grey photo does not vary in some directions of color; its rounding is not blown up."""

_LUMINANCE = (0.299, 0.587, 0.114)
"""Y of YIQ (ITU-R BT.601)."""


class Colors(NamedTuple):
    """Mean (3,) and covariance (3, 3) of the pixels of an image, float64, on the CPU."""

    mean: Tensor
    covariance: Tensor


def colors(images: Sequence[tuple[Tensor, float]]) -> Colors:
    """Of images (1, 3, H, W) taken together; their weights, which sum to 1, are their shares."""
    means = [_pixels(image).mean(1) for image, _ in images]
    mean = torch.stack([share * own for own, (_, share) in zip(means, images, strict=True)]).sum(0)
    covariance = torch.zeros(3, 3, dtype=torch.float64)
    for own, (image, share) in zip(means, images, strict=True):
        offset = own - mean
        covariance += share * (torch.cov(_pixels(image), correction=0) + offset.outer(offset))
    return Colors(mean, covariance)


def color_distance(one: Colors, other: Colors) -> float:
    """Wasserstein-2 distance of normal distributions with these statistics, in units of [0, 1].

    W^2 = |m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2) (Dowson and Landau 1982): what
    :func:`match_colors` moves a pixel's color by, as a root mean square.
    """
    root = _power(one.covariance, 0.5)
    crossed = _power(root @ other.covariance @ root, 0.5)
    spread = (one.covariance + other.covariance - 2 * crossed).trace()
    squared = (one.mean - other.mean).square().sum() + spread
    return squared.clamp(min=0).sqrt().item()


def match_colors(image: Tensor, target: Colors) -> Tensor:
    """Move the colors of (1, 3, H, W) to a mean and covariance by the smallest linear change.

    x -> T (x - m) + m', T = C^-1/2 (C^1/2 C' C^1/2)^1/2 C^-1/2: the symmetric form, which moves
    colors least (Pitie and Kokaram 2007). Not clamped to [0, 1].
    """
    own = colors([(image, 1.0)])
    least = _LEAST_VARIANCE * torch.eye(3, dtype=torch.float64)
    root, inverse = (_power(own.covariance + least, exponent) for exponent in (0.5, -0.5))
    change = inverse @ _power(root @ target.covariance @ root, 0.5) @ inverse
    moved = change @ (_pixels(image) - own.mean[:, None]) + target.mean[:, None]
    return moved.view_as(image).to(image)


def _pixels(image: Tensor) -> Tensor:
    """(1, 3, H, W) to (3, H W) in float64."""
    return image[0].flatten(1).double().cpu()


def _power(covariance: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix without negative eigenvalues but by rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    result: Tensor = (vectors * values.clamp(min=0) ** exponent) @ vectors.mT
    return result


def match_luminance(image: Tensor, photo: Tensor) -> Tensor:
    """The luminance of (1, 3, H, W) with the mean and deviation of a photo's, as a grey image.

    Y -> s' / s (Y - m) + m' (Gatys et al. 2017, equation 10). Not clamped to [0, 1].
    """
    own, target = luminance(image), luminance(photo)
    deviation = (own.var(correction=0) + _LEAST_VARIANCE).sqrt()
    moved = target.std(correction=0) / deviation * (own - own.mean()) + target.mean()
    return moved.expand(-1, 3, -1, -1)


def keep_colors(pastiche: Tensor, photo: Tensor) -> Tensor:
    """The pastiche's luminance with the photo's colors, both (1, 3, H, W); clamped to [0, 1].

    In YIQ (Gatys et al. 2017, section 5.2), whose Y alone is taken from the pastiche, so every
    channel of the photo moves by the same amount.
    """
    return (photo + luminance(pastiche - photo)).clamp(0, 1)


def luminance(image: Tensor) -> Tensor:
    """Y of YIQ: (B, 3, H, W) to (B, 1, H, W)."""
    return (image * image.new_tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)


def grey(image: Tensor) -> Tensor:
    """(B, 3, H, W) with the luminance in all channels."""
    return luminance(image).expand(-1, 3, -1, -1)
