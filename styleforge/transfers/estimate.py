"""What a run will take, before it runs: time from one small measured evaluation, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean

import torch

from styleforge.core.devices import free_memory
from styleforge.core.errors import OutOfMemoryError
from styleforge.core.layers import CONVOLUTIONS, LAYERS, filters, stride
from styleforge.images.geometry import Size
from styleforge.losses.objective import gram_matrix
from styleforge.losses.statistics import sorting_bytes
from styleforge.losses.tiles import Tiling
from styleforge.optimize.lbfgs import HISTORY
from styleforge.optimize.scales import Scale, Stage
from styleforge.presets.transfer import Preset
from styleforge.vgg.network import VGG19

_PROBE_SIDES = (128, 256, 512)
"""Sides of the squares that are evaluated to learn this machine's speed, at small and large scales.

A pixel of a large image takes less time: more of it goes by Winograd's algorithm, and better.
"""

_TARGET_EVALUATIONS = {Stage.STATISTICS: 1.0, Stage.HYPERCOLUMNS: 6.0, Stage.LAYERS: 3.0}
"""What taking a scale's targets costs, in evaluations.

Statistics are two forward passes; finding neighbors is measured, with one painting.
"""

_WORKING_BYTES = 4 * 9 * 64
"""Full-size channels alive beside the saved features: gradients and copies (fitted)."""

_CONTENT_CHANNELS = 8
"""Of conv4_2, the usual content layer, per pixel of the image."""

_IMAGE_BYTES = 4 * ((2 * HISTORY + 1 + 18) * 3 + _CONTENT_CHANNELS)
"""Per pixel of the result: L-BFGS's history, its images (fitted), and the content's features."""

_TILE_SIDES = (2048, 1536, 1024, 768, 512, 256)
"""Sides of a tile's own part; what overlaps comes on top and takes time."""

_RESIDENT_BYTES = {"cpu": 820 * 2**20, "cuda": 1000 * 2**20, "mps": 820 * 2**20}
"""Interpreter, torch and what loading takes (fitted)."""


@dataclass(frozen=True)
class Estimate:
    """Evaluations and seconds of a whole run, and its peak memory in bytes."""

    evaluations: int
    seconds: float
    memory: int


Speed = Callable[[int], float]
"""Seconds that an evaluation takes for a pixel of a square of this side."""


def measured_speed(network: VGG19, device: torch.device) -> Speed:
    """With this network, which is on ``device``; each side is measured once."""
    return cache(partial(_seconds_per_pixel, network, device))


def estimate(
    network: VGG19,
    scales: Sequence[Scale],
    *,
    device: torch.device,
    memory: int,
    speed: Speed | None = None,
    extra: float = 0.0,
) -> Estimate:
    """Predict a run over these scales with this network, which is on ``device``, in ``memory``.

    ``extra`` is what its preset takes beside the network (:func:`extra_bytes`).
    """
    speed = speed or measured_speed(network, device)
    seconds = 0.0
    for scale in scales:
        left = memory - round(_pixels(scale) * extra)
        tiling = tiling_within(left, network, _pixels(scale), device=device)
        looked_at = _pixels(scale) if tiling is None else tiling.cost(*scale.size)
        at_once = _pixels(scale) if tiling is None else min(_pixels(scale), tiling.largest)
        evaluations = scale.steps + 1 + _TARGET_EVALUATIONS[scale.stage]
        seconds += speed(_probe_for(at_once)) * looked_at * evaluations
    largest = max(map(_pixels, scales))
    return Estimate(
        evaluations=sum(scale.steps + 1 for scale in scales),
        seconds=seconds,
        memory=_least_memory(memory, network, largest, device, extra),
    )


def peak_memory(
    network: VGG19, pixels: int, *, device: torch.device, tiling: Tiling | None = None
) -> int:
    """Bytes that a run needs whose largest scale has so many pixels, whole or in tiles."""
    at_once = pixels if tiling is None else min(pixels, tiling.largest)
    features = at_once * bytes_per_pixel(network)
    fixed = _RESIDENT_BYTES[device.type] + _kernel_bytes(network, device)
    return fixed + round(features + pixels * _IMAGE_BYTES)


def tiling_within(
    memory: int, network: VGG19, pixels: int, *, device: torch.device
) -> Tiling | None:
    """The largest tiles with which a run of so many pixels fits; None if it fits as a whole.

    The smallest tiles there are if nothing fits.
    """
    if peak_memory(network, pixels, device=device) <= memory:
        return None
    tilings = (Tiling.of(side, network.wanted) for side in _TILE_SIDES)
    for tiling in tilings:
        if peak_memory(network, pixels, device=device, tiling=tiling) <= memory:
            return tiling
    return Tiling.of(_TILE_SIDES[-1], network.wanted)


def available_memory(device: torch.device) -> int:
    """Bytes that a run may take in all; what it has taken already, about, counts as free."""
    return free_memory(device) + _RESIDENT_BYTES[device.type]


