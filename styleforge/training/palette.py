"""The colors of a network's pictures, made as strong as the painting's.

A network cannot know where strokes fall, and paints a mean of where they might: the deviation of
its colors is a fifth to two fifths too small. What its last normalisation makes has mean 0 and
deviation 1 in every picture, so that scale and shift, a number of each for red, green and blue,
can be chosen for a mean and a deviation of the pictures' colors. They go half of the way there:
all of it would make strokes and outlines stronger than the painting's.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from styleforge.networks.instance_norm import InstanceNorm
from styleforge.networks.transformer import ConvolutionBlock, TransformerNetwork, one_style

SHARE = 0.5

_ITERATIONS = 100
_LEAST_VARIANCE = 1e-8
"""Even photos have none, and its root no gradient there."""

_MOST = 1 << 16
"""Positions of the photos that are looked at, about."""


@torch.no_grad()
def set_palette(
    network: TransformerNetwork,
    style: int,
    painting: Tensor,
    photos: Tensor,
    *,
    share: float = SHARE,
) -> None:
    """Bring pictures of photos (B, 3, H, W) to a painting's (1, 3, H', W') mean and deviation.

    Of each channel, over all photos together; in one of the network's styles, in place, and by
    that share of the way: 1 is all of it. Does nothing where the network ends without a
    normalisation for each style.
    """
    if not network.settings.normalized_output:
        return
    last = cast(ConvolutionBlock, network.decoder[-1]).normalization
    made = _normalized(network, last, style, photos)
    target = torch.stack([painting.mean((0, 2, 3)), painting.std((0, 2, 3))]).to(made)
    growth, shift = _fitted(network, made, target, last.scale[style], last.shift[style])
    last.scale[style] *= (share * growth).exp()
    last.shift[style].lerp_(shift, share)


def _normalized(
    network: TransformerNetwork, last: InstanceNorm, style: int, photos: Tensor
) -> Tensor:
    """What the last normalisation makes without its scale and shift, (3, positions)."""
    found: list[Tensor] = []
    hook = last.register_forward_hook(lambda _, __, output: found.append(output))
    mixture = one_style(style, len(last.scale)).to(photos)
    for photo in photos:
        network(photo[None], mixture)
    hook.remove()
    made = torch.cat([output.flatten(2) for output in found], 2)[0]
    made = made[:, :: max(1, made.shape[1] // _MOST)]
    return (made - last.shift[style][:, None]) / last.scale[style][:, None]


@torch.enable_grad()
def _fitted(
    network: TransformerNetwork, made: Tensor, target: Tensor, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """For the mean and deviation of a target (2, 3): log of a factor of the scale; shift. (3,).

    So a scale keeps its sign: the other one would turn light into dark.
    """
    both = torch.stack([torch.zeros_like(scale), shift]).detach().requires_grad_()
    search = torch.optim.LBFGS([both], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        search.zero_grad()
        factor = (scale * both[0].exp())[:, None]
        colors = network.to_range(factor * made + both[1][:, None])
        found = torch.stack([colors.mean(1), (colors.var(1) + _LEAST_VARIANCE).sqrt()])
        loss = (found - target).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(error)  # type: ignore[no-untyped-call]
    return both.detach()[0], both.detach()[1]
