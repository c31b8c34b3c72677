"""What photos are painted in: paintings by a preset, or the styles of a trained network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.devices import Precision
from styleforge.core.errors import ModelError, UsageError, WeightsError
from styleforge.core.settings import override, validate
from styleforge.images.elsewhere import is_elsewhere
from styleforge.images.load import ImageSource, Picture, load_image
from styleforge.images.save import Depth
from styleforge.jobs.look import Look
from styleforge.jobs.painters import NetworkPainter, Painter, TransferPainter
from styleforge.jobs.recipe import Input, TransferRecipe, Turn, versions
from styleforge.losses.masks import check_style_masks, mask_of
from styleforge.networks.model_file import Model, ModelInfo, load_model
from styleforge.networks.registry import default_model, find_model, find_style
from styleforge.presets.networks import TextureSettings
from styleforge.presets.transfer import Preset
from styleforge.transfers.studio import Studio
from styleforge.transfers.styles import StyleImage, check_layers
from styleforge.vgg.weights import Weights, load_weights


@dataclass(frozen=True)
class Painting:
    """A style image, and its weight among others; ``layers``: no name means all."""

    path: ImageSource
    weight: float = 1.0
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptimizedStyle:
    """One or more paintings, and the preset to optimise with. Can be pickled.

    ``masks`` say where in the photo each painting goes, ``style_masks`` what of it may be taken:
    one for each, or none. ``weights_sha256`` is of the weights of VGG-19 that must be used;
    empty: any.
    """

    name: str
    paintings: Sequence[Painting]
    preset_name: str
    preset: Preset
    masks: Sequence[ImageSource] = ()
    style_masks: Sequence[ImageSource] = ()
    precision: Precision = "float32"
    depth: Depth = 8
    weights_sha256: str = ""

    @property
    def inputs(self) -> list[Path]:
        """The files that make it."""
        paintings = [painting.path for painting in self.paintings]
        return _files([*paintings, *self.masks, *self.style_masks])

    def load(self) -> LoadedStyle:
        """With its files in memory. Raises :class:`UsageError`."""
        pictures = [load_image(painting.path) for painting in self.paintings]
        masks, style_masks = (
            [load_image(path, min_side=1) for path in paths]
            for paths in (self.masks, self.style_masks)
        )
        return LoadedStyle(self, pictures, masks, style_masks)

    def painter(
        self, device: torch.device, memory: int, last: Painter | None = None
    ) -> TransferPainter:
        """``last`` is the same batch's last painter; of the same preset, it shares its network."""
        return self.load().painter(device, memory, last)


TURNABLE = ("strength", "style.scale", "colors")
"""Settings that can be changed while a transfer runs."""


@dataclass(frozen=True)
class LoadedStyle:
    """An :class:`OptimizedStyle` whose files are in memory."""

    style: OptimizedStyle
    pictures: Sequence[Picture]
    masks: Sequence[Picture]
    style_masks: Sequence[Picture]

    def check(self) -> None:
        """Raise :class:`UsageError` for layers and masks of paintings that do not fit."""
        preset = self.style.preset
        check_layers([painting.layers for painting in self.style.paintings], preset)
        check_style_masks(
            named_masks(self.style_masks),
            sizes=[picture.size for picture in self.pictures],
            statistic=preset.style.statistic,
        )

    def difference(self, turn: Turn) -> Turn:
        """What of a turn is not so already. Raises :class:`UsageError` as :meth:`turned` does."""
        new, old = self.turned(turn).style, self.style
        values = {"strength": old.preset.strength, "style.scale": old.preset.style.scale}
        before: dict[str, str | float] = {**values, "colors": old.preset.colors}
        settings = {name: v for name, v in turn.settings.items() if v != before[name]}
        same = [p.weight for p in new.paintings] == [p.weight for p in old.paintings]
        return replace(turn, settings=settings, weights=[] if same else turn.weights)

    def turned(self, turn: Turn) -> LoadedStyle:
        """With the settings and weights of a turn. Raises :class:`UsageError`."""
        style = self.style
        for name in turn.settings:
            if name not in TURNABLE:
                raise UsageError(
                    f"{name} stays as it is while a transfer runs; "
                    f"{', '.join(TURNABLE)} and the paintings' weights can be changed"
                )
        weights = turn.weights or [painting.weight for painting in style.paintings]
        if len(weights) != len(style.paintings) or not all(0 < w < math.inf for w in weights):
            raise UsageError("there is one weight for each painting, and all are positive")
        settings = style.preset.model_dump()
        override(settings, turn.settings)
        paintings = [replace(p, weight=w) for p, w in zip(style.paintings, weights, strict=True)]
        preset = validate(Preset, settings, "what was changed")
        return replace(self, style=replace(style, paintings=paintings, preset=preset))

    def painter(
        self,
        device: torch.device,
        memory: int,
        last: Painter | None = None,
        *,
        weights: Weights | None = None,
    ) -> TransferPainter:
        """Its network loaded, from ``weights`` if they are at hand, or shared with ``last``.

        It is shared where both presets look through the same one.

        Raises :class:`WeightsError`.
        """
        if isinstance(last, TransferPainter) and self._is_seen_through(last):
            studio = last.studio.with_styles(self._images(), self.style.preset)
        else:
            studio = Studio(
                self._images(),
                self.style.preset,
                device=device,
                weights=weights or self._weights(),
                memory=memory,
                precision=self.style.precision,
            )
        return TransferPainter(studio, self.template(studio.weights, device), self.masks)

    def _is_seen_through(self, other: TransferPainter) -> bool:
        """Whether another painter's network does for this style."""
        style = self.style
        return other.studio.suits(style.preset) and other.template.precision == style.precision

    def template(self, weights: Weights, device: torch.device) -> TransferRecipe:
        """The recipe of what is painted in this style, but for the photo."""
        style = self.style
        return TransferRecipe(
            preset=style.preset_name,
            settings=style.preset.model_dump(),
            content=Input("", ""),
            styles=[
                Input.of(picture, painting.weight, painting.layers)
                for picture, painting in zip(self.pictures, style.paintings, strict=True)
            ],
            init=None,
            weights=weights.origin,
            device=device.type,
            depth=style.depth,
            versions=versions(),
            masks=[Input.of(mask) for mask in self.masks],
            style_masks=[Input.of(mask) for mask in self.style_masks],
            precision=style.precision,
        )

    def _images(self) -> list[StyleImage]:
        masks: list[Tensor | None] = [mask_of(mask) for mask in self.style_masks]
        return [
            StyleImage(picture.pixels, painting.weight, painting.layers, mask)
            for picture, painting, mask in zip(
                self.pictures,
                self.style.paintings,
                masks or [None] * len(self.pictures),
                strict=True,
            )
        ]

    def _weights(self) -> Weights:
        weights = load_weights(self.style.preset.network.weights)
        if self.style.weights_sha256 not in ("", weights.sha256):
            raise WeightsError(
                f"{weights.source}: not the weights that the picture was made with "
                "(their SHA-256 differs)"
            )
        return weights


