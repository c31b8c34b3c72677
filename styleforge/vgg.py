"""VGG-19 as a feature extractor: an image in, the features of the layers asked for out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.convolution import convolve
from styleforge.layers import CONVOLUTIONS, LAYERS
from styleforge.weights import Weights

Pooling = Literal["avg", "max"]
Padding = Literal["replicate", "zeros"]


class VGG19(nn.Module):
    """Image (B, 3, H, W), RGB in [0, 1], to ``{layer: (B, N_l, H_l, W_l)}``.

    ``conv*`` are the linear responses before the ReLU, ``relu*`` after it. The network stops at
    the deepest layer asked for. The weights are constants: only the image gets a gradient.

    Source: Simonyan and Zisserman 2015, configuration E. Average pooling, as Gatys et al. 2016
    recommend, gives smoother pictures than the max pooling it was trained with. ``padding`` is
    the network's own ``zeros``, or ``replicate``, which repeats the edge pixels instead of
    surrounding every picture with a frame of zeros.
    """

    mean: Tensor

    def __init__(
        self,
        weights: Weights,
        layers: Iterable[str],
        *,
        pooling: Pooling = "avg",
        padding: Padding = "replicate",
    ) -> None:
        super().__init__()
        self.wanted = frozenset(layers)
        self.pooling = pooling
        self.padding = padding
        last = max(LAYERS.index(layer) for layer in self.wanted)
        self.sequence = LAYERS[: last + 1]
        self.register_buffer("mean", weights.mean.view(1, 3, 1, 1))
        for name in self.sequence:
            if name in CONVOLUTIONS:
                kernel = weights.kernels[name].contiguous(memory_format=torch.channels_last)
                self.register_buffer(f"{name}_kernel", kernel)
                self.register_buffer(f"{name}_bias", weights.biases[name])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = (image - self.mean).contiguous(memory_format=torch.channels_last)
        features = {}
        for name in self.sequence:
            x = self._layer(name, x)
            if name in self.wanted:
                features[name] = x
        return features

    def _layer(self, name: str, x: Tensor) -> Tensor:
        if name.startswith("conv"):
            return self._convolution(name, x)
        if name.startswith("relu"):
            kept = name.replace("relu", "conv") in self.wanted
            return F.relu(x, inplace=not kept)
        return F.avg_pool2d(x, 2) if self.pooling == "avg" else F.max_pool2d(x, 2)

    def _convolution(self, name: str, x: Tensor) -> Tensor:
        kernel: Tensor = getattr(self, f"{name}_kernel")
        bias: Tensor = getattr(self, f"{name}_bias")
        return convolve(x, kernel, bias, replicate=self.padding == "replicate")
