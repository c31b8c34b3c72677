"""A reconstruction made ready and carried out: one picture, or a labelled sheet of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.layers import rectified
from styleforge.images.contact_sheet import sheet
from styleforge.images.load import Picture, load_image, resize
from styleforge.images.save import check_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import Destination, carry_out, check_memory, fitting_size, save
from styleforge.synthesis.reconstruction import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    content_objective,
    reconstruction_scales,
    style_objective,
)
from styleforge.synthesis.run import Synthesis
from styleforge.transfer.loss_network import paper_network
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights, load_weights


@dataclass(frozen=True)
class Request:
    """What the user asked for, of a picture's content or its style; no layers: a sheet."""

    of: Literal["content", "style"]
    picture: Path
    layers: Sequence[str]
    size: int
    steps: int
    seed: int
    device: str

    def columns(self) -> dict[str, Sequence[str]]:
        """The layers of every picture that is to be made, by the label above it."""
        if self.layers:
            return {"": self.layers}
        if self.of == "content":
            return {name: [name] for name in CONTENT_LAYERS}
        return {
            f"to {name}" if index else name: STYLE_LAYERS[: index + 1]
            for index, name in enumerate(STYLE_LAYERS)
        }

    def recipe(self, picture: Picture, weights: Weights, device: str) -> SynthesisRecipe:
        """The command and its arguments."""
        return SynthesisRecipe(
            command=f"reconstruct {self.of}",
            inputs={"picture": Input.of(picture)},
            options=self._options(),
            weights=weights.origin,
            device=device,
            versions=versions(),
        )

    def _options(self) -> dict[str, Any]:
        layers = list(self.layers)
        layer = "".join(layers) if self.of == "content" else layers  # of a photo there is only one
        return {"layer": layer, "size": self.size, "steps": self.steps, "seed": self.seed}


def run(request: Request, to: Destination) -> None:
    """Reconstruct from the layers of every column, and save the picture, or the sheet of several.

    Raises :class:`UsageError` before the work; after Ctrl-C, what there is is saved.
    """
    device = pick_device(request.device)
    picture = load_image(request.picture)
    columns = request.columns()
    size = fitting_size(picture, request.size)
    pixels = size[0] * size[1] * (len(columns) + 1)
    check_output(to.output, inputs=[picture.path], force=to.force, depth=8, pixels=pixels)
    weights = load_weights()
    objective = content_objective if request.of == "content" else style_objective
    with out_of_memory_as_error(size):
        network = _network(weights, columns.values()).to(device)
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
    finished = carry_out(list(runs.values()), quiet=to.quiet)
    found = {name: run.image() for name, run in runs.items() if run.started}
    result = _shown(target, found) if len(columns) > 1 else next(iter(found.values()))
    save(to, result, request.recipe(picture, weights, device.type), finished=finished)


def _network(weights: Weights, groups: Iterable[Sequence[str]]) -> VGG19:
    layers = {rectified(layer) for group in groups for layer in group}
    return paper_network(weights, sorted(layers))


def _shown(original: Tensor, found: Mapping[str, Tensor]) -> Tensor:
    """The sheet: the picture itself, then the reconstructions."""
    return sheet(
        [[original, *found.values()]],
        cell=max(original.shape[2:]),
        columns=["original", *found],
    )
