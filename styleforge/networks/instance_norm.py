"""Instance normalisation with the scale and shift of one style, or of a mixture of several.

    y = gamma (x - mu) / sqrt(sigma^2 + eps) + beta

mu and sigma^2 are the moments of each channel over one image's positions (Ulyanov et al. 2017,
"Improved texture networks"); gamma and beta are learned for every style, and a mixture of styles
has the mixture of theirs (Dumoulin et al. 2017, "A learned representation for artistic style").
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class Moments(NamedTuple):
    """Mean and (biased) variance of each channel, (B, C, 1, 1)."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """Over the positions of (B, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        return cls(mean, (x - mean).square().mean((2, 3), keepdim=True))


class InstanceNorm(nn.Module):
    """Normalise (B, C, H, W); row b of a mixture (B, styles) weighs the styles for image b."""

    def __init__(self, channels: int, styles: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        mean, variance = Moments.of(x)
        gain = (mixture @ self.scale)[:, :, None, None] * (variance + EPSILON).rsqrt()
        offset = (mixture @ self.shift)[:, :, None, None] - gain * mean
        return torch.addcmul(offset, x, gain)
