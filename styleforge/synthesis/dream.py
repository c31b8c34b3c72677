"""What a layer, a channel or a unit of VGG-19 responds to: images that maximise it.

Gradient ascent octave by octave, each time at an image that was shifted by a few random pixels:
from a photo (Mordvintsev, Olah and Tyka 2015) or from noise (Olah, Mordvintsev and Schubert
2017). Steps are taken where smooth changes come easily (parameterization.py) and with the
gradient's colors muted, for otherwise a few glaring ones are all that is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from styleforge.core.layers import rectified, stride
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.optimize.coarse_to_fine import CoarseToFine
from styleforge.optimize.minimize import Iterate
from styleforge.optimize.parameterization import Parameterization
from styleforge.optimize.scales import Scale
from styleforge.vgg.network import VGG19

OCTAVES = 4
OCTAVE = math.sqrt(2)
"""Sizes, and from one to the next."""

JITTER = 8
"""Pixels that an image is shifted by at most, in both directions."""

STEP_SIZE = 0.025
"""Root mean square of a step in z, which half a circle takes from black to white."""

EXPONENT = 0.25
"""Of the frequency, in the coordinates: smoother than pixels, crisper than L-BFGS's."""

CHROMA = 0.15
"""What is left of the gradient's colors beside its grey."""


@dataclass(frozen=True)
class Target:
    """What is maximised: a layer, one channel of it, or what is at (x, y) of the picture.

    Of a layer mean(F^2), which strengthens what it sees already; of a channel mean(F), before the
    ReLU, so that one which does not respond yet can be made to.
    """

    layer: str
    channel: int | None = None
    unit: tuple[int, int] | None = None

    @property
    def read(self) -> str:
        """The layer whose features are read."""
        return rectified(self.layer) if self.channel is None else self.layer

    def activation(self, features: Tensor, place: tuple[int, int] | None = None) -> Tensor:
        """How strongly features (1, N, H, W) respond, everywhere or at pixel (x, y): a scalar."""
        if place is not None:
            x, y = (pixel // stride(self.layer) for pixel in place)
            height, width = features.shape[2:]
            y, x = min(y, height - 1), min(x, width - 1)
            features = features[..., y : y + 1, x : x + 1]
        if self.channel is None:
            return features.square().mean()
        return features[:, self.channel].mean()


def dream(
    network: VGG19, target: Target, start: Tensor, *, steps: int, seed: int = 0
) -> CoarseToFine:
    """A run that maximises the target's activation from ``start`` (1, 3, H, W) in [0, 1].

    Each octave adds to what the start has of its size what the coarser octaves have changed.
    """
    start = start.cpu()
    scales = octaves(size_of(start), steps)
    ascent = _Ascent(network, target, size_of(start), torch.Generator().manual_seed(seed))
    return CoarseToFine(
        scales,
        lambda scale: resize(start, scale.size),
        ascent.iterates,
        detail=1.0,
        measure="activation",
    )


@dataclass(frozen=True)
class _Ascent:
    """By the gradient of the target's activation, in images of which the last has a ``size``."""

    network: VGG19
    target: Target
    size: Size
    generator: torch.Generator

    def iterates(self, scale: Scale, start: Tensor) -> Iterator[Iterate]:
        """The image before each step and its activation, and the last image."""
        device = self.network.mean.device
        width, height = scale.size
        space = Parameterization(height, width, exponent=EXPONENT, device=device)
        point = space.coordinates(start.to(device))
        for step in range(scale.steps + 1):
            point = point.detach().requires_grad_()
            image = space.image(point)
            activation = self._activation(image)
            yield Iterate.of(step, image.detach(), activation.detach())
            if step < scale.steps:
                (gradient,) = torch.autograd.grad(activation, point)
                change = muted(gradient)
                point = point + STEP_SIZE * change / space.amplitude(change).clamp(min=1e-20)

    def _activation(self, image: Tensor) -> Tensor:
        """Of the image shifted at random, its edges going round; a unit moves along."""
        right, down = torch.randint(-JITTER, JITTER + 1, (2,), generator=self.generator).tolist()
        features = self.network(image.roll((down, right), (2, 3)))[self.target.read]
        if self.target.unit is None:
            return self.target.activation(features)
        height, width = image.shape[2:]
        scale = width / self.size[0]
        x, y = (round(pixel * scale) for pixel in self.target.unit)
        return self.target.activation(features, ((x + right) % width, (y + down) % height))


def octaves(size: Size, steps: int) -> list[Scale]:
    """At most four scales up to (width, height), each side of 32 pixels or more."""
    sizes = [fit_size(size, round(max(size) / OCTAVE**k)) for k in reversed(range(OCTAVES))]
    return [Scale(octave, steps) for octave in sizes if min(octave) >= MIN_SIDE]


def muted(gradient: Tensor) -> Tensor:
    """A gradient (1, 3, H, W) with a part of its colors: grey + c (gradient - grey)."""
    grey = gradient.mean(1, keepdim=True)
    return grey + CHROMA * (gradient - grey)
