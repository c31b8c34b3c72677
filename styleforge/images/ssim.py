"""The structural similarity of two pictures (Wang et al. 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Side of the Gaussian window in pixels, and its standard deviation."""

_K1, _K2 = 0.01, 0.03


def structural_similarity(one: Tensor, other: Tensor) -> Tensor:
    """SSIM of two images (B, 1, H, W) in [0, 1], a scalar: 1 where they are the same.

    The mean over all whole 11 x 11 windows, weighted by a Gaussian, of

        (2 m m' + C1) (2 c + C2) / ((m^2 + m'^2 + C1) (v + v' + C2)),  C1 = 0.01^2, C2 = 0.03^2

    for means m, variances v and covariance c (Wang, Bovik, Sheikh and Simoncelli 2004,
    equation 13). Sides have at least 11 pixels.
    """
    one, other = one.double(), other.double()
    mean, mean_other = _windowed(one), _windowed(other)
    variance = _windowed(one * one) - mean.square()
    variance_other = _windowed(other * other) - mean_other.square()
    covariance = _windowed(one * other) - mean * mean_other
    brightness = (2 * mean * mean_other + _K1**2) / (mean.square() + mean_other.square() + _K1**2)
    structure = (2 * covariance + _K2**2) / (variance + variance_other + _K2**2)
    return (brightness * structure).mean()


def _windowed(image: Tensor) -> Tensor:
    """The Gaussian mean of every whole window of (B, 1, H, W)."""
    weights = _window().to(image)
    return F.conv2d(F.conv2d(image, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))


def _window() -> Tensor:
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    return weights / weights.sum()
