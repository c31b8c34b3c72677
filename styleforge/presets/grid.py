"""Settings with several values each, and every combination of them. Needs no torch."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from styleforge.core.errors import UsageError
from styleforge.core.settings import MisleadingError, parse_yaml, setting_names, suggestion
from styleforge.presets.transfer import Preset, load_preset


@dataclass(frozen=True)
class Choice:
    """A setting's value: ``key`` is its dotted name, ``label`` says both in few words."""

    key: str
    value: Any
    label: str


Variation = tuple[Choice, ...]
"""One value for each setting."""


def parse_choices(text: str) -> list[Choice]:
    """``beta=1e2,1e3`` to the choices of style.beta, each once. Values are YAML's.

    Raises :class:`UsageError` for an unknown or ambiguous name, or for no value.
    """
    name, _, listed = text.partition("=")
    key = _full_name(name.strip())
    try:
        values = parse_yaml(f"[{listed}]")
    except MisleadingError as error:
        raise UsageError(f"`set` {text}: {error}") from None
    except ValueError:
        raise UsageError(f"`set` {text}: {listed!r} is not a list of values") from None
    if not values:
        raise UsageError(f"`set` {text}: name one or more values, as in {name.strip()}=1,2")
    choices = (Choice(key, value, f"{name.strip()} {_spelled(value)}") for value in values)
    return list({choice.label: choice for choice in choices}.values())


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """``beta=300`` and the like to one value by each setting's dotted name.

    Raises :class:`UsageError` where one has several.
    """
    chosen = variations(texts)
    if len(chosen) > 1:
        several = ", ".join(varying(chosen))
        raise UsageError(
            f"`set` gives {several} several values; a sheet takes them, one picture not"
        )
    return {choice.key: choice.value for choice in chosen[0]}


def variations(texts: Sequence[str]) -> list[Variation]:
    """Every combination of the values of all settings, the last one's changing fastest.

    Raises :class:`UsageError`.
    """
    settings = [parse_choices(text) for text in texts]
    keys = [choices[0].key for choices in settings]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"`set` names {key} twice; give all its values at once")
    return list(itertools.product(*settings))


def varying(chosen: Sequence[Variation]) -> dict[str, int]:
    """The settings that have more than one value, with their numbers of values, in order."""
    counts = {
        column[0].key: len({choice.label for choice in column})
        for column in zip(*chosen, strict=True)
    }
    return {key: count for key, count in counts.items() if count > 1}


def varied_preset(name: str, variation: Variation) -> Preset:
    """A preset with a variation's values. Raises :class:`UsageError`, also where one is lost."""
    overrides = {choice.key: choice.value for choice in variation}
    preset = load_preset(name, overrides)
    settings = preset.model_dump()
    for key in overrides:
        if not _is_there(settings, key.split(".")):
            raise UsageError(f"{key} has no effect: {name} has no {key.split('.')[0]}")
    return preset


def _full_name(name: str) -> str:
    """The dotted name of a setting; its last part is enough where no other ends in it."""
    known = setting_names(Preset)
    if name in known or name.rpartition(".")[0] in ("content.layers", "style.layers"):
        return name
    fitting = [key for key in known if _last(key) == name]
    if len(fitting) > 1:
        raise UsageError(f"`set` {name}: say which, {' or '.join(fitting)}")
    if not fitting:
        raise UsageError(
            f"`set` {name}: unknown setting{suggestion(name, [*known, *map(_last, known)])}; "
            "styleforge presets show painterly prints them all"
        )
    return fitting[0]


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _spelled(value: Any) -> str:
    """As in YAML: a word as it is, true, null."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_there(settings: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether nested settings have a value at ``keys``."""
    inner: Any = settings
    for key in keys:
        if not isinstance(inner, Mapping) or key not in inner:
            return False
        inner = inner[key]
    return True
