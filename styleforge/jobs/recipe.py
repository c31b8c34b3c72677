"""What made a result: settings, versions, inputs and their hashes; written into the file."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from styleforge.core.devices import Precision
from styleforge.core.errors import UsageError
from styleforge.core.json_text import parse_json
from styleforge.films.reading import is_film, read_comment
from styleforge.images.load import Picture
from styleforge.images.opening import read_recipe

FORMAT = 1
"""Raised when a recipe's meaning changes, so that an old tool does not misread a new file."""

_RARE: dict[str, Any] = {"dpi": None, "turns": [], "evaluations": None, "keyframes": []}
"""What is not written unless it says something, as in recipes from before there was such."""

_CIRCUMSTANCES = {"path", "preset", "description", "device", "versions"}
"""What a recipe holds besides what decides the picture: names, and where it was made."""


@dataclass(frozen=True)
class Input:
    """An input as it was named, a file or an address; the rest is for style images.

    ``layers`` are those that it was named for; none: all.
    """

    path: str
    sha256: str
    weight: float = 1.0
    layers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, picture: Picture, weight: float = 1.0, layers: Sequence[str] = ()) -> Input:
        return cls(picture.name, picture.sha256, weight, list(layers))


class Before(NamedTuple):
    """The files of a sequence's last frame: the photo, and what became of it."""

    photo: Input
    result: Input


@dataclass(frozen=True)
class Turn:
    """What was changed while a transfer ran, from whose picture so far it went on.

    ``evaluations`` is after how many, ``settings`` by dotted name, ``weights`` the paintings'
    from then on; none: as before.
    """

    evaluations: int
    settings: dict[str, str | float] = field(default_factory=dict)
    weights: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Keyframe:
    """A frame of a film that was painted or corrected by hand; the first one painted is 0."""

    number: int
    picture: Input


class _Written:
    """What all recipes can do: become text, and be read back without unknown keys."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in order."""
        fields = asdict(self)  # type: ignore[call-overload]
        if fields.get("precision") == "float32":  # as in recipes from before there were others
            del fields["precision"]
        for name, usual in _RARE.items():
            if fields.get(name) == usual:
                fields.pop(name, None)
        return dict(fields)

    def to_json(self) -> str:
        """One line of ASCII."""
        return json.dumps({"styleforge": self.to_dict()}, separators=(",", ":"))


@dataclass(frozen=True)
class TransferRecipe(_Written):
    """Everything that determines a pastiche. ``settings`` is a whole preset, as in its YAML.

    ``dpi`` is what the file says, where that is not what the photo's says.

    ``masks`` and ``style_masks`` are one for each style, or none. In a sequence of frames
    ``init`` is the result before, and ``init_photo`` the photo that it was made from: it moves
    with the scene. ``settings`` are those that it began with, ``turns`` what was changed while it
    ran, and ``evaluations`` after how many it was stopped; None: it came to its end.
    """

    preset: str
    settings: dict[str, Any]
    content: Input
    styles: list[Input]
    init: Input | None
    weights: dict[str, str]
    device: str
    depth: Literal[8, 16]
    versions: dict[str, str]
    masks: list[Input] = field(default_factory=list)
    style_masks: list[Input] = field(default_factory=list)
    init_photo: Input | None = None
    precision: Precision = "float32"
    dpi: float | None = None
    turns: list[Turn] = field(default_factory=list)
    evaluations: int | None = None
    format: int = FORMAT


@dataclass(frozen=True)
class StylizeRecipe(_Written):
    """Everything that determines what a trained network made of a photo.

    ``model`` is its file; ``styles`` are weights by name; ``seed`` is of a texture network's noise.
    ``masks`` are one for each style, or none.
    """

    model: Input
    styles: dict[str, float]
    content: Input
    size: int
    strength: float
    colors: str
    seed: int
    device: str
    depth: Literal[8, 16]
    versions: dict[str, str]
    masks: list[Input] = field(default_factory=list)
    dpi: float | None = None
    kind: Literal["stylize"] = "stylize"
    format: int = FORMAT


@dataclass(frozen=True)
class SynthesisRecipe(_Written):
    """The command that made a texture, a dream or a reconstruction, with all its arguments.

    ``inputs`` are the arguments that are files. ``weights`` of VGG-19, where it had a part.
    """

    command: str
    inputs: dict[str, Input]
    options: dict[str, Any]
    weights: dict[str, str]
    device: str
    versions: dict[str, str]
    kind: Literal["synthesis"] = "synthesis"
    format: int = FORMAT


@dataclass(frozen=True)
class VideoRecipe(_Written):
    """Everything that determines a film; ``painted`` is what its frames have in common.

    ``size`` is the frames' (width, height); ``start`` and ``stop`` are seconds of the original,
    ``steady`` is how much of a frame is the one before it.
    """

    film: Input
    painted: TransferRecipe | StylizeRecipe
    size: tuple[int, int]
    start: float
    stop: float | None
    steady: float
    codec: str
    crf: int | None
    sound: bool
    device: str
    versions: dict[str, str]
    keyframes: list[Keyframe] = field(default_factory=list)
    kind: Literal["video"] = "video"
    format: int = FORMAT

    @property
    def painted_by_network(self) -> bool:
        return isinstance(self.painted, StylizeRecipe)


AnyRecipe = TransferRecipe | StylizeRecipe | SynthesisRecipe | VideoRecipe


def parse_recipe(text: str, path: Path) -> AnyRecipe:
    """Read a recipe back. ``path`` is only for messages. Raises :class:`UsageError`."""
    try:
        fields = parse_json(text)["styleforge"]
        if fields["format"] > FORMAT:
            raise UsageError(f"{path} was made by a newer styleforge; upgrade to read it")
        return _reader().validate_python(fields)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} holds no styleforge recipe") from error


@cache
def _reader() -> TypeAdapter[AnyRecipe]:
    kinds = Annotated[
        Annotated[TransferRecipe, Tag("transfer")]
        | Annotated[StylizeRecipe, Tag("stylize")]
        | Annotated[SynthesisRecipe, Tag("synthesis")]
        | Annotated[VideoRecipe, Tag("video")],
        Discriminator(lambda fields: fields.get("kind", "transfer")),  # a transfer's has none
    ]
    return TypeAdapter(kinds)


def essence(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe decides the picture: not where its inputs lie, nor where it was made."""
    found = _without_circumstances(recipe)
    if recipe.get("init"):
        found["settings"].pop("init", None)  # the name of that file
    return found


def load_recipe(path: Path) -> AnyRecipe:
    """The recipe inside a picture or a film, whose pixels are not read.

    Raises :class:`UsageError` where there is none.
    """
    return parse_recipe(read_comment(path) if is_film(path) else read_recipe(path), path)


def _without_circumstances(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: [_without_circumstances(part) for part in value]
        if isinstance(value, list) and value and isinstance(value[0], Mapping)
        else _without_circumstances(value)
        if isinstance(value, Mapping)
        else value
        for key, value in fields.items()
        if key not in _CIRCUMSTANCES
    }


def versions() -> dict[str, str]:
    """The versions that can change a result's bytes."""
    import torch

    from styleforge import __version__

    return {
        "styleforge": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