@dataclass(frozen=True)
class TrainedStyle:
    """A mixture of the styles that a model file carries; none: its first. Can be pickled.

    ``masks`` say where each style goes: one for each, or none. ``model_sha256`` is of the model
    that must be used; empty: any.
    """

    name: str
    model: Path
    styles: dict[str, float]
    look: Look = field(default_factory=Look)
    masks: Sequence[ImageSource] = ()
    model_sha256: str = ""

    @property
    def inputs(self) -> list[Path]:
        """The files that make it."""
        return [self.model, *_files(self.masks)]

    def painter(
        self, device: torch.device, memory: int, last: Painter | None = None
    ) -> NetworkPainter:
        """``last`` is the same batch's last painter; of the same file, it shares its model.

        Raises :class:`ModelError` for another model than must be used, and :class:`UsageError`
        for a style that it does not carry.
        """
        model = self._model_like(last)
        if self.model_sha256 not in ("", model.sha256):
            raise ModelError(f"{self.model} is not the model that the picture was made with")
        styles = self.styles or {model.style_names[0]: 1.0}
        model.mixture(styles)
        return NetworkPainter(
            model=model,
            styles=styles,
            device=device,
            memory=memory,
            look=self.look,
            masks=[load_image(path, min_side=1) for path in self.masks],
        )

    def _model_like(self, last: Painter | None) -> Model:
        if isinstance(last, NetworkPainter) and last.model.path == self.model:
            return last.model
        return stylizing_model(self.model)


Style = OptimizedStyle | TrainedStyle


def trained_style(styles: dict[str, float], model: str | None, look: Look) -> TrainedStyle:
    """Of the model that is named, or that carries the first style, or ships.

    Raises :class:`ModelError`.
    """
    named = ""
    if model is not None:
        path, named = find_model(model)
    elif styles:
        path = find_style(next(iter(styles)))
    else:
        path = default_model()
    return TrainedStyle("", path, styles or ({named: 1.0} if named else {}), look)


def stylizing_model(path: Path) -> Model:
    """A model that repaints photos. Raises :class:`UsageError` for one of textures."""
    model = load_model(path)
    if not repaints(model.info):
        raise UsageError(f"{model.name} makes textures: use texture with `model` {path}")
    return model


def repaints(info: ModelInfo) -> bool:
    """Whether a model takes photos; others make textures of nothing."""
    return not isinstance(info.generator, TextureSettings) or info.generator.content


def _files(sources: Sequence[ImageSource]) -> list[Path]:
    return [
        Path(source)
        for source in sources
        if not isinstance(source, Picture) and not is_elsewhere(source)
    ]


def named_masks(masks: Sequence[Picture]) -> list[tuple[str, Tensor]]:
    """Masks by the names of their files, for messages."""
    return [(str(mask.path), mask_of(mask)) for mask in masks]
