"""A transfer made ready: everything that can go wrong early is checked before the long work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from styleforge.cli.parsing import with_layers, with_weight
from styleforge.core.devices import Precision, out_of_memory_as_error, pick_device, pick_precision
from styleforge.core.errors import UsageError, WeightsError
from styleforge.images.load import Picture, load_image, resize
from styleforge.images.motion import carried
from styleforge.images.save import Depth, check_output, encode_image, save_image
from styleforge.jobs.recipe import Input, Recipe, versions
from styleforge.losses.masks import check_masks, check_style_masks, mask_of
from styleforge.optimize.scales import Scale
from styleforge.presets.transfer import INITIAL_IMAGES, Preset
from styleforge.transfer.estimate import available_memory
from styleforge.transfer.matching import Sources
from styleforge.transfer.run import Studio, StyleTransfer
from styleforge.transfer.schedule import plan
from styleforge.transfer.source_map import source_map
from styleforge.transfer.styles import StyleImage, check_layers
from styleforge.vgg.weights import Weights, load_weights

STDOUT = "-"


@dataclass(frozen=True)
class StyleArgument:
    """A style image as named on the command line: ``path[:weight][@layer+layer]``."""

    path: Path
    weight: float
    layers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> StyleArgument:
        rest, layers = with_layers(text)
        name, weight = with_weight(rest)
        return cls(Path(name), weight, layers)


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    content: Path
    styles: Sequence[StyleArgument]
    preset_name: str
    preset: Preset
    masks: Sequence[Path] = ()
    style_masks: Sequence[Path] = ()
    init_photo: Path | None = None
    """What the initial image was made from, if it is to move with the scene."""
    output: str | None = None
    device: str = "auto"
    depth: Depth = 8
    save_every: int = 0
    source_map: Path | None = None
    force: bool = False
    memory: int | None = None
    """Bytes that the run may take; None: what is free."""
    precision: str = "auto"
    weights_sha256: str = ""
    """Of the weights that a recipe names; empty: any."""


@dataclass(frozen=True)
class Job:
    """A request whose inputs are in memory and whose output can be written."""

    request: Request
    content: Picture
    styles: list[tuple[Picture, float]]
    init: Picture | None
    init_photo: Picture | None
    masks: list[Picture]
    style_masks: list[Picture]
    output: Path | None
    scales: list[Scale]
    device: torch.device
    precision: Precision

    @classmethod
    def prepare(cls, request: Request) -> Job:
        """Check and load. Raises :class:`UsageError` before any long work."""
        preset = request.preset
        device = pick_device(request.device)
        precision = pick_precision(request.precision, device)
        content = load_image(request.content)
        styles = [(load_image(style.path), style.weight) for style in request.styles]
        init = None if preset.init in INITIAL_IMAGES else load_image(preset.init)
        job = cls(
            request=request,
            content=content,
            styles=styles,
            init=init,
            init_photo=load_image(request.init_photo) if request.init_photo else None,
            masks=[load_image(path, min_side=1) for path in request.masks],
            style_masks=[load_image(path, min_side=1) for path in request.style_masks],
            output=_output_path(request),
            scales=plan(content.size, preset),
            device=device,
            precision=precision,
        )
        job._check_outputs()
        check_layers([style.layers for style in request.styles], preset)
        check_masks(
            _named(job.masks),
            styles=len(styles),
            size=content.size,
            statistic=preset.style.statistic,
        )
        check_style_masks(
            _named(job.style_masks),
            sizes=[picture.size for picture, _ in styles],
            statistic=preset.style.statistic,
        )
        return job

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the result."""
        return self.scales[-1].size

    @property
    def memory(self) -> int:
        """Bytes that the run may take in all."""
        return self.request.memory or available_memory(self.device)

    @property
    def total_steps(self) -> int:
        return sum(scale.steps for scale in self.scales)

    def start(self) -> StyleTransfer:
        """The run, ready to iterate over. Loads the weights."""
        with out_of_memory_as_error(self.size):
            return self.studio().transfer(
                self.content.pixels,
                init=self._start(),
                masks=[mask_of(picture) for picture in self.masks],
            )

    def studio(self) -> Studio:
        """The network and the styles, for this photo and any other."""
        found: list[Tensor | None] = [mask_of(picture) for picture in self.style_masks]
        masks = found or [None] * len(self.styles)
        return Studio(
            [
                StyleImage(picture.pixels, style.weight, style.layers, mask)
                for (picture, _), style, mask in zip(
                    self.styles, self.request.styles, masks, strict=True
                )
            ],
            self.request.preset,
            device=self.device,
            weights=self._weights(),
            memory=self.memory,
            precision=self.precision,
        )

    def save(self, image: Tensor, weights: Weights, *, path: Path | None = None) -> bytes:
        """Write the pastiche, or return its bytes where the output is standard output."""
        alpha = self.content.alpha
        options: dict[str, Any] = {
            "alpha": None if alpha is None else resize(alpha, self.size),
            "exif": self.content.exif,
            "recipe": self.recipe(weights).to_json(),
            "depth": self.request.depth,
        }
        target = path or self.output
        if target is None:
            return encode_image(image, "PNG", **options)
        save_image(target, image, **options)
        return b""

    def save_source_map(self, sources: Sources | None) -> None:
        """Write where the strokes came from, if that was wished and they came from anywhere."""
        if self.request.source_map is not None and sources is not None:
            paintings = [picture.pixels for picture, _ in self.styles]
            save_image(self.request.source_map, source_map(sources, paintings, self.size))

    def snapshot_path(self, step: int) -> Path:
        """Where the picture after so many steps goes: ``out_0020.png`` beside ``out.png``."""
        assert self.output is not None
        digits = max(4, len(str(self.total_steps)))
        return self.output.with_stem(f"{self.output.stem}_{step:0{digits}d}")

    def recipe(self, weights: Weights) -> Recipe:
        return Recipe(
            preset=self.request.preset_name,
            settings=self.request.preset.model_dump(),
            content=Input.of(self.content),
            styles=[
                Input.of(picture, style.weight, style.layers)
                for (picture, _), style in zip(self.styles, self.request.styles, strict=True)
            ],
            init=Input.of(self.init) if self.init else None,
            init_photo=Input.of(self.init_photo) if self.init_photo else None,
            masks=[Input.of(picture) for picture in self.masks],
            style_masks=[Input.of(picture) for picture in self.style_masks],
            weights=weights.origin,
            device=self.device.type,
            depth=self.request.depth,
            versions=versions(),
        )

    def check_inputs(self, recipe: Recipe) -> None:
        """Raise :class:`UsageError` where an input is not the one that the recipe was made from."""
        named = [
            ("--content", [recipe.content]),
            ("--style", recipe.styles),
            ("--init", [recipe.init] if recipe.init else []),
            ("--init-photo", [recipe.init_photo] if recipe.init_photo else []),
            ("--mask", recipe.masks),
            ("--style-mask", recipe.style_masks),
        ]
        check_same(self.inputs, named)

    @property
    def inputs(self) -> list[Picture]:
        """Content, styles and, where it is a file, the initial image and its photo; masks."""
        init = [picture for picture in (self.init, self.init_photo) if picture is not None]
        masks = [*self.masks, *self.style_masks]
        return [self.content, *(picture for picture, _ in self.styles), *init, *masks]

    def _start(self) -> Tensor | None:
        """The initial image, if it is a file; moved with the scene, if its photo is known."""
        if self.init is None or self.init_photo is None:
            return self.init.pixels if self.init else None
        images = (self.init, self.init_photo, self.content)
        return carried(*(resize(image.pixels, self.size) for image in images))

    def _weights(self) -> Weights:
        weights = load_weights(self.request.preset.network.weights)
        if self.request.weights_sha256 not in ("", weights.sha256):
            raise WeightsError(
                f"{weights.source}: not the weights that the picture was made with "
                "(their SHA-256 differs)"
            )
        return weights

    def _check_outputs(self) -> None:
        self._check_source_map()
        if self.output is None:
            if self.request.save_every:
                raise UsageError("--save-every needs an output file, not standard output")
            return
        every = self.request.save_every
        steps = range(every, self.total_steps + 1, every) if every else ()
        width, height = self.size
        for path in [self.output, *map(self.snapshot_path, steps)]:
            check_output(
                path,
                inputs=[picture.path for picture in self.inputs],
                force=self.request.force,
                depth=self.request.depth,
                pixels=width * height,
            )

    def _check_source_map(self) -> None:
        path = self.request.source_map
        if path is None:
            return
        if not self.request.preset.neighbor_weights:
            raise UsageError(
                f"--source-map shows where neighbors came from, and {self.request.preset_name} "
                "takes none; use --preset painterly, or --neighbors 100"
            )
        if path == self.output:
            raise UsageError(f"{path}: --source-map and --output are the same file")
        width, height = self.size
        check_output(
            path,
            inputs=[picture.path for picture in self.inputs],
            force=self.request.force,
            depth=8,
            pixels=2 * width * height,
        )


