"""Networks trained elsewhere, read as our own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.errors import ModelError
from styleforge.networks.model_file import ModelInfo, ModelStyle, check_finite
from styleforge.networks.transformer import TransformerNetwork
from styleforge.presets.networks import TransformerSettings

_NORMALIZED = {
    **{f"encoder.{i}": (f"conv{i + 1}", f"in{i + 1}") for i in range(3)},
    **{f"blocks.{i}.first": (f"res{i + 1}.conv1", f"res{i + 1}.in1") for i in range(5)},
    **{f"blocks.{i}.second": (f"res{i + 1}.conv2", f"res{i + 1}.in2") for i in range(5)},
    **{f"decoder.{i}": (f"deconv{i + 1}", f"in{i + 4}") for i in range(2)},
}
"""Our convolution blocks, and their convolutions and normalisations there."""


def import_pytorch_example(path: Path, style: str) -> tuple[ModelInfo, TransformerNetwork]:
    """A network of github.com/pytorch/examples, fast_neural_style, from its .pth file.

    That network takes and gives 0 to 255; the factors go into its first and last kernels.
    Raises :class:`ModelError`.
    """
    if not path.is_file():
        raise ModelError(f"no such file: {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ModelError(f"{path} is damaged, or holds other things than tensors") from error
    network = TransformerNetwork(TransformerSettings(output="clamp"))
    try:
        network.load_state_dict(_renamed(state if isinstance(state, dict) else {}))
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{path} is not a network of pytorch/examples' fast_neural_style"
        ) from error
    check_finite(path, network.state_dict().values())
    info = ModelInfo(
        generator=network.settings,
        styles=[ModelStyle(name=style)],
        recipe={"imported_from": path.name},
    )
    return info, network.eval()


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their names to ours. Old files also hold running means, which were never used."""
    tensors = {}
    for ours, (convolution, normalization) in _NORMALIZED.items():
        tensors[f"{ours}.convolution.weight"] = state[f"{convolution}.conv2d.weight"]
        tensors[f"{ours}.convolution.bias"] = state[f"{convolution}.conv2d.bias"]
        tensors[f"{ours}.normalization.scale"] = state[f"{normalization}.weight"][None]
        tensors[f"{ours}.normalization.shift"] = state[f"{normalization}.bias"][None]
    tensors["encoder.0.convolution.weight"] = 255 * tensors["encoder.0.convolution.weight"]
    for name in ("weight", "bias"):
        tensors[f"output.{name}"] = state[f"deconv3.conv2d.{name}"] / 255
    return tensors
