"""An image written as unconstrained coordinates in which it is easy to optimise.

    image = box(DCT^-1(scale * coordinates)),    box(z) = (1 + sin z) / 2

The box keeps every pixel inside [0, 1] smoothly, so the 8-bit file has the loss that was
optimised; nothing is ever clamped. The scale lets a step change large smooth areas further than
single pixels, as photographs themselves vary (amplitude ~ frequency^-p). The cosine basis
mirrors the image at its edges, so no seam joins opposite borders; a seamless texture is periodic,
and takes the Hartley transform instead, whose basis is.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

SPECTRAL_EXPONENT = {"lbfgs": 0.5, "adam": 1.0}
"""p: what each optimiser needed the fewest evaluations with, among 0, 1/4, 1/2, 3/4, 1 and 5/4.

Adam gives every coordinate steps of one size, so the scale alone must tell coarse from fine.
"""

_EDGE = 0.5 / 255
"""Pixels start at least half an 8-bit level inside the box, where its slope is not zero."""


class Parameterization:
    """Maps coordinates (1, 3, H, W) of any value to an image (1, 3, H, W) in [0, 1] and back.

    ``periodic``: the image goes on at its opposite edges.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        exponent: float = SPECTRAL_EXPONENT["lbfgs"],
        periodic: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        basis = hartley_matrix if periodic else dct_matrix
        frequencies = hartley_frequencies if periodic else dct_frequencies
        self._rows = basis(height).to(device)
        self._columns = basis(width).to(device)
        scale = _spectral_scale(frequencies(height), frequencies(width), exponent)
        self._scale = scale.to(device)

    def image(self, coordinates: Tensor) -> Tensor:
        """The image at these coordinates; differentiable."""
        z = self._rows.mT @ (self._scale * coordinates) @ self._columns
        return 0.5 + 0.5 * z.sin()

    def coordinates(self, image: Tensor) -> Tensor:
        """The coordinates of an image, whose pixels are first moved off the edges of the box."""
        z = (2 * image.clamp(_EDGE, 1 - _EDGE) - 1).asin()
        return (self._rows @ z @ self._columns.mT) / self._scale

    def amplitude(self, coordinates: Tensor) -> Tensor:
        """The root mean square of z at these coordinates, a scalar: the basis is orthonormal."""
        return (self._scale * coordinates).square().mean().sqrt()

    def moved_gradient(self, coarse: Parameterization, gradient: Tensor, power: int) -> Tensor:
        """A power of a gradient for the coordinates of a coarser size, for these coordinates.

        Both describe the same low frequencies, so it goes to their place and is scaled as they
        are; the frequencies that only this size has get 0. The loss is taken as independent of
        the size.
        """
        height, width = gradient.shape[2:]
        grown = math.sqrt(self._scale.numel() / gradient[0, 0].numel())
        ratio = self._scale[:height, :width] / (grown * coarse._scale)
        result = gradient.new_zeros(1, 3, *self._scale.shape)
        result[..., :height, :width] = gradient * ratio**power
        return result


@lru_cache(maxsize=16)
def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II as a matrix (size, size): ``dct_matrix(n) @ x`` transforms x."""
    index = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * torch.outer(index, index + 0.5)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def dct_frequencies(size: int) -> Tensor:
    """Cycles per pixel of the rows of :func:`dct_matrix`."""
    return torch.arange(size, dtype=torch.float64) / (2 * size)


@lru_cache(maxsize=16)
def hartley_matrix(size: int) -> Tensor:
    """The orthonormal discrete Hartley transform (Bracewell 1983) as a matrix (size, size).

    cas(2 pi k n / size) / sqrt(size) with cas = cos + sin: real, symmetric and its own inverse.
    """
    index = torch.arange(size, dtype=torch.float64)
    angle = 2 * math.pi / size * (torch.outer(index, index) % size)
    return ((angle.cos() + angle.sin()) / math.sqrt(size)).float()


def hartley_frequencies(size: int) -> Tensor:
    """Cycles per pixel of the rows of :func:`hartley_matrix`."""
    index = torch.arange(size, dtype=torch.float64)
    return torch.minimum(index, size - index) / size


def _spectral_scale(rows: Tensor, columns: Tensor, exponent: float) -> Tensor:
    """frequency^-exponent on a grid (height, width), with a root mean square of 1."""
    frequency = torch.hypot(rows.view(-1, 1), columns.view(1, -1))
    scale = frequency.clamp(min=0.5 / max(frequency.shape)) ** -exponent
    return (scale / scale.square().mean().sqrt()).float()
