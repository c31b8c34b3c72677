from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from styleforge.core.errors import UsageError
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


class Lid(Section):
    height: Number = Field(default=1.0, gt=0)


class Box(Section):
    kind: Literal["box"] = "box"
    width: Whole = 2
    lid: Lid = Lid()


class Ball(Section):
    kind: Literal["ball"] = "ball"
    radius: Number = 1.0
    weights: Layers = Field(default_factory=dict)


class Parcel(Section):
    weight: Weight = 1.0
    content: Annotated[Box | Ball, Field(discriminator="kind")] = Box()
    spare: Lid | None = None


def message(settings: dict[Any, Any]) -> str:
    with pytest.raises(UsageError) as caught:
        validate(Parcel, settings, "here")
    return str(caught.value).removeprefix("here: ")


def test_settings_become_a_section() -> None:
    parcel = validate(Parcel, {"weight": 3, "content": {"kind": "ball", "radius": 2}}, "here")
    assert parcel == Parcel(weight=3.0, content=Ball(radius=2.0))
    assert validate(Parcel, {}, "here") == Parcel()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"wieght": 1}, "wieght: unknown key (did you mean weight?)"),
        ({"zzz": 1}, "zzz: unknown key"),
        (
            {"content": {"kind": "box", "wdth": 1}},
            "content.wdth: unknown key (did you mean width?)",
        ),
        ({"content": {"kind": "box", "radius": 1}}, "content.radius: unknown key"),
        ({"content": {"kind": "box", "box": 1}}, "content.box: unknown key"),
        ({"content": {"kind": "box", "ball": 1}}, "content.ball: unknown key"),
        (
            {"content": {"kind": "box", "lid": {"hight": 1}}},
            "content.lid.hight: unknown key (did you mean height?)",
        ),
        (
            {"content": {"kind": "box", "lid": {"height": 0}}},
            "content.lid.height: input should be greater than 0 (not 0)",
        ),
        (
            {"content": {"kind": "ball", "weights": {"conv9_9": 1}}},
            "content.weights.conv9_9: unknown layer (did you mean conv5_4?)",
        ),
        (
            {"content": {"kind": "ball", "weights": {"conv1_1": -1}}},
            "content.weights.conv1_1: input should be greater than or equal to 0 (not -1)",
        ),
        (
            {"content": {"kind": "bal"}},
            "content.kind: input should be 'box' or 'ball' (not 'bal')",
        ),
        ({"content": {"width": 1}}, "content: needs a kind"),
        ({"content": None}, "content: should map names to settings"),
        ({"content": []}, "content: should map names to settings"),
        ({"content": 3}, "content: should map names to settings (not 3)"),
        ({"spare": {"hight": 1}}, "spare.hight: unknown key (did you mean height?)"),
        ({"spare": 3}, "spare: should map names to settings (not 3)"),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_key(settings: dict[str, Any], expected: str) -> None:
    assert message(settings) == expected


def test_all_mistakes_are_named_at_once() -> None:
    settings = {"weight": -1, "content": {"kind": "box", "width": "wide", "lidd": {}}}
    assert message(settings) == (
        "weight: input should be greater than or equal to 0 (not -1); "
        "content.width: input should be a valid integer, unable to parse string as an integer "
        "(not 'wide'); content.lidd: unknown key (did you mean lid?)"
    )


@pytest.mark.parametrize("value", [True, False])
def test_yes_and_no_are_not_numbers(value: bool) -> None:
    expected = f"input should be a number (not {value})"
    assert message({"weight": value}) == f"weight: {expected}"
    assert message({"content": {"kind": "box", "width": value}}) == f"content.width: {expected}"


def test_weights_are_finite() -> None:
    infinite = {"weight": float("inf")}
    assert message(infinite) == "weight: input should be a finite number (not inf)"
    assert message({"weight": float("nan")}).startswith("weight: ")


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Parcel().weight = 2.0


def test_overrides_set_nested_settings() -> None:
    settings: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3}
    override(settings, {"a.b": 5, "e.f.g": 6, "d": 7})
    assert settings == {"a": {"b": 5, "c": 2}, "d": 7, "e": {"f": {"g": 6}}}


def test_an_override_leaves_a_section_of_the_wrong_type() -> None:
    settings = {"a": 1, "b": None}
    override(settings, {"a.b": 5, "b.c": 6})
    assert settings == {"a": 1, "b": None}


def test_yaml_round_trip(tmp_path: Path) -> None:
    parcel = Parcel(content=Ball(weights={"conv1_1": 0.5}))
    path = tmp_path / "parcel.yaml"
    path.write_text(to_yaml(parcel))
    assert validate(Parcel, read_yaml(path), "here") == parcel
    assert list(yaml.safe_load(to_yaml(parcel))) == ["weight", "content", "spare"]


def test_an_empty_file_has_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}


def test_a_file_that_holds_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("[1, 2]")
    with pytest.raises(UsageError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path} is not a preset: it should map names to settings"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(UsageError) as caught:
        read_yaml(path)
    assert str(caught.value) == (
        f"{path} is not a readable preset: [Errno 2] No such file or directory: '{path}'"
    )


MISLEADING = {
    "size: 1\nseed: 2\nsize: 3": "line 3: size is there twice",
    "style:\n  layers: {conv1_1: 1,\n    conv1_1: 2}": "line 3: conv1_1 is there twice",
    "size: 060": "line 1: YAML reads 060 as 48; write 48, or what is meant",
    "size: 080": "line 1: 080 is no number to YAML; write it without the 0",
    "size: -0_7": "line 1: YAML reads -0_7 as -7; write -7, or what is meant",
    "size: 8:30": "line 1: YAML reads 8:30 as 510; write 510, or what is meant",
    f"size: {'9' * 5000}": "line 1: a number of 5000 characters",
    "a: 2020-13-45": "month must be in 1..12",
    "a: !!bool x": "'x'",
    "a: !!timestamp x": "'NoneType' object has no attribute 'groupdict'",
}


@pytest.mark.parametrize(("text", "reason"), MISLEADING.items(), ids=map(str, range(10)))
def test_what_yaml_allows_and_nobody_means(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path} is not a readable preset: {reason}"


@pytest.mark.slow
def test_what_is_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {'[' * 5000}{']' * 5000}")
    with pytest.raises(UsageError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path} is not a readable preset: it is nested too deeply"


def test_a_key_may_stand_in_several_sections(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: [0, 0x10, 12, -3, 1_000]")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 2}, "c": [0, 16, 12, -3, 1000]}


def test_a_suggestion_is_a_word_like_it() -> None:
    assert suggestion("stpes", ["size", "steps"]) == " (did you mean steps?)"
    assert suggestion("zzz", ["size", "steps"]) == ""
    assert suggestion("steps", []) == ""
