"""A transformer network prepared to be applied: the same function, computed faster.

The mixture of styles is decided, so scales and shifts are numbers; biases that the normalisation
takes away again are left out; upsampling by repetition and its convolution are one convolution at
the smaller size; convolutions are those of convolution.py, by Winograd's algorithm on a CPU; and
features are overwritten instead of copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.convolution import Convolution
from styleforge.networks.normalization import EPSILON, Moments
from styleforge.networks.transformer import ConvolutionBlock, ResidualBlock, TransformerNetwork

_FEW_POSITIONS = 2**14
"""Up to so many, torch's own normalisation is faster; for more it sums too coarsely."""


class PreparedBlock:
    """A :class:`ConvolutionBlock` with its mixture decided."""

    def __init__(self, block: ConvolutionBlock, mixture: Tensor) -> None:
        self.upsampling = block.upsampling
        self.stride = block.stride
        self.convolve = _convolution_of(block)
        self._rectified = block.rectified
        self._scale = (mixture @ block.normalization.scale)[:, :, None, None]
        self._shift = (mixture @ block.normalization.shift)[:, :, None, None]

    def __call__(self, x: Tensor, moments: Moments | None = None) -> Tensor:
        """``moments`` stand in for the features' own where ``x`` is only a part of the picture."""
        x = self.convolve(x)
        if moments is None and x.shape[2] * x.shape[3] <= _FEW_POSITIONS:
            scale, shift = self._scale.flatten(), self._shift.flatten()
            x = F.group_norm(x, x.shape[1], scale, shift, EPSILON)
            return x.relu_() if self._rectified else x
        mean, variance = moments or fast_moments(x)
        gain = self._scale * (variance + EPSILON).rsqrt()
        torch.addcmul(self._shift - gain * mean, x, gain, out=x)
        return x.relu_() if self._rectified else x


class PreparedNetwork:
    """Image (1, 3, H, W) to pastiche, as the network makes it with a mixture (1, styles)."""

    def __init__(self, network: TransformerNetwork, mixture: Tensor) -> None:
        self.width = network.settings.width
        self.finish = network.finish
        self.encoder = _prepared(network.encoder, mixture)
        self.decoder = _prepared(network.decoder, mixture)
        self._residual = [
            _prepared([block.first, block.second], mixture)
            for block in network.blocks
            if isinstance(block, ResidualBlock)
        ]

    def __call__(self, image: Tensor) -> Tensor:
        x = centred(image).contiguous(memory_format=torch.channels_last)
        for block in self.encoder:
            x = block(x)
        x = self.transform(x)
        for block in self.decoder:
            x = block(x)
        return self.finish(x)[..., : image.shape[2], : image.shape[3]]

    def transform(self, x: Tensor) -> Tensor:
        """The residual blocks, at a quarter of the size."""
        for first, second in self._residual:
            x = second(first(x)).add_(x)
        return x


def centred(image: Tensor) -> Tensor:
    """The image less its mean colour, which the first normalisation would take away.

    Without, the features of a pale or dark photo vary little beside their mean, and their
    variance is lost in rounding.
    """
    return image - image.mean((2, 3), keepdim=True)


_POSITIONS = 1024
"""Summed at once: float32 loses digits in longer sums."""


def fast_moments(x: Tensor) -> Moments:
    """:meth:`Moments.of` one channels-last image, by matrix products.

    The diagonal of X^T X holds the sums of squares; what is lost by subtracting the squared mean
    from them is far below the features' own rounding as long as means are not much larger than
    deviations, which those of a centred image are not.
    """
    if len(x) > 1 or not x.is_contiguous(memory_format=torch.channels_last):
        return Moments.of(x)
    positions = x.permute(0, 2, 3, 1).flatten(0, 2)
    count, channels = positions.shape
    blocks = count // _POSITIONS
    whole = positions[: blocks * _POSITIONS].view(blocks, _POSITIONS, channels)
    rest = positions[None, blocks * _POSITIONS :]
    sums = [_sums(part) for part in (whole, rest)]
    mean, squares = (sum(parts) / count for parts in zip(*sums, strict=True))
    variance = (squares - mean.square()).clamp(min=0)
    return Moments(mean.view(1, -1, 1, 1), variance.view(1, -1, 1, 1))


def _sums(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Of the positions of (B, positions, C), and of their squares: (C,) each."""
    ones = blocks.new_ones(len(blocks), 1, blocks.shape[1])
    return (ones @ blocks).sum((0, 1)), (blocks.mT @ blocks).diagonal(dim1=1, dim2=2).sum(0)


def _prepared(blocks: Iterable[nn.Module], mixture: Tensor) -> list[PreparedBlock]:
    return [PreparedBlock(b, mixture) for b in blocks if isinstance(b, ConvolutionBlock)]


def _convolution_of(block: ConvolutionBlock) -> Callable[[Tensor], Tensor]:
    kernel = block.convolution.weight.detach()
    if block.upsampling == 2 and kernel.shape[2] == 3:
        convolution = Convolution(_phases(kernel), kernel.new_zeros(4 * len(kernel)))
        return lambda x: F.pixel_shuffle(convolution(x), 2)
    if block.stride == 1 and block.upsampling == 1 and kernel.shape[2] == 3:
        return Convolution(kernel, kernel.new_zeros(len(kernel)), padding="reflect")
    side, stride = kernel.shape[2] // 2, block.stride
    return lambda x: F.conv2d(F.pad(x, (side,) * 4, mode="reflect"), kernel, stride=stride)


_REPEATED = torch.tensor(
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]],
     [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
)  # fmt: skip
"""For the first and the second of two equal pixels: which pixel each of a kernel's taps reads."""


def _phases(kernel: Tensor) -> Tensor:
    """The kernel (4 N, C, 3, 3) that makes the four pixels of a repeated one, for pixel_shuffle.

    Repetition and reflection of one pixel at the larger size is repetition at the smaller.
    """
    taps = _REPEATED.to(kernel)
    phases = torch.einsum("pak,nckl,qbl->npqcab", taps, kernel, taps)
    return phases.reshape(-1, *kernel.shape[1:])
