"""The broad colors of a network's pictures: the photo's areas in the painting's colors.

Painters begin with areas of color and lay strokes over them. A network held to Gram matrices has
the strokes, but knows areas badly: it paints in two or three hues, light and dark by chance. So
its pictures are moved, all but their detail, towards the photo with the painting's colors:

    pastiche + G(recolored photo - pastiche)

G is a guided filter, a smoothing that keeps to the photo's edges (He, Sun and Tang 2013), done at
a quarter of the size (He and Sun 2015). Colors are moved as luminance first: the photo's light is
light, and its hues follow luminance as the painting's do. All of it is a few sums and products,
which gradients pass through, and which other programs have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.images.colors import luminance

_SCALE = 4
"""Times that the filter's pictures are smaller; a transformer network's sides are at least 16."""

_RADIUS = 4
"""Of the filter's window, in pixels of the smaller pictures."""

_EDGE = 0.01
"""Variances of luminance above this are edges."""

_LEAST_DEVIATION = 0.03
"""Of a photo's colors: what varies less than that is not made to vary as the painting's."""

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_RGB = torch.linalg.inv(torch.tensor(_YIQ, dtype=torch.float64)).tolist()

_LEAST_COVARIANCE = 1e-8
"""Of a painting's colors, so that a grey one's have a root."""


class Underpainting(nn.Module):
    """Pastiches (B, 3, H, W) over broad colors of photos of the same shape and of paintings.

    For each style whether its painting is ``known``, 0 or 1, and the mean (3,) and the spread
    (3, 3) of the painting's colors in YIQ, lower triangular, of which the product with its
    transpose is the covariance. A style whose painting is not known has pastiches as they are.
    """

    known: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, styles: int = 1) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(styles))
        self.register_buffer("mean", torch.zeros(styles, 3))
        self.register_buffer("spread", torch.zeros(styles, 3, 3))

    @torch.no_grad()
    def learn(self, style: int, painting: Tensor) -> None:
        """Take a style's colors from its painting (1, 3, H, W)."""
        pixels = _changed(painting, _YIQ).flatten(2)[0].double()
        least = _LEAST_COVARIANCE * torch.eye(3).to(pixels)
        self.known[style] = 1
        self.mean[style] = pixels.mean(1)
        self.spread[style] = torch.linalg.cholesky(torch.cov(pixels, correction=0) + least)

    def covers(self, mixture: Tensor) -> bool:
        """Whether the painting of any of a mixture's styles is known."""
        return bool((mixture @ self.known).any())

    def forward(self, pastiche: Tensor, photo: Tensor, mixture: Tensor) -> Tensor:
        """``mixture`` (B, styles) weighs the styles of each. In float32, also within autocast."""
        with torch.autocast(photo.device.type, enabled=False):
            return self._over(pastiche.float(), photo, mixture)

    def _over(self, pastiche: Tensor, photo: Tensor, mixture: Tensor) -> Tensor:
        weights = mixture * self.known
        share = weights.sum(1, keepdim=True)
        weights = weights / share.clamp(min=1e-6)
        mean = weights @ self.mean
        spread = (weights @ self.spread.flatten(1)).view(-1, 3, 3)
        small = _smaller(photo)
        change = _recolored(small, mean, spread) - _smaller(pastiche)
        slopes, offsets = _guided(change * share[:, :, None, None], luminance(small)).chunk(2, 1)
        light = luminance(photo)
        channels = []  # each by itself: of large pictures there is little memory
        for k in range(3):
            slope, offset = (_larger(x[:, k : k + 1], photo) for x in (slopes, offsets))
            channels.append(torch.addcmul(pastiche[:, k : k + 1] + offset, slope, light))
        return torch.cat(channels, 1).clamp(0, 1)


def _recolored(photo: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Photos (B, 3, H, W) with means (B, 3) and spreads (B, 3, 3) of other colors.

    Luminance, and what each of the others has beside those before it (Gram and Schmidt's way),
    are brought to deviation 1; the spread makes the painting's colors of them.
    """
    yiq = _changed(photo, _YIQ)
    yiq = yiq - yiq.mean((2, 3), keepdim=True)
    parts: list[Tensor] = []
    for part in yiq.unbind(1):
        for other in parts:
            part = part - (part * other).mean((1, 2), keepdim=True) * other
        variance = part.square().mean((1, 2), keepdim=True)
        parts.append(part * (variance + _LEAST_DEVIATION**2).rsqrt())
    moved = torch.einsum("bij,bjhw->bihw", spread, torch.stack(parts, 1))
    return _changed(moved + mean[:, :, None, None], _RGB).clamp(0, 1)


def _guided(x: Tensor, guide: Tensor) -> Tensor:
    """What smooths x (B, C, H, W): slopes and offsets (B, 2 C, H, W) of lines in the guide.

    In each window those nearest to x, and at each position the mean of its windows.
    """
    count = x.shape[1]
    parts = _mean(torch.cat([x, x * guide, guide, guide * guide], 1))
    means, products, guides, squares = torch.split(parts, [count, count, 1, 1], 1)
    slope = (products - means * guides) / (squares - guides * guides + _EDGE)
    return _mean(torch.cat([slope, means - slope * guides], 1))


def _mean(x: Tensor) -> Tensor:
    """Over the window around each position, along each side in turn."""
    kernel = x.new_full((x.shape[1], 1, 2 * _RADIUS + 1, 1), 1 / (2 * _RADIUS + 1))
    for along in (kernel, kernel.mT):
        reach = (along.shape[3] // 2,) * 2 + (along.shape[2] // 2,) * 2
        x = F.conv2d(F.pad(x, reach, mode="replicate"), along, groups=len(along))
    return x


def _smaller(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _SCALE, ceil_mode=True).contiguous()


def _larger(x: Tensor, like: Tensor) -> Tensor:
    larger = F.interpolate(x, scale_factor=float(_SCALE), mode="bilinear", align_corners=False)
    return larger[..., : like.shape[2], : like.shape[3]]


def _changed(image: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """The colors (B, 3, H, W) in another space."""
    return torch.einsum("ij,bjhw->bihw", image.new_tensor(matrix), image)
