"""What a training begins with where it does not begin with random weights.

A network that paints already need not learn again to see and to draw: a new painting begins as
that of its styles which comes nearest, and has little left to learn. (Dumoulin et al. 2017,
figure 6, learn a new style's scales and shifts alone, from a network of other styles.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from styleforge.losses.objective import Loss
from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters

BatchLoss = Callable[[Tensor, Tensor, Tensor], Loss]
"""Of pastiches and photos (B, 3, H, W) in styles (B,)."""


@torch.no_grad()
def start_as_nearest(
    network: TransformerNetwork,
    first_style: int,
    known: TransformerNetwork,
    loss: BatchLoss,
    photos: Tensor,
) -> None:
    """Begin each style of ``network`` from the first on as the most alike that ``known`` has.

    The most alike is the one with which the network's pastiches of the photos (B, 3, H, W), over
    the new style's underpainting if it has one, have the least loss. Both networks have the same
    layers and the same kernels.
    """
    own, theirs = style_parameters(network), style_parameters(known)
    styles = len(own[0])

    def take(style: int, k: int) -> None:
        for new, old in zip(own, theirs, strict=True):
            new[style] = old[k].to(new)

    def loss_as(style: int, k: int) -> float:
        take(style, k)
        mixture = one_style(style, styles).to(photos).expand(len(photos), -1)
        chosen = torch.full((len(photos),), style, device=photos.device)
        return loss(network(photos, mixture), photos, chosen).total.item()

    for style in range(first_style, styles):
        found = [loss_as(style, k) for k in range(len(theirs[0]))]
        take(style, found.index(min(found)))
