"""Settings read from YAML: their types, and every mistake in one message. Needs no torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from styleforge.core.errors import UsageError
from styleforge.core.layers import LAYERS


def _known_layer(name: str) -> str:
    if name not in LAYERS:
        raise ValueError(f"unknown layer{suggestion(name, LAYERS)}")
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


_LONGEST_NUMBER = 100
"""Characters of a whole number; Python refuses to write much longer ones."""


class Section(BaseModel):
    """A group of settings: unknown keys are mistakes, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SectionType = TypeVar("SectionType", bound=Section)


class MisleadingError(ValueError):
    """What YAML allows and nobody means."""

    def __init__(self, node: yaml.Node, what: str) -> None:
        super().__init__(f"line {node.start_mark.line + 1}: {what}")


class _Loader(yaml.SafeLoader):
    """YAML's plain values, without what would be read as something else than it seems."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise MisleadingError(key, f"{key.value} is there twice")
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """YAML 1.1 would take 060 for 48, and 1:30 for 90."""
        text = node.value
        if len(text) > _LONGEST_NUMBER:
            raise MisleadingError(node, f"a number of {len(text)} characters")
        number = int(super().construct_yaml_int(node))
        if re.fullmatch(r"[-+]?0[0-7_]+|.*:.*", text):
            raise MisleadingError(
                node, f"YAML reads {text} as {number}; write {number}, or what is meant"
            )
        return number

    def text(self, node: yaml.ScalarNode) -> str:
        """Of 080 YAML makes text, which becomes 80 where a number is wanted."""
        text = str(super().construct_yaml_str(node))
        if node.style is None and re.fullmatch(r"[-+]?0[0-9_]+", text):
            raise MisleadingError(node, f"{text} is no number to YAML; write it without the 0")
        return text


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole_number)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.text)


def parse_yaml(text: str) -> Any:
    """The value. Raises :class:`MisleadingError`, ValueError with the reason in one line."""
    try:
        return yaml.load(text, _Loader)
    except MisleadingError:
        raise
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except Exception as error:  # PyYAML raises many kinds for a damaged file
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A file that maps names to settings. Raises :class:`UsageError`."""
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable preset: {error}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"{path} is not a preset: it should map names to settings")
    return settings


def to_yaml(settings: Section) -> str:
    """All settings as YAML, spelled out."""
    return yaml.safe_dump(settings.model_dump(), sort_keys=False, default_flow_style=None)


def override(settings: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Set ``{"a.b": value}`` in nested settings; a section of the wrong type stays."""
    for key, value in overrides.items():
        _override(settings, key.split("."), value)


def _override(settings: dict[str, Any], keys: list[str], value: Any) -> None:
    *parents, last = keys
    for key in parents:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            return
    settings[last] = value


def validate(kind: type[SectionType], settings: Mapping[str, Any], origin: str) -> SectionType:
    """Check settings; ``origin`` names them in messages. Raises :class:`UsageError`."""
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        lines = [_explain(dict(item), kind) for item in error.errors()]
        raise UsageError(f"{origin}: " + "; ".join(lines)) from None


_PLAIN_WORDS = {
    "dict_type": "should map layers to weights",
    "model_type": "should map names to settings",
    "model_attributes_type": "should map names to settings",
    "too_short": "needs at least one layer",
    "invalid_key": "should be a name",
    "union_tag_not_found": "needs a kind",
}
"""For pydantic's messages that speak of Python."""


def _explain(item: Mapping[str, Any], kind: type[BaseModel]) -> str:
    """One pydantic error as ``key: what is wrong``."""
    names, section = _place(item["loc"], kind)
    key = ".".join(names)
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key{suggestion(names[-1], section)}"
    if item["type"] == "union_tag_invalid":
        kinds = item["ctx"]["expected_tags"].replace(", ", " or ")
        return f"{key}.kind: input should be {kinds} (not {item['input']['kind']!r})"
    message = _PLAIN_WORDS.get(item["type"], str(item["msg"]).removeprefix("Value error, "))
    if not key:
        return message
    value = item["input"]
    shown = f" (not {value!r})" if isinstance(value, str | int | float | bool) else ""
    if "unknown layer" in message:
        shown = ""
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _place(location: Iterable[Any], kind: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The keys that lead to an error, and the keys allowed in the section where it is."""
    names: list[str] = []
    sections, allowed = [kind], list(kind.model_fields)
    for part in (str(part) for part in location if part != "[key]"):
        tagged = [s for s in sections if _tag(s) == part]
        if tagged and len(sections) > 1:  # pydantic also names the kind of section that was chosen
            sections = tagged
            continue
        allowed = [name for section in sections for name in section.model_fields]
        names.append(part)
        fields = [s.model_fields[part] for s in sections if part in s.model_fields]
        sections = [s for field in fields for s in _sections(field.annotation)]
    return names, allowed


def _tag(section: type[BaseModel]) -> str | None:
    field = section.model_fields.get("kind")
    return None if field is None else str(field.default)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections in a field's type, such as those of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def setting_names(kind: type[BaseModel]) -> list[str]:
    """The dotted names of all settings and sections, in order: style, style.beta, ..."""
    names = []
    for name, field in kind.model_fields.items():
        names.append(name)
        for section in _sections(field.annotation):
            names += [f"{name}.{inner}" for inner in setting_names(section)]
    return names


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)``, or nothing where no known word is like it."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
