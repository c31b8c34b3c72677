"""The transformer network of Johnson, Alahi and Fei-Fei (2016), for one style or many.

Two convolutions of stride 2, residual blocks at a quarter of the size, and two resize-convolutions
back. From the original it differs by instance normalisation (Ulyanov et al. 2017), reflection
padding, upsampling by repetition before the convolution (Odena et al. 2016), which leaves no
checkerboards, and a sigmoid at the end. Every image size works: what the strides round up is cut
off at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.networks.instance_norm import InstanceNorm
from styleforge.networks.underpainting import Underpainting
from styleforge.presets.networks import TransformerSettings

MIN_SIDE = 16
"""The least side of an image: reflection needs some pixels even at a quarter of the size."""


class ConvolutionBlock(nn.Module):
    """Upsampling, reflection padding, convolution, instance normalisation and ReLU.

    (B, C, H, W) to (B, N, H', W') with H' = H * upsampling / stride, rounded up.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        *,
        styles: int,
        stride: int = 1,
        upsampling: int = 1,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.stride = stride
        self.convolution = _convolution(channels, kernel, stride=stride)
        self.normalization = InstanceNorm(channels[1], styles)
        self.rectified = rectified

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        x = self.normalization(self.convolve(x), mixture)
        return x.relu_() if self.rectified else x

    def convolve(self, x: Tensor) -> Tensor:
        """What is normalised."""
        if self.upsampling > 1:
            x = F.interpolate(x, scale_factor=float(self.upsampling), mode="nearest")
        result: Tensor = self.convolution(x)
        return result


class ResidualBlock(nn.Module):
    """x + f(x), with f two convolutions of which the first is rectified (Gross and Wilber 2016)."""

    def __init__(self, channels: int, *, styles: int) -> None:
        super().__init__()
        self.first = ConvolutionBlock((channels, channels), 3, styles=styles)
        self.second = ConvolutionBlock((channels, channels), 3, styles=styles, rectified=False)

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x, mixture), mixture)
        return result.add_(x)


class TransformerNetwork(nn.Module):
    """Image (B, 3, H, W), RGB in [0, 1], and mixture (B, styles) to a pastiche (B, 3, H, W)."""

    def __init__(self, settings: TransformerSettings, styles: int = 1) -> None:
        super().__init__()
        kernel, (first, second, third), (half, full) = settings.kernel, settings.down, settings.up
        self.settings = settings
        self.encoder = nn.ModuleList(
            [
                ConvolutionBlock((3, first), kernel, styles=styles),
                ConvolutionBlock((first, second), 3, stride=2, styles=styles),
                ConvolutionBlock((second, third), 3, stride=2, styles=styles),
            ]
        )
        self.blocks = nn.ModuleList(
            [ResidualBlock(third, styles=styles) for _ in range(settings.blocks)]
        )
        self.decoder = nn.ModuleList(
            [
                ConvolutionBlock((third, half), 3, upsampling=2, styles=styles),
                ConvolutionBlock((half, full), 3, upsampling=2, styles=styles),
            ]
        )
        self.output: nn.Module
        if settings.normalized_output:
            last = ConvolutionBlock((full, 3), kernel, styles=styles, rectified=False)
            self.decoder.append(last)
            self.output = nn.Identity()
        else:
            self.output = _convolution((full, 3), kernel)
        self.underpainting = Underpainting(styles) if settings.underpainting else None

    def forward(self, image: Tensor, mixture: Tensor) -> Tensor:
        x = image
        for block in self._all_blocks():
            x = block(x, mixture)
        pastiche = self.finish(x)[..., : image.shape[2], : image.shape[3]]
        if self.underpainting is not None:
            pastiche = self.underpainting(pastiche, image, mixture)
        return pastiche

    def finish(self, x: Tensor) -> Tensor:
        """What the decoder makes (B, C, H, W) to an image in [0, 1]."""
        return self.to_range(self.output(x))

    def to_range(self, x: Tensor) -> Tensor:
        """What the last convolution makes (B, 3, H, W), brought into [0, 1]."""
        return x.sigmoid() if self.settings.output == "sigmoid" else x.clamp(0, 1)

    def _all_blocks(self) -> Sequence[nn.Module]:
        return [*self.encoder, *self.blocks, *self.decoder]


def _convolution(channels: tuple[int, int], kernel: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(*channels, kernel, stride=stride, padding=kernel // 2, padding_mode="reflect")


def style_parameters(network: nn.Module) -> list[nn.Parameter]:
    """What belongs to single styles: every scale and shift (styles, C)."""
    norms = (module for module in network.modules() if isinstance(module, InstanceNorm))
    return [parameter for norm in norms for parameter in (norm.scale, norm.shift)]


def one_style(index: int, styles: int) -> Tensor:
    """The mixture (1, styles) of a single style."""
    return torch.nn.functional.one_hot(torch.tensor([index]), styles).float()
