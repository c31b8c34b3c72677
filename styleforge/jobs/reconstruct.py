"""A reconstruction made ready: one picture, or a labelled sheet of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.layers import known_layer, rectified
from styleforge.images.contact_sheet import sheet
from styleforge.images.geometry import resize
from styleforge.images.load import Picture, load_image
from styleforge.jobs.look import check_seed
from styleforge.jobs.naming import checked_output
from styleforge.jobs.recipe import Input, SynthesisRecipe, versions
from styleforge.jobs.synthesis import SynthesisJob, check_memory, fitting_size
from styleforge.synthesis.reconstruction import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    content_objective,
    reconstruction_scales,
    style_objective,
)
from styleforge.synthesis.run import synthesis
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights, load_weights


@dataclass(frozen=True)
class ReconstructRequest:
    """What is wanted, of a picture's content or its style; no layers: a sheet."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    of: Literal["content", "style"]
    picture: str | Path
    layers: Sequence[str] = ()
    size: int = 256
    steps: int = 100
    seed: int = 0
    output: Path | None = None
    device: str = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

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


def prepare(request: ReconstructRequest) -> SynthesisJob:
    """Check and load. Raises :class:`StyleforgeError`."""
    layers = [known_layer(layer) for layer in request.layers]
    device = pick_device(request.device)
    picture = load_image(request.picture)
    columns = request.columns()
    size = fitting_size(picture, request.size)
    name = "_".join(layers) or request.of
    output = checked_output(
        request.output,
        f"{picture.path.stem}_{name}.png",
        inputs=[picture.path],
        force=request.force,
        size=(size[0] * (len(columns) + 1), size[1]),
    )
    weights = load_weights()
    objective = content_objective if request.of == "content" else style_objective
    with out_of_memory_as_error(size):
        network = _network(weights, columns.values()).to(device)
        check_memory(network, size, device)
        target = resize(picture.pixels, size).to(device)
        runs = {
            label: synthesis(
                objective(network, target, layers),
                reconstruction_scales(size, request.steps),
                seed=request.seed,
                device=device,
            )
            for label, layers in columns.items()
        }

    def shown() -> Tensor:
        """The only one, or the sheet: the picture itself, then the reconstructions."""
        found = {label: run.image() for label, run in runs.items() if run.reached}
        if len(columns) == 1:
            return next(iter(found.values()))
        return sheet([[target, *found.values()]], cell=max(size), columns=["original", *found])

    recipe = request.recipe(picture, weights, device.type)
    return SynthesisJob(output, device, recipe, [*runs.values()], shown)


def _network(weights: Weights, groups: Iterable[Sequence[str]]) -> VGG19:
    layers = {rectified(layer) for group in groups for layer in group}
    return paper_network(weights, sorted(layers))
