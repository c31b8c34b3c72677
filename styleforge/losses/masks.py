"""Masks: where in the photo each style goes (Gatys et al. 2017, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.layers import stride
from styleforge.images.geometry import Size, fit_size, size_of
from styleforge.images.load import Picture
from styleforge.losses.objective import Guidance

LEAST_WHITE = 0.002
"""Share of a style image that its mask has to leave: about what one deep feature looks at."""

_LEAST = 1e-12
"""Mean square of a mask that a layer does not see at all; it gets no style."""


def check_masks(
    masks: Sequence[tuple[str, Tensor]],
    *,
    styles: int,
    size: Size,
    statistic: str = "gram",
) -> None:
    """Raise :class:`UsageError` unless there are none, or a good one for each style, with names.

    Masks are (1, 1, H, W); ``size`` is the photo's (width, height).
    """
    if not masks:
        return
    if len(masks) != styles:
        raise UsageError(
            f"masks and styles differ in number ({len(masks)} and {styles}): "
            "give one mask for each style, in the same order"
        )
    if statistic == "sliced-wasserstein":
        raise UsageError(f"masks do not go with the statistic {statistic}; use another statistic")
    for name, mask in masks:
        _check_mask(mask, name, size)


def check_style_masks(
    masks: Sequence[tuple[str, Tensor]],
    *,
    sizes: Sequence[Size],
    statistic: str = "gram",
) -> None:
    """Raise :class:`UsageError` unless there are none, or a good one for each style, with names.

    ``sizes`` are the style images' (width, height).
    """
    if not masks:
        return
    if len(masks) != len(sizes):
        raise UsageError(
            f"style masks and styles differ in number ({len(masks)} and {len(sizes)}): give one "
            "for each style, in the same order; a white one leaves all of it"
        )
    if statistic == "sliced-wasserstein":
        raise UsageError(f"masks do not go with the statistic {statistic}; use another statistic")
    for (name, mask), size in zip(masks, sizes, strict=True):
        _check_mask(mask, name, size, of="style image", white="where the style may be taken from")
        if mask.mean() < LEAST_WHITE:
            raise UsageError(
                f"{name} leaves {100 * mask.mean():.2f} % of its style image, too little to take a "
                f"style from; leave {100 * LEAST_WHITE:g} % or more"
            )


def _check_mask(
    mask: Tensor,
    name: str,
    size: Size,
    *,
    of: str = "content image",
    white: str = "where the style goes",
) -> None:
    """Raise :class:`UsageError` where it has not the shape of (width, height), or nothing white."""
    found = size_of(mask)
    if any(abs(a - b) > 1 for a, b in zip(found, fit_size(size, max(found)), strict=True)):
        raise UsageError(
            f"{name} is {found[0]} x {found[1]} pixels, which is not the shape of the {of} "
            f"({size[0]} x {size[1]}); cut it the same way"
        )
    if mask.max() == 0:
        raise UsageError(f"{name} is black everywhere: paint white {white}")


def mask_of(picture: Picture) -> Tensor:
    """(1, 1, H, W) in [0, 1]: how light a picture is; what is transparent is black."""
    lightness = picture.pixels.mean(1, keepdim=True)
    return lightness if picture.alpha is None else lightness * picture.alpha


def coverage(masks: Tensor) -> Tensor:
    """Where any style goes, (1, 1, H, W) in [0, 1], of masks (K, 1, H, W)."""
    return masks.sum(0, keepdim=True).clamp(max=1)


def regions(masks: Tensor, weights: Sequence[float]) -> Tensor:
    """Masks (K, 1, H, W) that together cover the same, and nothing more than once.

    Where masks overlap, styles share the place by their weights.
    """
    weighed = masks * masks.new_tensor(weights).view(-1, 1, 1, 1)
    return coverage(masks) * weighed / weighed.sum(0, keepdim=True).clamp(min=_LEAST)


def guidance(regions: Tensor, layer: str) -> Guidance:
    """Of regions (K, 1, H, W) of the picture at a layer, averaged down to its size.

    T_k is scaled to a mean square of 1: the paper's sum of squares of 1, with our Gram divisor M.
    lambda_k is the region's share of the picture, so that a style is as strong in its region as
    it would be everywhere.
    """
    channels = F.avg_pool2d(regions, stride(layer))
    square = channels.square().mean((2, 3), keepdim=True)
    return Guidance(channels / square.clamp(min=_LEAST).sqrt(), regions.mean((1, 2, 3)))


def patchwork(pastiches: Iterable[Tensor], photo: Tensor, regions: Tensor) -> Tensor:
    """Each pastiche (1, 3, H, W) in its own of K regions, and the photo where there is none."""
    result = photo * (1 - regions.sum(0, keepdim=True))
    for pastiche, region in zip(pastiches, regions, strict=True):
        result += region * pastiche
    return result


def composite(pastiche: Tensor, photo: Tensor, masks: Tensor) -> Tensor:
    """The pastiche where masks are white, and the photo where all are black."""
    return torch.lerp(photo, pastiche, coverage(masks))
