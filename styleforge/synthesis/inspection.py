"""What VGG-19 sees in an image: the strongest feature maps of a layer, and its Gram matrix."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.contact_sheet import sheet

ACROSS = 6
"""Feature maps in a row of a sheet."""


@dataclass(frozen=True)
class FeatureMap:
    """One channel's responses (H, W), their mean and their maximum."""

    channel: int
    mean: float
    maximum: float
    responses: Tensor


def strongest(features: Tensor, count: int) -> list[FeatureMap]:
    """The ``count`` channels of features (1, N, H, W) with the highest means, the highest first."""
    means = features[0].mean((1, 2))
    channels: list[int] = means.argsort(descending=True, stable=True)[:count].tolist()
    return [
        FeatureMap(c, means[c].item(), features[0, c].max().item(), features[0, c].cpu())
        for c in channels
    ]


def feature_sheet(maps: Sequence[FeatureMap], *, cell: int) -> Tensor:
    """Feature maps in a grid, each from black at 0 to white at its maximum: (1, 3, H, W).

    Under each are the channel's number and mean.
    """
    cells = [_labelled(one, cell) for one in maps]
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    return sheet(rows, cell=max(cells[0].shape[2:]))


def _labelled(one: FeatureMap, cell: int) -> Tensor:
    shown = (one.responses / max(one.maximum, 1e-12)).clamp(0, 1)
    factor = max(1, cell // max(shown.shape))
    enlarged = F.interpolate(shown.expand(1, 3, -1, -1), scale_factor=factor, mode="nearest")
    return sheet([[enlarged]], cell=cell, labels=[f"{one.channel}: {one.mean:.3g}"])


def gram_picture(gram: Tensor, title: str) -> bytes:
    """A Gram matrix (N, N) as a PNG, its values on a logarithmic scale of colors."""
    from matplotlib.colors import LogNorm  # slow to import
    from matplotlib.figure import Figure

    values = gram.double().cpu().numpy()
    top = max(float(values.max()), 1e-12)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(np.maximum(values, 1e-4 * top), norm=LogNorm(1e-4 * top, top))
    figure.colorbar(shown, ax=axes)
    axes.set(title=title, xlabel="channel", ylabel="channel")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