def working_memory(memory: int, device: torch.device) -> int:
    """What is left of so many bytes once torch and the rest are loaded."""
    return max(0, memory - _RESIDENT_BYTES[device.type])


def ensure_memory(
    memory: int, network: VGG19, size: Size, *, device: torch.device, extra: float = 0.0
) -> None:
    """Raise :class:`OutOfMemoryError` where a run at (width, height) would not fit, even in tiles.

    On a CPU the system would otherwise kill the process without a word.
    """

    def needed(pixels: int) -> int:
        return _least_memory(memory, network, pixels, device, extra)

    ensure_fits(memory, size, needed)


def ensure_fits(memory: int, size: Size, needed: Callable[[int], int]) -> None:
    """Raise :class:`OutOfMemoryError`, with a size that fits, where (width, height) does not.

    ``needed`` is bytes for so many pixels.
    """
    pixels = size[0] * size[1]
    if needed(pixels) <= memory:
        return
    sizes = range(max(size) // 32 * 32, 0, -32)
    shares = ((longest, pixels * (longest / max(size)) ** 2) for longest in sizes)
    longest = next((n for n, part in shares if needed(int(part)) <= memory), 0)
    advice = f"try `size` {longest}" if longest else "free some memory"  # --size 0 is the photo's
    raise OutOfMemoryError(
        f"{size[0]} x {size[1]} pixels need about {needed(pixels) / 2**30:.1f} GiB of memory and "
        f"{memory / 2**30:.1f} GiB are there; {advice}"
    )


def _least_memory(
    memory: int, network: VGG19, pixels: int, device: torch.device, extra: float
) -> int:
    """Bytes of a run in the tiles, or as a whole, that suit this much memory."""
    beside = round(pixels * extra)
    tiling = tiling_within(memory - beside, network, pixels, device=device)
    return peak_memory(network, pixels, device=device, tiling=tiling) + beside


def extra_bytes(preset: Preset) -> float:
    """Memory per pixel of a preset's targets beyond those of conv4_2 and Gram matrices."""
    extra = target_bytes(preset.content_weights) + neighbor_bytes(preset.neighbor_weights)
    if preset.style.statistic == "sliced-wasserstein":
        extra += sorting_bytes(preset.style_weights)
    return extra


def target_bytes(layers: Iterable[str]) -> float:
    """Memory per pixel of content targets at these layers, beyond those of conv4_2."""
    channels = sum(filters(layer) / stride(layer) ** 2 for layer in layers)
    return 4 * max(0.0, channels - _CONTENT_CHANNELS)


def neighbor_bytes(layers: Iterable[str]) -> float:
    """Memory per pixel that neighbors at these layers take: T and the difference from it.

    Measured beside the rest of a run: 1420 bytes at 512 pixels and 930 at 1024, of the default's
    layers, for which this is 1088.
    """
    return 2 * 4 * sum(filters(layer) / stride(layer) ** 2 for layer in layers)


def bytes_per_pixel(network: VGG19) -> float:
    """Memory of one evaluation per pixel looked at together: saved features and gradients."""
    return _WORKING_BYTES + sum(_saved_bytes(network, name) for name in network.sequence)


def _kernel_bytes(network: VGG19, device: torch.device) -> int:
    """The kernels, and on a CPU their transforms (winograd.py), which are four times as large."""
    kernels = (x for name, x in network.named_buffers() if name.endswith("kernel"))
    numbers = sum(kernel.numel() for kernel in kernels)
    return 4 * numbers * (5 if device.type == "cpu" else 1)


def _saved_bytes(network: VGG19, name: str) -> float:
    """What the backward pass keeps of a layer, per pixel of the image (rectification.py)."""
    filters = CONVOLUTIONS[f"conv{name[4]}_1"] / stride(name) ** 2
    if name in network.wanted:
        return 4 * filters
    if name.startswith("pool"):
        return 2 * filters if network.pooling == "max" else 0
    before_pool = LAYERS[LAYERS.index(name) + 1].startswith("pool") and network.pooling == "max"
    return filters if name.startswith("relu") and not before_pool else 0


def _probe_for(pixels: int) -> int:
    """The side of the square that stands for an image of so many pixels."""
    return max((side for side in _PROBE_SIDES if side**2 <= 2 * pixels), default=_PROBE_SIDES[0])


def _seconds_per_pixel(network: VGG19, device: torch.device, side: int) -> float:
    """The mean of two evaluations of a square, after one to warm up."""
    deepest = LAYERS[len(network.sequence) - 1]
    times = []
    for _ in range(3):
        image = torch.rand(1, 3, side, side, device=device, requires_grad=True)
        started = time.perf_counter()
        features = network(image)
        loss = sum(
            (gram_matrix(f).mean() for f in features.values()), start=features[deepest].sum()
        )
        torch.autograd.grad(loss, image)[0].sum().item()
        times.append(time.perf_counter() - started)
    return fmean(times[1:]) / side**2


def _pixels(scale: Scale) -> int:
    return scale.size[0] * scale.size[1]
