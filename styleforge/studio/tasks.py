"""What the page asks for, checked, as requests of jobs; and a recipe as what the page would ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError

from styleforge.core.errors import UsageError
from styleforge.images.geometry import parse_print
from styleforge.jobs.look import Look
from styleforge.jobs.recipe import AnyRecipe, Input, StylizeRecipe, TransferRecipe
from styleforge.jobs.styles import Painting
from styleforge.jobs.stylize import StylizeRequest
from styleforge.jobs.transfer import TransferRequest
from styleforge.presets.transfer import (
    DEFAULT_PRESET,
    load_preset,
    settings_by_key,
    shipped_presets,
)
from styleforge.studio.pictures import Pictures

Key = Annotated[str, Field(max_length=100)]
Weight = Annotated[float, Field(gt=0, le=1000)]

PICKABLE = ("strength", "style_scale", "colors", "size", "steps", "seed")
"""Settings that the page has knobs for."""


class _Asked(BaseModel):
    """Nothing but what is known; a text is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Chosen(_Asked):
    """A painting, its weight, where in the photo it goes, and what of it may be taken."""

    key: Key
    weight: Weight = 1.0
    mask: Key | None = None
    style_mask: Key | None = None


class Printed(_Asked):
    """Paper as on the command line (``60x40cm``), and its dots per inch."""

    paper: Annotated[str, Field(max_length=40)]
    dpi: Annotated[float, Field(ge=1, le=65535)] = 300.0


class PaintTask(_Asked):
    """A transfer; ``settings`` are named as options in Python (``style_scale``)."""

    kind: Literal["paint"] = "paint"
    photo: Key
    paintings: Annotated[list[Chosen], Field(min_length=1, max_length=16)]
    preset: Key = DEFAULT_PRESET
    settings: dict[str, float | int | str] = Field(default_factory=dict)
    printed: Printed | None = None

    def request(self, pictures: Pictures, device: str, memory: int | None) -> TransferRequest:
        """Raises :class:`UsageError` for pictures that are not there, and wrong settings."""
        if self.preset not in shipped_presets():
            raise UsageError(f"unknown preset {self.preset!r}")
        for name in self.settings:
            if name not in PICKABLE:
                raise UsageError(f"the studio has no setting {name!r}")
        chosen = self.paintings
        printed = parse_print(*((self.printed.paper, self.printed.dpi) if self.printed else _NONE))
        return TransferRequest(
            photo=pictures.at_hand(self.photo),
            paintings=[Painting(pictures.at_hand(one.key), one.weight) for one in chosen],
            preset_name=self.preset,
            preset=load_preset(self.preset, settings_by_key(self.settings)),
            masks=_masks(pictures, [one.mask for one in chosen]),
            style_masks=_masks(pictures, [one.style_mask for one in chosen]),
            printed=printed,
            device=device,
            memory=memory,
        )

    def title(self, pictures: Pictures) -> str:
        """What results are named after."""
        keys = [self.photo, *(one.key for one in self.paintings)]
        return "_".join(_plain(pictures.find(key).name) for key in keys)


class QuickTask(_Asked):
    """A photo in a mixture of trained styles, in one pass. ``size`` 0 is the photo's own."""

    kind: Literal["quick"] = "quick"
    photo: Key
    styles: Annotated[dict[Key, Weight], Field(min_length=1, max_length=100)]
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    colors: Key = "style"
    size: Annotated[int, Field(ge=0)] = 0
    printed: Printed | None = None

    def request(self, pictures: Pictures, device: str, memory: int | None) -> StylizeRequest:
        """Raises :class:`UsageError` for a photo that is not there, and wrong settings."""
        printed = parse_print(*((self.printed.paper, self.printed.dpi) if self.printed else _NONE))
        return StylizeRequest(
            photo=pictures.at_hand(self.photo),
            styles=self.styles,
            look=Look(self.size, self.strength, self.colors),
            printed=printed,
            device=device,
            memory=memory,
        )

    def title(self, pictures: Pictures) -> str:
        """What results are named after."""
        return "_".join([_plain(pictures.find(self.photo).name), *self.styles])


class TurnTask(_Asked):
    """What is to be changed in the run that is going on; see :class:`PaintTask`."""

    settings: dict[str, float | int | str] = Field(default_factory=dict)
    weights: list[Weight] = Field(default_factory=list)


Task = Annotated[PaintTask | QuickTask, Discriminator("kind")]

Asked = TypeVar("Asked")

_NONE = (None, None)


def parse(kind: Any, text: bytes) -> Any:
    """What the page sent, as JSON. Raises :class:`UsageError`."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise UsageError(f"{place}: {first['msg'].lower()}") from None


def task_of(recipe: AnyRecipe, pictures: Pictures) -> dict[str, Any] | None:
    """What the page would ask for to make a picture again, as far as its inputs are here.

    Inputs are found by their hashes: the paths of a recipe are never opened.
    """
    if isinstance(recipe, TransferRecipe):
        return _paint_task_of(recipe, pictures)
    if isinstance(recipe, StylizeRecipe):
        task = {"photo": _key(recipe.content, pictures), "styles": recipe.styles, "kind": "quick"}
        return {**task, "strength": recipe.strength, "colors": recipe.colors, "size": recipe.size}
    return None


def _paint_task_of(recipe: TransferRecipe, pictures: Pictures) -> dict[str, Any]:
    count = len(recipe.styles)
    masks, style_masks = (
        [_key(one, pictures) for one in inputs] or [None] * count
        for inputs in (recipe.masks, recipe.style_masks)
    )
    weights = next((t.weights for t in reversed(recipe.turns) if t.weights), None)
    paintings = [
        {
            "key": _key(style, pictures),
            "weight": weights[number] if weights else style.weight,
            "mask": masks[number],
            "style_mask": style_masks[number],
        }
        for number, style in enumerate(recipe.styles)
    ]
    return {
        "kind": "paint",
        "photo": _key(recipe.content, pictures),
        "paintings": paintings,
        "preset": recipe.preset,
        "settings": _settings_of(recipe),
    }


def _settings_of(recipe: TransferRecipe) -> dict[str, Any]:
    """The knobs as they stood at the end."""
    settings = recipe.settings
    found = {
        "strength": settings.get("strength"),
        "style_scale": settings.get("style", {}).get("scale"),
        "colors": settings.get("colors"),
        "size": settings.get("size"),
        "steps": settings.get("optimizer", {}).get("steps"),
        "seed": settings.get("seed"),
    }
    for turn in recipe.turns:
        found |= {
            name.replace("style.scale", "style_scale"): v for name, v in turn.settings.items()
        }
    return found


def _key(used: Input, pictures: Pictures) -> str | None:
    found = pictures.with_sha256(used.sha256)
    return found.key if found else None


def _masks(pictures: Pictures, keys: Sequence[str | None]) -> list[Any]:
    """One for each painting, or none. Raises :class:`UsageError` where only some have one."""
    there = [pictures.at_hand(key) for key in keys if key is not None]
    if there and len(there) != len(keys):
        raise UsageError("brush a region for each painting, or for none")
    return there


def _plain(name: str) -> str:
    return name.rpartition(".")[0] or name
