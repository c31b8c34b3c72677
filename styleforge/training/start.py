"""What a training begins with where it does not begin with random weights.

A network that paints already need not learn again to see and to draw: a new painting begins as
that of its styles which comes nearest, and has little left to learn. (Dumoulin et al. 2017,
figure 6, learn a new style's scales and shifts alone, from a network of other styles.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters

Losses = Callable[[Tensor, Tensor, Sequence[int]], Tensor]
"""Of pastiches of photos (B, 3, H, W) against each of some styles: (styles,)."""


@torch.no_grad()
def start_as_nearest(
    network: TransformerNetwork,
    first_style: int,
    known: TransformerNetwork,
    losses: Losses,
    photos: Tensor,
) -> None:
    """Begin each style of ``network`` from the first on as the most alike that ``known`` has.

    The most alike is the one whose pastiches of the photos (B, 3, H, W) have the least loss
    against the new style. Both networks have the same layers.
    """
    new, old = (len(style_parameters(each)[0]) for each in (network, known))
    found = []
    for k in range(old):
        pastiches = known(photos, one_style(k, old).to(photos).expand(len(photos), -1))
        found.append(losses(pastiches, photos, range(first_style, new)))
    chosen = torch.stack(found).argmin(0)
    for own, theirs in zip(style_parameters(network), style_parameters(known), strict=True):
        own[first_style:] = theirs[chosen].to(own)
