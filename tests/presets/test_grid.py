from __future__ import annotations

import pytest

from styleforge.core.errors import UsageError
from styleforge.presets.grid import Choice, parse_choices, variations, varied_preset
from styleforge.presets.transfer import load_preset


def test_a_short_name_stands_for_the_one_setting_that_ends_in_it() -> None:
    assert parse_choices("beta=1e2,500") == [
        Choice("style.beta", "1e2", "beta 1e2"),
        Choice("style.beta", 500, "beta 500"),
    ]
    assert parse_choices("style.scale=0.5")[0] == Choice("style.scale", 0.5, "style.scale 0.5")
    assert parse_choices("size=64")[0].key == "size"
    assert parse_choices("style.layers.conv1_1=1")[0].key == "style.layers.conv1_1"


@pytest.mark.parametrize(
    ("text", "value", "label"),
    [
        ("pooling=avg", "avg", "pooling avg"),
        ("normalized=false", False, "normalized false"),
        ("scales=null", None, "scales null"),
        ("tv = 3", 3, "tv 3"),
        ("style.layers={conv1_1: 1}", {"conv1_1": 1}, 'style.layers {"conv1_1": 1}'),
    ],
)
def test_values_are_yamls(text: str, value: object, label: str) -> None:
    (choice,) = parse_choices(text)
    assert (choice.value, choice.label) == (value, label)


def test_every_combination_is_there_the_last_setting_changing_fastest() -> None:
    found = [[choice.label for choice in row] for row in variations(["beta=1,2", "tv=3,4"])]
    assert found == [["beta 1", "tv 3"], ["beta 1", "tv 4"], ["beta 2", "tv 3"], ["beta 2", "tv 4"]]
    assert variations([]) == [()]


def test_a_variation_overrides_the_preset() -> None:
    first, *_ = variations(["beta=1e2", "style.layers={conv3_1: 1}", "scales=null"])
    preset = varied_preset("painterly", first)
    expected = {"style.beta": 100.0, "style.layers": {"conv3_1": 1.0}, "scales": None}
    assert preset == load_preset("painterly", expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["betta=1"],
            "`set` betta: unknown setting (did you mean beta?); "
            "styleforge presets show painterly prints them all",
        ),
        (
            ["style.betta=1"],
            "`set` style.betta: unknown setting (did you mean style.beta?); "
            "styleforge presets show painterly prints them all",
        ),
        (
            ["=1"],
            "`set` : unknown setting; styleforge presets show painterly prints them all",
        ),
        (["steps=1"], "`set` steps: say which, optimizer.steps or scales.steps"),
        (["beta"], "`set` beta: name one or more values, as in beta=1,2"),
        (["beta="], "`set` beta=: name one or more values, as in beta=1,2"),
        (["beta=1,,2"], "`set` beta=1,,2: '1,,2' is not a list of values"),
        (["beta=1", "style.beta=2"], "`set` names style.beta twice; give all its values at once"),
    ],
)
def test_mistakes_are_named(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        variations(texts)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("preset", "text", "message"),
    [
        (
            "painterly",
            "beta=much",
            "painterly.yaml: style.beta: input should be a valid number, "
            "unable to parse string as a number (not 'much')",
        ),
        ("painterly", "style.layers.conv9_1=1", "painterly.yaml: style.layers.conv9_1: "),
        (
            "gatys2016",
            "scales.start=64",
            "scales.start has no effect: gatys2016 has no scales",
        ),
    ],
)
def test_values_that_a_preset_does_not_take(preset: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        varied_preset(preset, variations([text])[0])
    assert str(error.value).startswith(message)
