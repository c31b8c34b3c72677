"""A trained network applied to a picture of any size, as a whole or in tiles without seams.

Instance normalisation looks at the whole picture, so tiles must share its moments. A first pass
over the tiles sums each layer's moments given those of the layers before it; at a quarter of the
size, in the middle of the network, the features of the whole picture take no more memory than
the picture itself, and go through the residual blocks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.errors import ModelError
from styleforge.images.geometry import Size, size_of
from styleforge.networks.inference import PreparedBlock, PreparedNetwork, centred
from styleforge.networks.instance_norm import Moments
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import MIN_SIDE, TransformerNetwork

TILE = 1024
"""Side of a tile's own part in pixels."""

_UNIT = 4
"""Pixels a side of a position in the middle of the network; tiles begin at multiples of it."""

_MARGIN = 4
"""Units around a tile: 16 pixels, more than the 7 that encoder and decoder see beyond theirs."""

_WORKING_FILTERS = 6
"""Times ``width`` float32 filters at full size that a pass needs at once (measured)."""


Generator = TransformerNetwork | TextureNetwork


def stylize(
    network: Generator, photo: Tensor, mixture: Tensor, *, memory: int, seed: int = 0
) -> Tensor:
    """One photo through a :class:`Stylizer`."""
    return Stylizer(network, mixture, seed=seed)(photo, memory=memory)


class Stylizer:
    """A network and a mixture (1, styles) of its styles, made ready for any number of photos.

    ``seed`` is of a texture network's noise.
    """

    @torch.no_grad()
    def __init__(self, network: Generator, mixture: Tensor, *, seed: int = 0) -> None:
        self._network = network
        self._seed = seed
        self._prepared = (
            PreparedNetwork(network, mixture) if isinstance(network, TransformerNetwork) else None
        )

    @torch.no_grad()
    def __call__(self, photo: Tensor, *, memory: int) -> Tensor:
        """The pastiche of a photo (1, 3, H, W), RGB in [0, 1], of any size; (1, 3, H, W).

        A transformer network goes over the photo in tiles where the whole would take more than
        ``memory`` bytes. Raises :class:`ModelError` where the weights make nothing finite.
        """
        height, width = photo.shape[2:]
        padded = _at_least(photo, _least_side(self._network))
        padded = padded.contiguous(memory_format=torch.channels_last)
        return _finite(self._pastiche(padded, memory)[..., :height, :width].contiguous())

    def _pastiche(self, photo: Tensor, memory: int) -> Tensor:
        result: Tensor
        if self._prepared is not None:
            too_large = _working_bytes(self._prepared, photo) > memory
            result = in_tiles(self._prepared, photo) if too_large else self._prepared(photo)
            return result
        assert isinstance(self._network, TextureNetwork)
        size = size_of(photo)
        noise = self._network.noise(size, torch.Generator().manual_seed(self._seed))
        result = self._network([z.to(photo.device) for z in noise], photo)
        return result


@torch.no_grad()
def sample_texture(network: TextureNetwork, size: Size, *, seed: int) -> Tensor:
    """A piece of texture of (width, height): (1, 3, H, W).

    Opposite edges fit together where both sides are multiples of the network's period.
    """
    device = next(network.parameters()).device
    noise = network.noise(size, torch.Generator().manual_seed(seed))
    return _finite(network([z.to(device) for z in noise]))


def _finite(image: Tensor) -> Tensor:
    """The image. Raises :class:`ModelError` for one that could only be saved as black."""
    if not image.isfinite().all():
        raise ModelError("what the network makes is not finite: its weights are damaged")
    return image


def _least_side(network: Generator) -> int:
    if isinstance(network, TextureNetwork):
        return 2 * network.period
    return MIN_SIDE


def _working_bytes(network: PreparedNetwork, photo: Tensor) -> int:
    """Memory that a pass over a whole picture takes, beside the network."""
    pixels = photo.shape[2] * photo.shape[3]
    return 4 * pixels * (_WORKING_FILTERS * network.width + 12)


