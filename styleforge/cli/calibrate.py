"""``styleforge calibrate``: measure the mean activations that normalise VGG-19."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, get_args

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.progress import say, suggest
from styleforge.cli.report import elapsed
from styleforge.core.signals import hear_requests

_LARGEST = 2**20
"""Bytes; it is less."""


@examples("calibrate photos/ -o means.safetensors")
def calibrate(
    photographs: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Photographs, searched below.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="A .safetensors file.")
    ],
    weights: Annotated[
        str, typer.Option(metavar="NAME", help="auto, original, torchvision or a weights file.")
    ] = "auto",
    force: options.Force = False,
) -> None:
    """Measure VGG-19's mean activations over photographs, for every pooling and padding.

    This is how the data file that ships was made. Other weights than the original are measured
    by themselves on first use.
    """
    started = time.perf_counter()
    from safetensors.torch import save

    from styleforge.core.errors import StyleforgeError, UsageError
    from styleforge.core.files import check_place, write_atomically
    from styleforge.images.folder import pictures_in
    from styleforge.images.load import load_image
    from styleforge.vgg import calibration as normalization
    from styleforge.vgg.convolution import Padding
    from styleforge.vgg.network import Pooling
    from styleforge.vgg.weights import load_weights

    hear_requests()

    if not photographs.is_dir():
        raise UsageError(f"no such folder: {photographs}")
    check_place(output, inputs=[], force=force, needed=_LARGEST)
    readable = []
    for path in pictures_in(photographs, recursive=True):
        try:
            load_image(path)
        except StyleforgeError as error:
            say(f"passed over: {error}")
        else:
            readable.append(path)
    if not readable:
        raise UsageError(f"no photographs in {photographs}")
    loaded = load_weights(weights)
    tensors = {}
    for pooling in get_args(Pooling):
        for padding in get_args(Padding):
            say(f"{len(readable)} photographs, {pooling} pooling, padding with {padding}")
            means = normalization.measure(loaded, readable, pooling=pooling, padding=padding)
            for name, mean in means.items():
                tensors[normalization.key_of(loaded.sha256, pooling, padding, name)] = mean
    write_atomically(output, save(tensors))
    say(f"Saved {output} in {elapsed(started)}")
    suggest(f"in a checkout, it goes to styleforge/data/{normalization.SHIPPED_FILE}")
