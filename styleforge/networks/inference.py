"""A transformer network prepared to be applied: the same function, computed faster.

The mixture of styles is decided, so scales and shifts are numbers; biases that the normalisation
takes away again are left out; upsampling by repetition and its convolution are one transposed
convolution; convolutions are those of convolution.py, by Winograd's algorithm on a CPU; and
features are overwritten instead of copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.networks.instance_norm import EPSILON, Moments
from styleforge.networks.transformer import ConvolutionBlock, ResidualBlock, TransformerNetwork
from styleforge.vgg.convolution import Convolution

_FEW_POSITIONS = 2**14
"""Up to so many, torch's own normalisation is faster; for more it sums too coarsely."""


class PreparedBlock:
    """A :class:`ConvolutionBlock` with its mixture decided.

    It reads features around which the picture is reflected already where it is ``bordered``, and
    reflects its own by ``border`` pixels, for the next block.
    """

    def __init__(
        self, block: ConvolutionBlock, mixture: Tensor, *, bordered: bool, border: int
    ) -> None:
        self.upsampling = block.upsampling
        self.stride = block.stride
        self.convolve = _convolution_of(block, bordered=bordered)
        self._rectified = block.rectified
        self._border = border
        self._scale = (mixture @ block.normalization.scale)[:, :, None, None]
        self._shift = (mixture @ block.normalization.shift)[:, :, None, None]

    def __call__(self, x: Tensor, moments: Moments | None = None) -> Tensor:
        """``moments`` stand in for the features' own where ``x`` is only a part of the picture."""
        x = self._normalize(self.convolve(x), moments)
        if self._border:
            return _rectified_and_bordered(x, self._border)
        return x.relu_() if self._rectified else x

    def _normalize(self, x: Tensor, moments: Moments | None) -> Tensor:
        if moments is None and x.shape[2] * x.shape[3] <= _FEW_POSITIONS:
            return F.group_norm(
                x, x.shape[1], self._scale[0, :, 0, 0], self._shift[0, :, 0, 0], EPSILON
            )
        mean, variance = moments or fast_moments(x)
        gain = self._scale * (variance + EPSILON).rsqrt()
        return torch.addcmul(self._shift - gain * mean, x, gain, out=x)


class PreparedNetwork:
    """Image (1, 3, H, W) to pastiche, as the network makes it with a mixture (1, styles).

    ``width`` are its filters at full size, ``middle`` those at a quarter of it.
    """

    def __init__(self, network: TransformerNetwork, mixture: Tensor) -> None:
        settings = network.settings
        self.width = max(settings.down[0], settings.up[1])
        self.middle = settings.down[2]
        self.finish = _finish_of(network)
        self._underpainting = network.underpainting
        self._mixture = mixture
        self.encoder = _prepared(network.encoder, mixture)
        border = 0 if settings.normalized_output else settings.kernel // 2
        self.decoder = _prepared(network.decoder, mixture, border=border)
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
        return self.over_colors(self.finish(x)[..., : image.shape[2], : image.shape[3]], image)

    def over_colors(self, pastiche: Tensor, image: Tensor) -> Tensor:
        """What the decoder makes of a whole image, over its underpainting where there is one."""
        if self._underpainting is None or not self._underpainting.covers(self._mixture):
            return pastiche
        result: Tensor = self._underpainting(pastiche, image, self._mixture)
        return result

    def transform(self, x: Tensor) -> Tensor:
        """The residual blocks, at a quarter of the size."""
        for first, second in self._residual:
            x = second(first(x)).add_(x)
        return x