@torch.no_grad()
def in_tiles(prepared: PreparedNetwork, photo: Tensor, *, side: int = TILE) -> Tensor:
    """What the network makes of (1, 3, H, W), never looking at more than a tile at full size."""
    height, width = photo.shape[2:]
    grid = _grid(-(-height // _UNIT), -(-width // _UNIT), side // _UNIT)
    encoder = _Tiled(prepared.encoder, grid, source_scale=_UNIT)
    decoder = _Tiled(prepared.decoder, grid, source_scale=1)
    x = prepared.transform(encoder(centred(photo), prepared.middle, lambda features: features))
    pastiche = decoder(x, 3, prepared.finish)[..., :height, :width]
    return prepared.over_colors(pastiche, photo)


class _Span(NamedTuple):
    """A stretch of rows or columns without and with margins, in units of four pixels."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int


_Tile = tuple[_Span, _Span]


def _grid(rows: int, columns: int, side: int) -> list[_Tile]:
    """Tiles of ``side`` units that cover so many rows and columns."""
    return [(down, right) for down in _spans(rows, side) for right in _spans(columns, side)]


def _spans(length: int, side: int) -> Iterator[_Span]:
    """Cut a length; a last stretch no longer than the margin joins the one before it."""
    start = 0
    while start < length:
        stop = start + side if length - start - side > _MARGIN else length
        yield _Span(start, stop, max(0, start - _MARGIN), min(length, stop + _MARGIN))
        start = stop


class _Tiled:
    """The encoder or the decoder over tiles, with the moments of the whole picture.

    ``source_scale`` is how many positions a side of the source has per unit of the tiles.
    """

    def __init__(
        self, blocks: Sequence[PreparedBlock], grid: Sequence[_Tile], *, source_scale: int
    ) -> None:
        self._blocks = blocks
        self._grid = grid
        self._scale = source_scale
        self._moments: list[Moments] = []

    def __call__(self, source: Tensor, channels: int, finish: Callable[[Tensor], Tensor]) -> Tensor:
        """``finish`` of what the blocks make of the source: (1, channels, ...)."""
        scale = self._scale
        for block in self._blocks:
            scale = scale * block.upsampling // block.stride
            self._moments.append(self._moments_of(block, source, scale))
        rows, columns = self._grid[-1]
        result = source.new_empty(1, channels, rows.stop * scale, columns.stop * scale)
        for tile in self._grid:
            _own(result, tile, scale).copy_(
                _inner(finish(self._through(source, tile)), tile, scale)
            )
        return result

    def _moments_of(self, block: PreparedBlock, source: Tensor, scale: int) -> Moments:
        """Of what the next block normalises, over the whole picture."""
        parts = []
        for tile in self._grid:
            own = _inner(block.convolve(self._through(source, tile)), tile, scale)
            parts.append((own.shape[2] * own.shape[3], Moments.of(own)))
        return _merged(parts)

    def _through(self, source: Tensor, tile: _Tile) -> Tensor:
        """A tile, with margins, after the blocks whose moments are known."""
        (top, bottom), (left, right) = (
            (self._scale * span.outer_start, self._scale * span.outer_stop) for span in tile
        )
        x = source[..., top:bottom, left:right].contiguous(memory_format=torch.channels_last)
        for block, moments in zip(self._blocks, self._moments, strict=False):
            x = block(x, moments)
        return x


def _merged(parts: Sequence[tuple[int, Moments]]) -> Moments:
    """The moments of all positions from the counts and moments of their parts."""
    counts = torch.tensor([count for count, _ in parts], dtype=torch.float64).view(-1, 1, 1, 1)
    shares = counts / counts.sum()
    means = torch.cat([moments.mean for _, moments in parts]).cpu().double()
    variances = torch.cat([moments.variance for _, moments in parts]).cpu().double()
    mean = (shares * means).sum(0, keepdim=True)
    variance = (shares * (variances + (means - mean).square())).sum(0, keepdim=True)
    like = parts[0][1].mean
    return Moments(mean.to(like), variance.to(like))


def _inner(x: Tensor, tile: _Tile, scale: int) -> Tensor:
    """A tile's features without the margins."""
    rows, columns = (
        slice(scale * (s.start - s.outer_start), scale * (s.stop - s.outer_start)) for s in tile
    )
    return x[..., rows, columns]


def _own(whole: Tensor, tile: _Tile, scale: int) -> Tensor:
    """A tile's place in the whole."""
    rows, columns = (slice(scale * span.start, scale * span.stop) for span in tile)
    return whole[..., rows, columns]


def _at_least(photo: Tensor, side: int) -> Tensor:
    """Repeat the last row and column of a tiny picture until its sides have so many pixels."""
    height, width = photo.shape[2:]
    missing = (0, max(0, side - width), 0, max(0, side - height))
    return F.pad(photo, missing, mode="replicate") if any(missing) else photo
