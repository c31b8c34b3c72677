"""Presets: YAML to validated settings, with every mistake reported in one message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from styleforge.errors import UsageError
from styleforge.layers import LAYERS, rectified
from styleforge.resources import resource

DEFAULT_PRESET = "painterly"


def _known_layer(name: str) -> str:
    if name not in LAYERS:
        raise ValueError(f"unknown layer{_suggestion(name, LAYERS)}")
    return name


def _number(value: Any) -> Any:
    """Pydantic would take ``tv: yes`` for 1."""
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Weight = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Layers = dict[Annotated[str, AfterValidator(_known_layer)], Weight]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Section):
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


class Content(_Section):
    """alpha and the weight v_l of each content layer."""

    alpha: Weight = 1.0
    layers: Layers = Field(default_factory=lambda: {"conv4_2": 1.0}, min_length=1)


class Style(_Section):
    """beta and the weight w_l of each style layer.

    ``scale`` is the style image's longest side over the output's: above 1 strokes get larger.
    """

    beta: Weight = 1000.0
    layers: Layers = Field(
        default_factory=lambda: {f"conv{block}_1": 0.2 for block in range(1, 6)}, min_length=1
    )
    scale: Number = Field(default=1.0, gt=0, le=8)


class Optimizer(_Section):
    """Which optimiser, and its steps at the final size."""

    name: Literal["lbfgs", "adam"] = "lbfgs"
    steps: Whole = Field(default=60, ge=0)


class Scales(_Section):
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


class Preset(_Section):
    """All settings of a run. ``size`` is the longest side in pixels; 0 keeps the photo's own."""

    description: str = ""
    network: Network = Network()
    content: Content = Content()
    style: Style = Style()
    tv: Weight = 0.0
    optimizer: Optimizer = Optimizer()
    scales: Scales | None = Scales()
    init: str = "content"
    size: Whole = Field(default=512, ge=0, le=32768)
    seed: Whole = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _something_to_match(self) -> Preset:
        if self.content.alpha == 0 and self.style.beta == 0:
            raise ValueError("content.alpha and style.beta are both 0: nothing to optimize for")
        return self

    @model_validator(mode="after")
    def _each_layer_once(self) -> Preset:
        for table in (self.content.layers, self.style.layers):
            read = [self.network.layer(name) for name in table]
            for name in table:
                if read.count(self.network.layer(name)) > 1:
                    raise ValueError(f"{name} is there twice: conv and relu name the same features")
        return self

    def to_yaml(self) -> str:
        """The whole preset as YAML, every setting spelled out."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, default_flow_style=None)


def shipped_presets() -> list[str]:
    """Names of the presets that ship, the default first."""
    names = sorted(path.stem for path in resource("presets").glob("*.yaml"))
    return sorted(names, key=lambda name: name != DEFAULT_PRESET)


def load_preset(name: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """A shipped preset by name, or any by path, with overrides: ``{"style.beta": 50}``.

    A layer table among the overrides replaces the preset's. Raises :class:`UsageError` with all
    mistakes at once.
    """
    path = find_preset(name)
    settings = _read_yaml(path)
    for key, value in (overrides or {}).items():
        _override(settings, key.split("."), value)
    return validate(settings, path.name)


def find_preset(name: str) -> Path:
    """The file of a preset given by name or path. Raises :class:`UsageError`."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UsageError(f"no such preset file: {path}")
        return path
    names = shipped_presets()
    if name not in names:
        raise UsageError(
            f"unknown preset {name!r}{_suggestion(name, names)}; "
            f"there are {', '.join(names)}, or give the path of a .yaml file"
        )
    return resource("presets") / f"{name}.yaml"


def validate(settings: Mapping[str, Any], origin: str) -> Preset:
    """Settings to a preset; ``origin`` names them in messages. Raises :class:`UsageError`."""
    try:
        return Preset.model_validate(settings)
    except ValidationError as error:
        lines = [_explain(dict(item)) for item in error.errors()]
        raise UsageError(f"{origin}: " + "; ".join(lines)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not a readable preset: {reason}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"{path} is not a preset: it should map names to settings")
    return settings


def _override(settings: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set ``{"a": {"b": value}}``; a section of the wrong type stays, to be reported."""
    *parents, last = keys
    for key in parents:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            return
    settings[last] = value


_PLAIN_WORDS = {
    "dict_type": "should map layers to weights",
    "model_type": "should map names to settings",
    "too_short": "needs at least one layer",
    "invalid_key": "should be a name",
}
"""For pydantic's messages that speak of Python."""


def _explain(item: Mapping[str, Any]) -> str:
    """One pydantic error as ``key: what is wrong``."""
    location = [str(part) for part in item["loc"] if part != "[key]"]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(location[-1], _keys_at(location[:-1]))}"
    message = _PLAIN_WORDS.get(item["type"], str(item["msg"]).removeprefix("Value error, "))
    if not key:
        return message
    value = item["input"]
    shown = f" (not {value!r})" if isinstance(value, str | int | float | bool) else ""
    if "unknown layer" in message:
        shown = ""
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(location: Iterable[str]) -> list[str]:
    """The keys allowed in a section, for "did you mean"."""
    section: type[BaseModel] = Preset
    for key in location:
        section = type(section.model_fields[key].get_default(call_default_factory=True))
    return list(section.model_fields)


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
