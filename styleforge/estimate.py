"""What a run will take, before it runs: time from one small measured evaluation, and memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from styleforge.devices import free_memory
from styleforge.errors import OutOfMemoryError
from styleforge.layers import CONVOLUTIONS, LAYERS
from styleforge.losses import gram_matrix
from styleforge.optimize.lbfgs import HISTORY
from styleforge.optimize.scales import Scale
from styleforge.vgg import VGG19

PROBE_SIDE = 160
"""Side of the square that is evaluated once to learn this machine's speed."""

_FLOAT_BYTES = 4
_TARGET_EVALUATIONS = 1.0
"""Taking the targets costs two forward passes a scale, about one evaluation."""

_WORKING_CHANNELS = 5 * 64
"""Full-size channels alive beside the saved features: gradients, masks and padded copies."""

_RESIDENT_BYTES = {"cpu": 780 * 2**20, "cuda": 1000 * 2**20, "mps": 780 * 2**20}
"""Interpreter, torch and the network's weights."""


@dataclass(frozen=True)
class Estimate:
    """Evaluations and seconds of a whole run, and its peak memory in bytes."""

    evaluations: int
    seconds: float
    memory: int


def estimate(network: VGG19, scales: Sequence[Scale], *, device: torch.device) -> Estimate:
    """Predict a run over these scales with this network, which is on ``device``."""
    per_pixel = _seconds_per_pixel(network, device)
    work = sum(_pixels(scale) * (scale.steps + 1 + _TARGET_EVALUATIONS) for scale in scales)
    return Estimate(
        evaluations=sum(scale.steps + 1 for scale in scales),
        seconds=per_pixel * work,
        memory=peak_memory(network, max(map(_pixels, scales)), device=device),
    )


def peak_memory(network: VGG19, pixels: int, *, device: torch.device) -> int:
    """Bytes that a run needs whose largest scale has so many pixels."""
    return _RESIDENT_BYTES[device.type] + round(pixels * bytes_per_pixel(network.sequence))


def ensure_memory(network: VGG19, size: tuple[int, int], *, device: torch.device) -> None:
    """Raise :class:`OutOfMemoryError` where a run at (width, height) would not fit.

    On a CPU the system would otherwise kill the process without a word.
    """
    free = free_memory(device) + _RESIDENT_BYTES[device.type]  # by now that much is in use
    needed = peak_memory(network, size[0] * size[1], device=device)
    if needed <= free:
        return
    room = max(0, free - _RESIDENT_BYTES[device.type]) / bytes_per_pixel(network.sequence)
    fitting = int(max(size) * math.sqrt(room / (size[0] * size[1]))) // 32 * 32
    advice = f"try --size {fitting}" if fitting else "free some memory"  # --size 0 is the photo's
    raise OutOfMemoryError(
        f"{size[0]} x {size[1]} pixels need about {needed / 2**30:.1f} GiB of memory and "
        f"{free / 2**30:.1f} GiB are there; {advice}"
    )


def bytes_per_pixel(sequence: Iterable[str]) -> float:
    """Memory of one evaluation per pixel of the image: saved features, gradients, history."""
    channels = 0.0
    width = 3
    for name in sequence:
        block = int(name[4])
        width = CONVOLUTIONS.get(name, width)
        if name.startswith("relu"):
            continue  # in place, but for the few that a preset reads before it
        area = 4.0 ** -(block - 1 + name.startswith("pool"))
        channels += width * area
    history = (2 * HISTORY + 1 + 8) * 3
    return _FLOAT_BYTES * (channels + _WORKING_CHANNELS + history)


def _seconds_per_pixel(network: VGG19, device: torch.device) -> float:
    """The faster of two evaluations of a small square; the first one also warms up."""
    deepest = LAYERS[len(network.sequence) - 1]
    times = []
    for _ in range(2):
        image = torch.rand(1, 3, PROBE_SIDE, PROBE_SIDE, device=device, requires_grad=True)
        started = time.perf_counter()
        features = network(image)
        loss = sum(
            (gram_matrix(f).mean() for f in features.values()), start=features[deepest].sum()
        )
        torch.autograd.grad(loss, image)[0].sum().item()
        times.append(time.perf_counter() - started)
    return min(times) / PROBE_SIDE**2


def _pixels(scale: Scale) -> int:
    return scale.size[0] * scale.size[1]
