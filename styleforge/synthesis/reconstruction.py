"""What a layer of VGG-19 knows of an image: reconstructions from features and from Gram matrices.

(Gatys et al. 2016, figure 1; for features also Mahendran and Vedaldi 2015.) Layers are read after
their ReLU, in the normalised network with average pooling, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from styleforge.core.layers import rectified
from styleforge.images.geometry import Size, resize
from styleforge.losses.objective import Objective, gram_matrix
from styleforge.optimize.scales import Scale, plan_scales
from styleforge.synthesis.run import ObjectiveAt
from styleforge.vgg.network import VGG19

CONTENT_LAYERS = tuple(f"conv{block}_2" for block in range(1, 6))
STYLE_LAYERS = tuple(f"conv{block}_1" for block in range(1, 6))

COARSEST = 64
"""Longest side of the first scale in pixels."""


def reconstruction_scales(size: Size, steps: int) -> list[Scale]:
    """From 64 pixels up to (width, height), as many steps at each scale."""
    return plan_scales(size, steps=steps, start=COARSEST, factor=2.0, coarse_steps=steps)


def content_objective(network: VGG19, photo: Tensor, layers: Sequence[str]) -> ObjectiveAt:
    """By size: mean_l L_content,l against the photo's features at these layers, mostly one."""
    names = [rectified(layer) for layer in layers]

    @torch.no_grad()
    def at(size: Size) -> Objective:
        targets = network(resize(photo, size), names)
        weights = dict.fromkeys(names, 1 / len(names))
        return Objective(partial(network, layers=names), targets, weights, {}, {})

    return at


def style_objective(network: VGG19, painting: Tensor, layers: Sequence[str]) -> ObjectiveAt:
    """By size: mean_l E_l against the painting's Gram matrices at these layers."""
    names = [rectified(layer) for layer in layers]

    @torch.no_grad()
    def at(size: Size) -> Objective:
        features = network(resize(painting, size), names)
        targets = {name: gram_matrix(features[name]) for name in names}
        weights = dict.fromkeys(names, 1 / len(names))
        return Objective(partial(network, layers=names), {}, {}, targets, weights)

    return at
