"""``styleforge studio`` as a command, and the command lines that it shows."""

from __future__ import annotations

import importlib.util
import shlex
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from styleforge.cli.command_line import command_line
from styleforge.jobs.recipe import TransferRecipe, Turn, load_recipe
from tests.cli.conftest import Command


def test_without_its_packages_it_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    lacking = lambda name, *rest: None if name == "uvicorn" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr("styleforge.studio.packages.importlib.util.find_spec", lacking)
    done = command("studio", "--no-open")
    assert (done.code, done.err) == (
        2,
        "Error: the studio needs some more packages: pip install 'styleforge[studio]'\n",
    )


def test_mistakes_are_one_line(command: Command, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("studio", "--no-open", "--port", port)
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        f"Error: port {port} is taken; choose another with --port",
    )
    (folder / "file").write_text("")
    done = command("studio", "--no-open", "-o", "file")
    assert done.err.splitlines()[-1] == "Error: file cannot be a folder for results (file exists)"
    done = command("studio", "--no-open", "--host", "http://x")
    assert done.err == "Error: --host is an address or a name of this machine (not 'http://x')\n"
    done = command("studio", "--no-open", "--host", "192.0.2.1", "--port", "0")
    assert done.err.splitlines()[-1].startswith("Error: cannot listen on 192.0.2.1, port 0 (")


def made_again(command: Command, *arguments: object) -> tuple[str, Any, Any]:
    """The command line of a picture, and its recipe beside that of what the line makes."""
    assert command(*arguments, "-o", "one.png", "-q").code == 0
    recipe = load_recipe(Path("one.png"))
    line = command_line(recipe, Path("one.png"))
    assert command(*shlex.split(line)[1:], "-q").code == 0
    return line, recipe, load_recipe(Path("again.png"))


@pytest.mark.slow
def test_the_line_of_a_transfer_makes_the_same(command: Command) -> None:
    options = ("--strength", "0.3", "--set", "scales.steps=5", "-s", "40", "--seed", "3", "-n", "2")
    named = ("transfer", "c.png", "s.png:0.4", "s.png", "-p", "gram")
    line, one, other = made_again(command, *named, *options)
    assert line == (
        "styleforge transfer c.png s.png:0.4 s.png:1 -p gram -s 40 --seed 3 --strength 0.3 "
        "--steps 2 --set scales.steps=5 -o again.png"
    )
    assert one == other


@pytest.mark.parametrize("styles", [["mosaic"], ["night-cafe:0.3", "church:0.7"]])
def test_the_line_of_a_stylize_makes_the_same(command: Command, styles: list[str]) -> None:
    named = [word for name in styles for word in ("--style", name)]
    _, one, other = made_again(
        command, "stylize", "c.png", *named, "--colors", "keep", "--dpi", "90"
    )
    assert one == other


def test_what_happened_on_the_way_is_rerun(command: Command) -> None:
    named = ("c.png", "s.png", "-p", "gram", "-s", "40", "-n", "1")
    assert command("transfer", *named, "-o", "o.png").code == 0
    recipe = load_recipe(Path("o.png"))
    assert isinstance(recipe, TransferRecipe)
    for told in (replace(recipe, turns=[Turn(1)]), replace(recipe, evaluations=2)):
        assert command_line(told, Path("o.png")) == "styleforge rerun o.png -o again.png"
