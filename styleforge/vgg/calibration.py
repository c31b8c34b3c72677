"""Normalised VGG-19 (Gatys et al. 2016, section 2): every filter's mean activation is 1.

ReLU and pooling are positively homogeneous, so dividing a filter's kernel and bias by its mean
activation, and multiplying the next layer's matching input channel by it, changes nothing but
the scale of that filter's output. Without it the layers' losses differ by orders of magnitude.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from styleforge.core.files import write_atomically
from styleforge.core.layers import CONVOLUTIONS, rectified
from styleforge.core.resources import resource
from styleforge.images.folder import pictures_in
from styleforge.images.geometry import fit_size, resize, size_of
from styleforge.images.load import load_image
from styleforge.vgg.convolution import Padding
from styleforge.vgg.network import VGG19, Pooling
from styleforge.vgg.weights import Weights

TensorMap = dict[str, Tensor]

FLOOR = 0.5
MEASURED_SIZE = 256
_CHECKSUM = "sha256"
SHIPPED_FILE = "mean_activations.safetensors"


@torch.no_grad()
def mean_activations(
    weights: Weights, images: Iterable[Tensor], *, pooling: Pooling, padding: Padding
) -> dict[str, Tensor]:
    """Mean of every filter after its ReLU, over images and positions: ``{conv name: (N,)}``.

    ``images`` are (1, 3, H, W), RGB in [0, 1]; each image counts the same whatever its size.
    """
    network = VGG19(weights, map(rectified, CONVOLUTIONS), pooling=pooling, padding=padding)
    sums = {name: torch.zeros(filters) for name, filters in CONVOLUTIONS.items()}
    count = 0
    for image in images:
        features = network(image)
        for name, total in sums.items():
            total += features[rectified(name)].mean(dim=(0, 2, 3))
        count += 1
    if not count:
        raise ValueError("mean activations need at least one image")
    return {name: total / count for name, total in sums.items()}


def normalize(weights: Weights, means: Mapping[str, Tensor]) -> Weights:
    """Weights whose filters have a mean activation of 1 where ``means`` were measured.

    Departure from the paper: a mean below a fraction of the layer's average counts as that
    fraction, so that a filter which hardly ever fires is not blown up into noise.
    """
    kernels, biases = {}, {}
    previous = torch.ones(3)
    for name, kernel in weights.kernels.items():
        scale = means[name].clamp(min=FLOOR * means[name].mean().item())
        kernels[name] = kernel * previous.view(1, -1, 1, 1) / scale.view(-1, 1, 1, 1)
        biases[name] = weights.biases[name] / scale
        previous = scale
    return replace(weights, kernels=kernels, biases=biases)


def normalized_weights(weights: Weights, *, pooling: Pooling, padding: Padding) -> Weights:
    """Normalise by the mean activations that ship, or else by those of the sample photographs.

    The latter are measured on first use, which takes some seconds, and kept in the user's cache.
    """
    means = _shipped_means(weights.sha256, pooling, padding)
    if means is None:
        means = _cached_means(weights, pooling, padding)
    return normalize(weights, means)


def measure(
    weights: Weights, photographs: Sequence[Path], *, pooling: Pooling, padding: Padding
) -> TensorMap:
    """Mean activations over photographs, each 256 pixels on its longest side."""
    images = (load_image(path).pixels for path in photographs)
    sized = (resize(x, fit_size(size_of(x), MEASURED_SIZE)) for x in images)
    return mean_activations(weights, sized, pooling=pooling, padding=padding)


def key_of(sha256: str, pooling: Pooling, padding: Padding, convolution: str) -> str:
    """The name of one convolution's means in a data file."""
    return f"{sha256[:12]}/{pooling}/{padding}/{convolution}"


def _shipped_means(sha256: str, pooling: Pooling, padding: Padding) -> TensorMap | None:
    key = partial(key_of, sha256, pooling, padding)
    with safe_open(resource(SHIPPED_FILE), "pt") as file:
        if key("conv1_1") not in file.keys():  # noqa: SIM118 (not a dict)
            return None
        return {name: file.get_tensor(key(name)) for name in CONVOLUTIONS}


def _cached_means(weights: Weights, pooling: Pooling, padding: Padding) -> TensorMap:
    name = f"mean_activations-{weights.sha256[:12]}-{pooling}-{padding}.safetensors"
    path = user_cache_path("styleforge") / name
    try:
        return _undamaged(path)
    except (OSError, ValueError, SafetensorError):
        samples = pictures_in(resource("sample_images") / "content", recursive=True)
        means = measure(weights, samples, pooling=pooling, padding=padding)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(means, {_CHECKSUM: _sha256(means)}))
    except OSError:
        pass  # a cache that cannot be written only costs time
    return means


def _undamaged(path: Path) -> TensorMap:
    """Cached means. Raises ValueError and the like for anything else."""
    with safe_open(path, "pt") as file:
        means = {name: file.get_tensor(name) for name in CONVOLUTIONS}
        expected = (file.metadata() or {}).get(_CHECKSUM)
    if _sha256(means) != expected:
        raise ValueError(f"{path} is damaged")
    return means


def _sha256(means: TensorMap) -> str:
    """Of names, shapes, types and values."""
    return hashlib.sha256(save(means)).hexdigest()