def centred(image: Tensor) -> Tensor:
    """The image less its mean color, which the first normalisation would take away.

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


def _prepared(
    blocks: Iterable[nn.Module], mixture: Tensor, *, border: int = 0
) -> list[PreparedBlock]:
    """Blocks that follow each other; ``border`` is what the reader of the last one's needs.

    A strided convolution finds its border there; the others add their own.
    """
    chain = [block for block in blocks if isinstance(block, ConvolutionBlock)]
    borders = [*(_SIDE if block.stride > 1 else 0 for block in chain[1:]), border]
    return [
        PreparedBlock(block, mixture, bordered=block.stride > 1, border=own)
        for block, own in zip(chain, borders, strict=True)
    ]


_SIDE = 1
"""Pixels around the picture that a 3x3 convolution reads."""


def _convolution_of(block: ConvolutionBlock, *, bordered: bool) -> Callable[[Tensor], Tensor]:
    kernel = block.convolution.weight.detach()
    if block.upsampling == 2:
        return _upsampling(kernel)
    if bordered:
        return lambda x: F.conv2d(x, kernel, stride=block.stride)
    if kernel.shape[2] == 3:
        return Convolution(kernel, kernel.new_zeros(len(kernel)), padding="reflect", tf32=True)
    convolution = PairedConvolution(kernel)
    side = kernel.shape[2] // 2

    def convolve(x: Tensor) -> Tensor:
        width = x.shape[3]
        padded = F.pad(x, (side, side + width % 2, side, side), mode="reflect")
        return convolution(padded)[..., :width].contiguous(memory_format=torch.channels_last)

    return convolve


def _finish_of(network: TransformerNetwork) -> Callable[[Tensor], Tensor]:
    """What the decoder makes, with its border where another convolution follows, to an image."""
    if not isinstance(network.output, nn.Conv2d):
        return network.to_range
    convolution = PairedConvolution(network.output.weight.detach(), network.output.bias)
    return lambda x: network.to_range(convolution(x))


class PairedConvolution:
    """A convolution (N, C, k, k), k odd, with or without a bias (N,), of an image with its border.

    Pixels side by side are taken as one with twice the channels, which in channels-last memory
    they are: a vector register holds more numbers than an image has channels. The width must be
    even.
    """

    def __init__(self, kernel: Tensor, bias: Tensor | None = None) -> None:
        self._kernel = _paired(kernel).contiguous(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.detach().repeat(2)

    def __call__(self, x: Tensor) -> Tensor:
        lines = x.permute(0, 2, 3, 1)
        pairs = lines.reshape(*lines.shape[:2], lines.shape[2] // 2, -1).permute(0, 3, 1, 2)
        both = F.conv2d(pairs, self._kernel, self._bias).permute(0, 2, 3, 1)
        single = both.reshape(*both.shape[:2], 2 * both.shape[2], -1)
        return single.permute(0, 3, 1, 2)


def _paired(kernel: Tensor) -> Tensor:
    """The kernel (2 N, 2 C, k, (k + 1) / 2) that makes pairs of pixels from pairs of pixels.

    The second pixel's taps lie one to the right of the first's.
    """
    filters, channels, height, width = kernel.shape
    both = torch.stack([F.pad(kernel, (0, 1)), F.pad(kernel, (1, 0))])
    taps = both.view(2 * filters, channels, height, (width + 1) // 2, 2)
    return taps.permute(0, 4, 1, 2, 3).reshape(2 * filters, 2 * channels, height, -1)


def _upsampling(kernel: Tensor) -> Callable[[Tensor], Tensor]:
    """Repetition of every pixel and a 3x3 convolution (N, C, 3, 3) as one transposed convolution.

    A pixel reaches what either of its two copies reaches. Reflection of one pixel at the larger
    size is repetition at the smaller.
    """
    flipped = kernel.flip(2, 3)
    copies = (F.pad(flipped, (x, 1 - x, y, 1 - y)) for x in (0, 1) for y in (0, 1))
    reach = torch.stack([*copies]).sum(0).transpose(0, 1)
    transposed = reach.contiguous(memory_format=torch.channels_last)
    return lambda x: F.conv_transpose2d(
        F.pad(x, (1,) * 4, mode="replicate"), transposed, stride=2, padding=3
    )


def _rectified_and_bordered(x: Tensor, side: int) -> Tensor:
    """ReLU of (B, C, H, W), reflected around by so many pixels, in one pass over the memory."""
    lines = x.permute(0, 2, 3, 1)
    batch, height, width, channels = lines.shape
    result = x.new_empty(batch, height + 2 * side, width + 2 * side, channels)
    torch.clamp_min(lines, 0, out=result[:, side:-side, side:-side])
    _reflect(result, side)
    return result.permute(0, 3, 1, 2)


def _reflect(padded: Tensor, side: int) -> None:
    """Fill the outermost pixels of (B, H, W, C) from those inside of them."""
    rows = padded[:, side:-side]
    rows[:, :, :side] = rows[:, :, side + 1 : 2 * side + 1].flip(2)
    rows[:, :, -side:] = rows[:, :, -2 * side - 1 : -side - 1].flip(2)
    padded[:, :side] = padded[:, side + 1 : 2 * side + 1].flip(1)
    padded[:, -side:] = padded[:, -2 * side - 1 : -side - 1].flip(1)
