"""VGG-19 as a feature extractor: an image in, the features of the layers asked for out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.core.devices import Precision
from styleforge.core.layers import CONVOLUTIONS, LAYERS
from styleforge.vgg.convolution import Convolution, Padding
from styleforge.vgg.rectification import average_pool, rectify, rectify_and_max_pool
from styleforge.vgg.weights import Weights

Pooling = Literal["avg", "max"]


class VGG19(nn.Module):
    """Image (B, 3, H, W), RGB in [0, 1], to ``{layer: (B, N_l, H_l, W_l)}``.

    ``conv*`` are the linear responses before the ReLU, ``relu*`` after it. The network stops at
    the deepest layer asked for. The weights are constants: only the image gets a gradient.

    Source: Simonyan and Zisserman 2015, configuration E. Average pooling, as Gatys et al. 2016
    recommend, gives smoother pictures than the max pooling it was trained with. ``padding`` is
    the network's own ``zeros``, or ``replicate``, which repeats the edge pixels instead of
    surrounding every picture with a frame of zeros. ``precision`` is of all convolutions; with
    bf16 the first stays float32, for the image and its gradient are so in any case.
    """

    mean: Tensor

    def __init__(
        self,
        weights: Weights,
        layers: Iterable[str],
        *,
        pooling: Pooling = "avg",
        padding: Padding = "replicate",
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self._precision = precision
        self.wanted = frozenset(layers)
        self.pooling = pooling
        last = max(LAYERS.index(layer) for layer in self.wanted)
        self.sequence = LAYERS[: last + 1]
        self.register_buffer("mean", weights.mean.view(1, 3, 1, 1))
        self.convolutions = nn.ModuleDict(
            {
                name: self._convolution(name, weights, padding)
                for name in self.sequence
                if name in CONVOLUTIONS
            }
        )

    def forward(self, image: Tensor, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Features of all layers that the network was made for, or only of these of them."""
        wanted = self.wanted if layers is None else frozenset(layers)
        x = (image - self.mean).contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        for name in self.sequence:
            if len(features) == len(wanted):
                break
            x = self._layer(name, x)
            if name in wanted:
                features[name] = x
        return features

    def _convolution(self, name: str, weights: Weights, padding: Padding) -> Convolution:
        halved = self._precision == "bf16" and name != "conv1_1"
        dtype = torch.bfloat16 if halved else torch.float32
        kernel, bias = weights.kernels[name].to(dtype), weights.biases[name].to(dtype)
        tf32 = self._precision != "float32"
        return Convolution(kernel, bias, padding=padding, tf32=tf32)

    def _layer(self, name: str, x: Tensor) -> Tensor:
        if name.startswith("conv"):
            result: Tensor = self.convolutions[name](x)
            return result
        if name.startswith("relu"):
            return self._rectify(name, x)
        return average_pool(x) if self.pooling == "avg" else rectify_and_max_pool(x)

    def _rectify(self, name: str, x: Tensor) -> Tensor:
        """In place where nothing else reads ``x``; left to max pooling where that comes next."""
        if name in self.wanted or name.replace("relu", "conv") in self.wanted:
            return F.relu(x, inplace=name.replace("relu", "conv") not in self.wanted)
        following = LAYERS[LAYERS.index(name) + 1]
        return x if following.startswith("pool") and self.pooling == "max" else rectify(x)
