"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3), for CPUs.

Lavin and Gray 2016, "Fast algorithms for convolutional neural networks". The image is cut into
tiles of 4x4 outputs; each comes from 6x6 inputs d and the 3x3 kernel g as

    Y = A^T [ (G g G^T) * (B^T d B) ] A

with an elementwise product, which the sum over input channels turns into 36 matrix products.
The transforms do little but move memory, so blocks of tiles small enough for the processor's
cache go through all the stages in turn, one block at a time on each thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

TILE = 4
FIELD = TILE + 2

BLOCK_TILES = 128
"""Tiles in a block: rows enough for fast matrix products, few enough to stay in the cache."""

_POINTS = np.array([0.0, 1.0, -1.0, -2.0, 0.5])
"""Where the algorithm evaluates its polynomials, besides at infinity: the usual 2 loses accuracy.

A flipped kernel's value at 1/a is a^-2 times the kernel's at a. So the gradient's convolution,
which is by the flipped kernel, takes the reciprocal points and the transform of the kernel itself.
"""


class Transforms(NamedTuple):
    """The matrices of a convolution: B^T (6, 6) for its input, A^T (4, 6) for its output."""

    input: Tensor
    output: Tensor


class _CookToom(NamedTuple):
    """G (6, 3), B^T (6, 6) and A^T (4, 6), and the product of each point's distances to others."""

    kernel: Array
    input: Array
    output: Array
    distances: Array


def _cook_toom(points: Array) -> _CookToom:
    """The matrices for five points and infinity, the last."""
    others = [np.delete(points, j) for j in range(len(points))]
    distances = np.array([np.prod(a - rest) for a, rest in zip(points, others, strict=True)])
    kernel = np.vstack([np.vander(points, 3, increasing=True) / distances[:, None], [0, 0, 1]])
    without_one = [[*np.poly(rest)[::-1], 0.0] for rest in others]
    output = np.column_stack([np.vander(points, TILE, increasing=True).T, [0, 0, 0, 1]])
    return _CookToom(kernel, np.vstack([without_one, np.poly(points)[::-1]]), output, distances)


def _transforms() -> tuple[Tensor, Transforms, Transforms]:
    """G, and the matrices for the kernel and for the flipped kernel."""
    ours = _cook_toom(_POINTS)
    reciprocals = np.array([0.0, *(1 / _POINTS[1:])])
    theirs = _cook_toom(reciprocals)
    order = [5, 1, 2, 3, 4, 0]  # 1/0 is infinity, 1/infinity 0
    finite = (ours.distances / theirs.distances * reciprocals**2)[1:]
    scale = np.array([ours.distances[0], *finite, 1 / theirs.distances[0]])
    return (
        _float32(ours.kernel),
        Transforms(_float32(ours.input), _float32(ours.output)),
        Transforms(_float32(theirs.input[order]), _float32(theirs.output[:, order] * scale)),
    )


def _float32(matrix: Array) -> Tensor:
    return torch.from_numpy(matrix).float()


_KERNEL, _FORWARD, _ADJOINT = _transforms()


def transform_kernel(kernel: Tensor) -> Tensor:
    """G g G^T of a kernel (N, C, 3, 3): (36, C, N), the column frequency before the row's."""
    both = torch.kron(_KERNEL, _KERNEL)
    taps = kernel.permute(3, 2, 1, 0).reshape(9, -1)
    return (both @ taps).view(FIELD**2, kernel.shape[1], kernel.shape[0])


class Border(NamedTuple):
    """How many pixels to add around an image, and what they are; only one can be reflected."""

    width: int
    padding: Literal["replicate", "reflect", "zeros"]


def correlate(x: Tensor, transformed: Tensor, bias: Tensor, border: Border) -> Tensor:
    """Correlate (B, C, H, W) with :func:`transform_kernel`'s result: (B, N, H + 2p - 2, ...).

    float32 on the CPU, channels last, without autograd. Equals ``conv2d`` of the bordered image
    to about 2e-6 of the result's mean size.
    """
    return _filter(x, _Filter(transformed, _FORWARD, bias, border))


def correlate_adjoint(gradient: Tensor, transformed: Tensor, border: Border) -> Tensor:
    """The same with the flipped kernel, from its filters to its channels: the image's gradient."""
    return _filter(gradient, _Filter(transformed.mT, _ADJOINT, None, border))


class _Filter(NamedTuple):
    kernel: Tensor
    transforms: Transforms
    bias: Tensor | None
    border: Border


def _filter(x: Tensor, filter_: _Filter) -> Tensor:
    images = x.permute(0, 2, 3, 1).contiguous()
    height, width = (side + 2 * filter_.border.width - 2 for side in x.shape[2:])
    result = torch.empty(
        (len(x), filter_.kernel.shape[2], height, width), memory_format=torch.channels_last
    )
    blocks = _blocks(math.ceil(height / TILE), math.ceil(width / TILE))
    places = result.permute(0, 2, 3, 1)
    work = [
        (image, place, block)
        for image, place in zip(images, places, strict=True)
        for block in blocks
    ]
    _share(work, filter_)
    return result


