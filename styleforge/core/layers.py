"""VGG-19's layer names (Simonyan and Zisserman 2015, configuration E). Needs no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from styleforge.core.errors import UsageError

BLOCKS = ((1, 64, 2), (2, 128, 2), (3, 256, 4), (4, 512, 4), (5, 512, 4))
"""(block, filters, convolutions); a pooling layer ends each block."""

CONVOLUTIONS: dict[str, int] = {
    f"conv{block}_{index}": filters
    for block, filters, count in BLOCKS
    for index in range(1, count + 1)
}
"""Name and number of filters of the 16 convolutions, in order."""


def _layer_names() -> Iterator[str]:
    for block, _, count in BLOCKS:
        for index in range(1, count + 1):
            yield f"conv{block}_{index}"
            yield f"relu{block}_{index}"
        yield f"pool{block}"


LAYERS: tuple[str, ...] = tuple(_layer_names())
"""All 37 layers in order: conv1_1, relu1_1, conv1_2, ..., relu5_4, pool5."""


def stride(layer: str) -> int:
    """Pixels of the image from one position of a layer's features to the next."""
    poolings = int(layer[4]) - (not layer.startswith("pool"))
    return 1 << poolings


def filters(layer: str) -> int:
    """Channels of a layer's features."""
    return CONVOLUTIONS[f"conv{layer[4]}_1"]


def reach(layer: str) -> int:
    """How many pixels beyond its own a layer's features depend on, at most, on any side."""
    pixels = 0
    for name in LAYERS[: LAYERS.index(layer) + 1]:
        if name.startswith("conv"):
            pixels += stride(name)
        elif name.startswith("pool"):
            pixels += stride(name) // 2
    return pixels


def rectified(layer: str) -> str:
    """The layer whose features ``layer`` stands for in presets: ``conv4_2`` -> ``relu4_2``.

    The papers write conv4_2 and mean the filter responses after the ReLU.
    """
    return layer.replace("conv", "relu")


def known_layer(name: str) -> str:
    """One of VGG-19's layers. Raises :class:`UsageError`."""
    if name not in LAYERS:
        close = difflib.get_close_matches(name, LAYERS, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(
            f"unknown layer {name!r}{meant}; layers are written conv4_2, relu4_2, pool4"
        )
    return name
