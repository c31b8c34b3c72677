"""What a training begins with where it does not begin with random weights.

A network that paints already need not learn again to see and to draw: a new painting begins as
that of its styles which comes nearest, and has little left to learn (Dumoulin et al. 2017,
section 3.2, begin with the mean of the styles).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from styleforge.losses.objective import Loss
from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters

BatchLoss = Callable[[Tensor, Tensor | None, Tensor], Loss]
"""Of pastiches and photos (B, 3, H, W), and each one's style (B,): of a BatchObjective."""


@torch.no_grad()
def start_as_nearest(
    network: TransformerNetwork,
    first_style: int,
    known: TransformerNetwork,
    objective: BatchLoss,
    photos: Tensor,
) -> None:
    """Begin each style of ``network`` from the first on as the most alike that ``known`` has.

    The most alike is the one whose pastiches of the photos (B, 3, H, W) have the least loss
    against the new style. Both networks have the same layers.
    """
    losses = _losses(len(style_parameters(network)[0]), first_style, known, objective, photos)
    chosen = losses.argmin(1)
    for new, old in zip(style_parameters(network), style_parameters(known), strict=True):
        new[first_style:] = old[chosen].to(new)


def _losses(
    count: int,
    first_style: int,
    known: TransformerNetwork,
    objective: BatchLoss,
    photos: Tensor,
) -> Tensor:
    """Of each new style and each known one, (new, known)."""
    columns = []
    for k in range(len(style_parameters(known)[0])):
        mixture = one_style(k, len(style_parameters(known)[0])).to(photos)
        pastiches = known(photos, mixture.expand(len(photos), -1))
        columns.append(_against_each(range(first_style, count), objective, pastiches, photos))
    return torch.stack(columns, 1)


def _against_each(
    styles: Sequence[int], objective: BatchLoss, pastiches: Tensor, photos: Tensor
) -> Tensor:
    numbers = [torch.full((len(photos),), style, device=photos.device) for style in styles]
    return torch.stack([objective(pastiches, photos, own).total for own in numbers])