class _Block(NamedTuple):
    """A rectangle of tiles: its first row and column, and how many of each."""

    top: int
    left: int
    down: int
    right: int


_Work = tuple[Tensor, Tensor, _Block]


def _blocks(down: int, right: int) -> list[_Block]:
    """Cut a grid of tiles into blocks of full rows, or of parts of a row where it is long."""
    across = math.ceil(right / math.ceil(right / BLOCK_TILES))
    rows = max(1, min(BLOCK_TILES // across, math.ceil(down / torch.get_num_threads())))
    return [
        _Block(top, left, min(rows, down - top), min(across, right - left))
        for top in range(0, down, rows)
        for left in range(0, right, across)
    ]


def _share(work: list[_Work], filter_: _Filter) -> None:
    """Give the blocks to as many threads as torch uses; each runs one-threaded operations."""
    threads = torch.get_num_threads()
    blocks = iter(work)  # each thread takes the next: a list's iterator hands it out once
    if threads == 1:
        return _transform(blocks, filter_)
    try:
        torch.set_num_threads(1)
        running = [
            _own.pool(threads).submit(_transform, blocks, filter_)
            for _ in range(min(threads, len(work)))
        ]
        for future in running:
            future.result()
    finally:
        torch.set_num_threads(threads)


class _Own(threading.local):
    """The helpers of each thread that convolves: a batch's workers do not wait for each other's."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 0

    def pool(self, threads: int) -> ThreadPoolExecutor:
        if self._pool is None or self._threads != threads:
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="winograd")
            self._threads = threads
        return self._pool


_own = _Own()


@torch.no_grad()
def _transform(blocks: Iterator[_Work], filter_: _Filter) -> None:
    """Carry out blocks, one after the other."""
    input_transform, output_transform = filter_.transforms
    for image, result, block in blocks:
        fields = _fields(image, block, filter_.border)
        product = _to_frequencies(fields, input_transform) @ filter_.kernel
        tiles = _from_frequencies(product, output_transform, block)
        if filter_.bias is not None:
            tiles += filter_.bias
        _write(tiles, result, block)


def _fields(image: Tensor, block: _Block, border: Border) -> Tensor:
    """The part of an image (H, W, C) that a block reads: (4 down + 2, 4 right + 2, C)."""
    top, left = TILE * block.top - border.width, TILE * block.left - border.width
    bottom, right = top + TILE * block.down + 2, left + TILE * block.right + 2
    height, width, channels = image.shape
    part = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    fields = torch.empty(bottom - top, right - left, channels)
    y, x = max(-top, 0), max(-left, 0)
    end_y, end_x = y + part.shape[0], x + part.shape[1]
    fields[y:end_y, x:end_x] = part
    if border.padding == "zeros":
        fields[y:end_y, :x] = 0
        fields[y:end_y, end_x:] = 0
        fields[:y] = 0
        fields[end_y:] = 0
        return fields
    inwards = 1 if border.padding == "reflect" else 0
    fields[y:end_y, :x] = part[:, inwards : inwards + 1]
    fields[y:end_y, end_x:] = part[:, -1 - inwards].unsqueeze(1)
    fields[:y] = fields[y + inwards]
    fields[end_y:] = fields[end_y - 1 - inwards]
    return fields


def _to_frequencies(fields: Tensor, transform: Tensor) -> Tensor:
    """B^T d B of (4 down + 2, 4 right + 2, C): (36, tiles, C), one 1-D transform at a time."""
    height, width, channels = fields.shape
    lines = fields.flatten(1)
    rows = torch.empty(height // TILE, FIELD, width, channels)
    for row, top in zip(rows, range(0, height - 2, TILE), strict=True):
        torch.mm(transform, lines[top : top + FIELD], out=row.flatten(1))
    windows = rows.unfold(2, FIELD, TILE)  # (tile row, row frequency, tile column, C, column)
    columns = windows.permute(4, 1, 0, 2, 3).reshape(FIELD, -1)
    return (transform @ columns).view(FIELD**2, -1, channels)


def _from_frequencies(product: Tensor, transform: Tensor, block: _Block) -> Tensor:
    """A^T m A of products (36, tiles, N): (tile row, y, tile column, x, N)."""
    filters = product.shape[2]
    columns = (transform @ product.view(FIELD, -1)).view(TILE, FIELD, -1)
    rows = transform.expand(TILE, -1, -1) @ columns  # (x, y, tiles of all filters)
    return rows.view(TILE, TILE, block.down, block.right, filters).permute(2, 1, 3, 0, 4)


def _write(tiles: Tensor, result: Tensor, block: _Block) -> None:
    """Copy (tile row, y, tile column, x, N) to its place in (H, W, N), cut at the borders."""
    top, left = TILE * block.top, TILE * block.left
    place = result[top : top + TILE * block.down, left : left + TILE * block.right]
    if place.shape[:2] == (TILE * block.down, TILE * block.right):
        line, pixel, _ = place.stride()
        shape, strides = tiles.shape, (TILE * line, line, TILE * pixel, pixel, 1)
        place.as_strided(shape, strides).copy_(tiles)
    else:
        place.copy_(tiles.flatten(2, 3).flatten(0, 1)[: place.shape[0], : place.shape[1]])
