"""Presets of a transfer: what it minimises and how, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from styleforge.core.errors import UsageError
from styleforge.core.layers import rectified
from styleforge.core.resources import resource
from styleforge.core.settings import (
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

TrainingStatisticName = Literal[StatisticName, "neighbors"]
"""A transfer has neighbors of its own (:class:`Neighbors`), beside the statistic."""


class Style(StyleLayers):
    """``scale``: the style image's longest side over the output's; above 1 strokes get larger.

    ``statistic`` is what of a layer's features is matched.
    """

    scale: Number = Field(default=1.0, gt=0, le=8)
    statistic: StatisticName = "gram"


NEIGHBOR_LAYERS = ("conv1_2", "conv2_2", "conv3_1", "conv3_3", "conv4_1")


class Neighbors(Section):
    """nu, the weight of the loss against the painting's most similar places, and each layer's u_l.

    Up to a size of ``hypercolumns`` pixels a place is matched by all layers together; the final
    size, and those between, take ``rounds`` in which each layer finds its own neighbors, anew in
    every round. Matched is the photo with a share ``mix`` of the picture so far, and a share
    ``sketch`` of a pastiche by Gram matrices, which brings the painting's large shapes.
    ``rotations``: the painting is also there turned by 90, 180 and 270 degrees.
    """

    weight: Weight = 0.0
    layers: Layers = Field(
        default_factory=lambda: dict.fromkeys(NEIGHBOR_LAYERS, 0.1), min_length=1
    )
    hypercolumns: Whole = Field(default=256, ge=32)
    rounds: Whole = Field(default=3, ge=1)
    mix: Number = Field(default=0.25, ge=0, le=1)
    sketch: Number = Field(default=0.0, ge=0, le=1)
    rotations: bool = True


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
        if not self.read_layers:
            raise ValueError("content.alpha and style.beta are both 0: nothing to optimize for")
        return self

    @model_validator(mode="after")
    def _each_layer_once(self) -> Self:
        for table in self._tables:
            read = [self.network.layer(name) for name in table]
            for name in table:
                if read.count(self.network.layer(name)) > 1:
                    raise ValueError(f"{name} is there twice: conv and relu name the same features")
        return self

    @property
    def content_weights(self) -> dict[str, float]:
        """Alpha v_l by the layers of the network."""
        return self._by_layer(self.content.layers, self.content.alpha)

    @property
    def style_weights(self) -> dict[str, float]:
        """Beta w_l by the layers of the network."""
        return self._by_layer(self.style.layers, self.style.beta)

    @property
    def read_layers(self) -> list[str]:
        """The layers of the network that any of the losses looks at."""
        return list(dict.fromkeys([*self.content_weights, *self.style_weights]))

    @property
    def _tables(self) -> list[Mapping[str, float]]:
        return [self.content.layers, self.style.layers]

    def _by_layer(self, table: Mapping[str, float], factor: float) -> dict[str, float]:
        """A table's weights by the layers of the network, without those that are nothing."""
        weights = {self.network.layer(name): factor * weight for name, weight in table.items()}
        return {layer: weight for layer, weight in weights.items() if weight}

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
"""What ``init`` can be besides an image file; recolored: the photo in the painting's colors."""


ColorChoice = Literal["style", "content", "luminance", "keep"]
"""The painting's colors; the painting in the photo's first; only light and dark is painted; or the
photo's colors are put back at the end."""


class Preset(Losses):
    """All settings of a transfer. ``size`` is the longest side in pixels; 0: the photo's own.

    ``strength`` s from 0, the photo
    stays, to 1, the painting takes over: alpha counts 2 (1 - s), beta and nu 2 s, a sketch
    2 s - 1, and tv no more than 2 s.
    """

    style: Style = Style()
    neighbors: Neighbors = Neighbors()
    strength: Number = Field(default=0.5, ge=0, le=1)
    optimizer: Optimizer = Optimizer()
    scales: Scales | None = Scales()
    init: str = "content"
    colors: ColorChoice = "style"
    size: Whole = Field(default=512, ge=0, le=32768)

    @property
    def content_weights(self) -> dict[str, float]:
        """Alpha v_l by the layers of the network, as the strength leaves it.

        Below a half, the photo's own features at the neighbors' layers count nu (1 - 2 s)^2 / 2, so
        that it turns into the painting bit by bit: conv4_2 alone knows of no colors.
        """
        weights = self._by_layer(self.content.layers, 2 * (1 - self.strength) * self.content.alpha)
        kept = max(0.0, 1 - 2 * self.strength) ** 2 / 2 * self.neighbors.weight
        for layer, weight in self._by_layer(self.neighbors.layers, kept).items():
            weights[layer] = weights.get(layer, 0.0) + weight
        return weights

    @property
    def style_weights(self) -> dict[str, float]:
        """Beta w_l by the layers of the network, as the strength leaves it."""
        return self._by_layer(self.style.layers, 2 * self.strength * self.style.beta)

    @property
    def neighbor_weights(self) -> dict[str, float]:
        """Nu u_l by the layers of the network, as the strength leaves it."""
        nu = 2 * self.strength * self.neighbors.weight
        return self._by_layer(self.neighbors.layers, nu)

    @property
    def tv_weight(self) -> float:
        """Of the total variation, which leaves the photo alone at a strength of 0."""
        return min(1.0, 2 * self.strength) * self.tv

    @property
    def read_layers(self) -> list[str]:
        """The layers of the network that any of the losses looks at."""
        return list(dict.fromkeys([*super().read_layers, *self.neighbor_weights]))

    @property
    def sketch(self) -> float:
        """The sketch's share of what is matched, as the strength leaves it."""
        return max(0.0, 2 * self.strength - 1) * self.neighbors.sketch

    @model_validator(mode="after")
    def _something_to_sketch_with(self) -> Self:
        if self.neighbors.weight and self.neighbors.sketch and not self.style.beta:
            raise ValueError("neighbors.sketch needs a style.beta above 0, or should be 0")
        return self

    @property
    def _tables(self) -> list[Mapping[str, float]]:
        return [*super()._tables, self.neighbors.layers]


OPTIONS = {
    "size": "size",
    "steps": "optimizer.steps",
    "optimizer": "optimizer.name",
    "init": "init",
    "alpha": "content.alpha",
    "beta": "style.beta",
    "neighbors": "neighbors.weight",
    "strength": "strength",
    "statistic": "style.statistic",
    "style_scale": "style.scale",
    "colors": "colors",
    "tv": "tv",
    "content_layers": "content.layers",
    "style_layers": "style.layers",
    "pooling": "network.pooling",
    "weights": "network.weights",
    "seed": "seed",
}
"""Settings that have a name of their own, on the command line and in Python, and their keys."""


def settings_by_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were given, by their settings' keys; None was not given.

    Raises :class:`UsageError` for a name that is none.
    """
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f"no option {name!r}{suggestion(name, OPTIONS)}")
    return {OPTIONS[name]: value for name, value in options.items() if value is not None}


Kind = TypeVar("Kind", bound=Losses)


_COMMANDS = {"presets": "transfer", "presets/training": "train"}
"""By the folder of the presets that it takes."""


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
        for other, command in _COMMANDS.items():
            if name in shipped_presets(other):
                raise UsageError(
                    f"{name} is a preset of styleforge {command}; here there are {', '.join(names)}"
                )
        raise UsageError(
            f"unknown preset {name!r}{suggestion(name, names)}; "
            f"there are {', '.join(names)}, or give the path of a .yaml file"
        )
    return resource(folder) / f"{name}.yaml"
