"""Presets of a transfer: what it minimises and how, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from styleforge.errors import UsageError
from styleforge.layers import rectified
from styleforge.resources import resource
from styleforge.settings import (
    Layers,
    Number,
    Section,
    Weight,
    Whole,
    override,
    read_yaml,
    suggestion,
    to_yaml,
    validate,
)

DEFAULT_PRESET = "painterly"


class Network(Section):
    """Which VGG-19, and how it is read.

    ``rectified``: a layer named conv4_2 means its features after the ReLU, as in the paper.
    """

    weights: str = "auto"
    normalized: bool = True
    pooling: Literal["avg", "max"] = "avg"
    padding: Literal["replicate", "zeros"] = "replicate"
    rectified: bool = True

    def layer(self, name: str) -> str:
        """The layer whose features are read where a preset names ``name``."""
        return rectified(name) if self.rectified else name


class Content(Section):
    """alpha and the weight v_l of each content layer."""

    alpha: Weight = 1.0
    layers: Layers = Field(default_factory=lambda: {"conv4_2": 1.0}, min_length=1)


class StyleLayers(Section):
    """beta and the weight w_l of each style layer."""

    beta: Weight = 1000.0
    layers: Layers = Field(
        default_factory=lambda: {f"conv{block}_1": 0.2 for block in range(1, 6)}, min_length=1
    )


StatisticName = Literal["gram", "mean-std", "covariance", "sliced-wasserstein"]


class Style(StyleLayers):
    """``scale``: the style image's longest side over the output's; above 1 strokes get larger.

    ``statistic`` is what of a layer's features is matched.
    """

    scale: Number = Field(default=1.0, gt=0, le=8)
    statistic: StatisticName = "gram"


class Losses(Section):
    """What every preset says: the network, and the weights of the objective's terms."""

    description: str = ""
    network: Network = Network()
    content: Content = Content()
    style: StyleLayers = StyleLayers()
    tv: Weight = 0.0
    seed: Whole = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _something_to_match(self) -> Self:
        if self.content.alpha == 0 and self.style.beta == 0:
            raise ValueError("content.alpha and style.beta are both 0: nothing to optimize for")
        return self

    @model_validator(mode="after")
    def _each_layer_once(self) -> Self:
        for table in (self.content.layers, self.style.layers):
            read = [self.network.layer(name) for name in table]
            for name in table:
                if read.count(self.network.layer(name)) > 1:
                    raise ValueError(f"{name} is there twice: conv and relu name the same features")
        return self

    @property
    def content_weights(self) -> dict[str, float]:
        """Alpha v_l by the layers of the network."""
        return {
            self.network.layer(name): self.content.alpha * weight
            for name, weight in self.content.layers.items()
        }

    @property
    def style_weights(self) -> dict[str, float]:
        """Beta w_l by the layers of the network."""
        return {
            self.network.layer(name): self.style.beta * weight
            for name, weight in self.style.layers.items()
        }

    def to_yaml(self) -> str:
        """The whole preset as YAML, every setting spelled out."""
        return to_yaml(self)


class Optimizer(Section):
    """Which optimiser, and its steps at the final size."""

    name: Literal["lbfgs", "adam"] = "lbfgs"
    steps: Whole = Field(default=60, ge=0)


class Scales(Section):
    """Coarse to fine: sizes start, start * factor, ... below the final size, ``steps`` at each.

    ``detail`` is how much of the photo's own fine detail each finer scale starts from: 1 keeps
    it all, 0 starts from the enlarged coarse result.
    """

    start: Whole = Field(default=128, ge=32)
    factor: Number = Field(default=2.0, ge=1.1, le=8)
    steps: Whole = Field(default=60, ge=0)
    detail: Number = Field(default=1.0, ge=0, le=1)


INITIAL_IMAGES = ("content", "noise", "recolored")
"""What ``init`` can be besides an image file; recolored: the photo in the painting's colours."""


class Preset(Losses):
    """All settings of a transfer. ``size`` is the longest side in pixels; 0: the photo's own.

    ``colors``: the style image's, or its colors matched to the content image's first, or only its
    luminance is matched and the content image keeps its colors.
    """

    style: Style = Style()
    optimizer: Optimizer = Optimizer()
    scales: Scales | None = Scales()
    init: str = "content"
    colors: Literal["style", "content", "luminance"] = "style"
    size: Whole = Field(default=512, ge=0, le=32768)


Kind = TypeVar("Kind", bound=Losses)


def shipped_presets(folder: str = "presets") -> list[str]:
    """Names of the presets that ship, the default first."""
    names = sorted(path.stem for path in resource(folder).glob("*.yaml"))
    return sorted(names, key=lambda name: name != DEFAULT_PRESET)


def load_preset(name: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """A shipped preset by name, or any by path, with overrides: ``{"style.beta": 50}``.

    A layer table among the overrides replaces the preset's. Raises :class:`UsageError` with all
    mistakes at once.
    """
    return read_preset(Preset, find_preset(name), overrides)


def read_preset(kind: type[Kind], path: Path, overrides: Mapping[str, Any] | None = None) -> Kind:
    """A preset of some kind from a file, with overrides. Raises :class:`UsageError`."""
    settings = read_yaml(path)
    override(settings, overrides or {})
    return validate(kind, settings, path.name)


def find_preset(name: str, folder: str = "presets") -> Path:
    """The file of a preset given by path or by the name of one that ships in a folder.

    Raises :class:`UsageError`.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UsageError(f"no such preset file: {path}")
        return path
    names = shipped_presets(folder)
    if name not in names:
        raise UsageError(
            f"unknown preset {name!r}{suggestion(name, names)}; "
            f"there are {', '.join(names)}, or give the path of a .yaml file"
        )
    return resource(folder) / f"{name}.yaml"
