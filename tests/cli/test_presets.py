from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from styleforge.core.settings import validate
from styleforge.presets.training import load_training_preset, training_presets
from styleforge.presets.transfer import Preset, load_preset, shipped_presets
from tests.cli.conftest import Command


def test_the_list_has_every_preset_and_what_it_does(command: Command) -> None:
    done = command("presets")
    rows = done.text.splitlines()
    assert rows[0].split() == ["preset", "of", "size", "what", "it", "does"]
    named = [row.split()[0] for row in rows[1:]]
    assert named == [*shipped_presets(), *training_presets()]
    presets = [*map(load_preset, shipped_presets()), *map(load_training_preset, training_presets())]
    for preset, row in zip(presets, rows[1:], strict=True):
        assert preset.description in row
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("name", shipped_presets())
def test_show_prints_yaml_that_is_the_preset(command: Command, name: str) -> None:
    done = command("presets", "show", name)
    assert done.code == 0
    assert validate(Preset, yaml.safe_load(done.text), name) == load_preset(name)


def test_a_shown_preset_can_be_edited_and_used(command: Command) -> None:
    text = command("presets", "show", "p.yaml").text
    Path("mine.yaml").write_text(text.replace("size: 48", "size: 64"))
    done = command("transfer", "c.png", "s.png", "-p", "mine.yaml", "--json", "-o", "out.png")
    assert (done.json["width"], done.json["preset"]) == (64, "mine.yaml")


def test_an_unknown_preset(command: Command) -> None:
    done = command("presets", "show", "phot")
    assert done.err == (
        f"Error: unknown preset 'phot' (did you mean photo?); "
        f"there are {', '.join(shipped_presets())}, or give the path of a .yaml file\n"
    )
    assert done.code == 2
