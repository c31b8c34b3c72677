"""A reconstruction made ready and carried out: one picture, or a labelled sheet of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styleforge.cli.synthesis import carry_out, check_memory, fitting_size, say_saved
from styleforge.devices import out_of_memory_as_error, pick_device
from styleforge.images import load_image, resize
from styleforge.layers import rectified
from styleforge.loss_network import paper_network
from styleforge.output import check_output, save_image
from styleforge.reconstruct import reconstruction_scales
from styleforge.sheets import sheet
from styleforge.synthesis import ObjectiveAt, Synthesis
from styleforge.vgg import VGG19
from styleforge.weights import load_weights


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    picture: Path
    output: Path
    size: int
    steps: int
    seed: int
    device: str
    force: bool
    quiet: bool


Layers = Sequence[str]
MakeObjective = Callable[[VGG19, Tensor, Layers], ObjectiveAt]


def run(request: Request, objective: MakeObjective, columns: Mapping[str, Layers]) -> None:
    """Reconstruct from the layers of every column, and save the picture, or the sheet of several.

    Raises :class:`UsageError` before the work; after Ctrl-C, what there is is saved.
    """
    started = time.perf_counter()
    device = pick_device(request.device)
    picture = load_image(request.picture)
    size = fitting_size(picture, request.size)
    pixels = size[0] * size[1] * (len(columns) + 1)
    check_output(request.output, inputs=[picture.path], force=request.force, depth=8, pixels=pixels)
    with out_of_memory_as_error(size):
        network = _network(columns).to(device)
        check_memory(network, size, device)
        target = resize(picture.pixels, size).to(device)
        runs = {
            name: Synthesis(
                objective(network, target, layers),
                reconstruction_scales(size, request.steps),
                seed=request.seed,
                device=device,
            )
            for name, layers in columns.items()
        }
    finished = carry_out(list(runs.values()), quiet=request.quiet)
    found = {name: run.image() for name, run in runs.items() if run.started}
    result = _shown(target, found) if len(columns) > 1 else next(iter(found.values()))
    save_image(request.output, result)
    say_saved(
        request.output,
        (result.shape[3], result.shape[2]),
        seconds=time.perf_counter() - started,
        finished=finished,
        quiet=request.quiet,
    )


def _network(columns: Mapping[str, Layers]) -> VGG19:
    layers = {rectified(layer) for group in columns.values() for layer in group}
    return paper_network(load_weights(), sorted(layers))


def _shown(original: Tensor, found: Mapping[str, Tensor]) -> Tensor:
    """The sheet: the picture itself, then the reconstructions."""
    return sheet(
        [[original, *found.values()]],
        cell=max(original.shape[2:]),
        columns=["original", *found],
    )
