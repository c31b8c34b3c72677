"""The texture network of Ulyanov, Lebedev, Vedaldi and Lempitsky (2016).

Noise z_1 .. z_K at sizes H, H/2, .. H/2^(K-1) goes through convolution blocks; from the coarsest
on, what there is so far is upsampled and joined to the next finer noise:

    noise -> block -> upsample -> join <- block <- noise
                                   |
                                 block -> upsample -> join ...

For stylisation each noise is joined by the image at its size, and instance normalisation is used
(Ulyanov et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.images.geometry import Size
from styleforge.presets.networks import TextureSettings

NOISE_CHANNELS = 3


class ConvolutionBlock(nn.Sequential):
    """3x3, 3x3 and 1x1 convolutions, each normalised and followed by a leaky ReLU."""

    def __init__(self, channels: tuple[int, int], settings: TextureSettings) -> None:
        layers: list[nn.Module] = []
        filters = channels[0]
        for kernel in (3, 3, 1):
            layers += [
                nn.Conv2d(
                    filters,
                    channels[1],
                    kernel,
                    padding=kernel // 2,
                    padding_mode="reflect" if settings.content else "circular",
                ),
                _normalization(channels[1], settings),
                nn.LeakyReLU(inplace=True),
            ]
            filters = channels[1]
        super().__init__(*layers)


class JoinBlock(nn.Module):
    """Upsample the coarse features, normalise both, concatenate."""

    def __init__(self, coarse: int, fine: int, settings: TextureSettings) -> None:
        super().__init__()
        self.coarse = _normalization(coarse, settings)
        self.fine = _normalization(fine, settings)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        height, width = fine.shape[2:]
        upsampled = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        upsampled = upsampled[..., :height, :width]
        return torch.cat([self.coarse(upsampled), self.fine(fine)], 1)


class TextureNetwork(nn.Module):
    """Noise, from :meth:`noise`, and, for stylisation, an image (B, 3, H, W) to (B, 3, H, W)."""

    def __init__(self, settings: TextureSettings) -> None:
        super().__init__()
        self.settings = settings
        inputs = NOISE_CHANNELS + 3 * settings.content
        width = settings.width
        self.inputs = nn.ModuleList(
            [ConvolutionBlock((inputs, width), settings) for _ in range(settings.scales)]
        )
        joined = range(2, settings.scales + 1)  # how many scales are joined so far
        self.joins = nn.ModuleList([JoinBlock((n - 1) * width, width, settings) for n in joined])
        self.blocks = nn.ModuleList(
            [ConvolutionBlock((n * width, n * width), settings) for n in joined]
        )
        self.output = nn.Conv2d(settings.scales * width, 3, 1)

    def forward(self, noise: Sequence[Tensor], image: Tensor | None = None) -> Tensor:
        """``noise`` is the finest first."""
        sources = list(noise)
        if image is not None:
            sources = [torch.cat([z, _shrunk(image, z)], 1) for z in sources]
        *finer, coarsest = sources
        x = self.inputs[0](coarsest)
        for source, block, join, after in zip(
            reversed(finer), self.inputs[1:], self.joins, self.blocks, strict=True
        ):
            x = after(join(x, block(source)))
        result: Tensor = self.output(x)
        return result.sigmoid()

    def noise(self, size: Size, generator: torch.Generator, *, batch: int = 1) -> list[Tensor]:
        """Uniform noise in [0, 1] at every scale of a picture of (width, height), finest first."""
        width, height = size
        levels = []
        for _ in range(self.settings.scales):
            levels.append(torch.rand(batch, NOISE_CHANNELS, height, width, generator=generator))
            width, height = -(-width // 2), -(-height // 2)
        return levels

    @property
    def period(self) -> int:
        """A texture whose sides are multiples of this many pixels tiles without a seam."""
        return 1 << (self.settings.scales - 1)


def _shrunk(image: Tensor, like: Tensor) -> Tensor:
    """The image at the size of the noise that it joins."""
    size = like.shape[2:]
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def _normalization(channels: int, settings: TextureSettings) -> nn.Module:
    if settings.normalization == "batch":
        return nn.BatchNorm2d(channels)
    return _InstanceNorm2d(channels, affine=True)


class _InstanceNorm2d(nn.InstanceNorm2d):
    """torch's own, which refuses the single position that a tiny texture has at its coarsest."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:].numel() > 1:
            return super().forward(x)
        return super().forward(x.expand(-1, -1, 1, 2))[..., :1]
