"""A trained network as an ONNX file, for other programs."""

from __future__ import annotations

import importlib.util
import logging
import warnings

import torch
from torch import Tensor, nn

from styleforge.core.errors import UsageError
from styleforge.networks.model_file import Model
from styleforge.networks.transformer import TransformerNetwork

OPSET = 18
_EXAMPLE = (1, 3, 64, 80)


class _Fixed(nn.Module):
    """The network with a mixture of styles decided: image (1, 3, H, W) to pastiche."""

    def __init__(self, network: TransformerNetwork, mixture: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mixture", mixture)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.network(image, self.mixture)
        return result


def to_onnx(model: Model, mixture: Tensor) -> bytes:
    """The bytes of an ONNX file: ``image`` to ``pastiche``, (1, 3, H, W) in [0, 1], any H and W.

    Raises :class:`UsageError` for a texture network, and where the packages are missing.
    """
    if not isinstance(model.network, TransformerNetwork):
        raise UsageError(f"{model.name} is a texture network; only transformer networks export")
    if importlib.util.find_spec("onnxscript") is None:
        raise UsageError("export needs more packages: pip install 'styleforge[onnx]'")
    sides = {2: torch.export.Dim("height", min=16), 3: torch.export.Dim("width", min=16)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Fixed(model.network, mixture).eval(),
            (torch.rand(_EXAMPLE),),
            input_names=["image"],
            output_names=["pastiche"],
            opset_version=OPSET,
            dynamic_shapes={"image": sides},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content