def _named(masks: Sequence[Picture]) -> list[tuple[str, Tensor]]:
    return [(str(picture.path), mask_of(picture)) for picture in masks]


def check_same(used: Sequence[Picture], named: Sequence[tuple[str, Sequence[Input]]]) -> None:
    """Raise :class:`UsageError` where a file is not a recipe's; those are listed by option."""
    expected = [(option, one) for option, inputs in named for one in inputs]
    for picture, (option, one) in zip(used, expected, strict=True):
        check_sha256(picture.sha256, one, picture.path, option)


def check_sha256(found: str, expected: Input, path: Path | None, option: str) -> None:
    """Raise :class:`UsageError` where the file at ``path`` is not a recipe's."""
    if found != expected.sha256:
        raise UsageError(
            f"{path} is not the file the picture was made from (its SHA-256 differs); "
            f"name the right one with {option}"
        )


def _output_path(request: Request) -> Path | None:
    """The output's path; None for standard output."""
    return output_path(request.output, [request.content, *(s.path for s in request.styles)])


def output_path(wanted: str | None, inputs: Sequence[Path]) -> Path | None:
    """Where the result goes: as wanted, or named after the inputs; None for standard output."""
    if wanted == STDOUT:
        return None
    if wanted:
        return Path(wanted)
    stems = "_".join(path.stem for path in inputs)
    short = os.fsencode(stems)[:200].decode(errors="ignore")  # names have at most 255 bytes
    return Path(f"{short}.png")
