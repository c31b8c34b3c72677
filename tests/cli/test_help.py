from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

import styleforge as package
from styleforge.cli import app
from tests.cli.conftest import Command


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_begins_with_examples(command: Command, flag: str) -> None:
    done = command(flag)
    assert (done.code, done.err) == (0, "")
    assert [line.strip() for line in done.text.splitlines() if line.strip()][:5] == [
        "Usage: styleforge [OPTIONS] COMMAND [ARGS]...",
        "Repaint a photo in the style of a painting.",
        "styleforge photo.jpg painting.jpg",
        "styleforge transfer photo.jpg painting.jpg -p preview",
        "styleforge transfer photo.jpg a.jpg:0.7 b.jpg:0.3 -s 1024 -o out.png",
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (
            "transfer",
            "-o -p -s -n -d -f -q -v --output --preset --size --steps --optimizer --init --alpha "
            "--beta --tv --content-layer --style-layer --pooling --weights --seed --device "
            "--save-every --force --quiet --verbose --json --dry-run --depth --precision --memory "
            "--statistic --style-scale --colors --mask",
        ),
        (
            "stylize",
            "-m -o -s -d -f -q --style --model --output --size --strength --colors --seed "
            "--device --memory --depth --force --quiet --json",
        ),
        (
            "train",
            "-o -p -n -d -f -q --style --output --data --preset --steps --batch --crop --beta "
            "--style-size --add-to --seed --workers --licence --device --resume --force --quiet "
            "--json --dry-run",
        ),
        (
            "texture",
            "-m -o -s -n -d -f -q --model --output --size --tile --steps --seed --device --depth "
            "--force --quiet",
        ),
        ("rerun", "-o --content --style --init --mask --model --device --force --quiet --json"),
        (
            "sheet",
            "-o -p -d -f -q --style --output --set --preset --cell --device --precision --memory "
            "--force --quiet --json --dry-run",
        ),
        ("score", "-s --content --style --size --json"),
        ("doctor", "--json"),
        ("models", "info import"),
        ("info", "--json"),
        (
            "inspect",
            "-o -s -d -f -q --layer --output --count --gram --size --device --force --quiet --json",
        ),
        (
            "dream",
            "-o -s -n -d -f -q --layer --channel --unit --output --size --steps --seed --device "
            "--force --quiet",
        ),
        ("reconstruct", "content style"),
        ("calibrate", "-o --weights --force"),
        ("studio", "-o -d --output --port --host --no-open --device --memory"),
        ("presets", "show"),
    ],
)
def test_help_names_every_option(command: Command, name: str, options: str) -> None:
    words = command(name, "--help").text.replace(",", " ").split()
    assert set(options.split()) <= set(words)


def test_version(command: Command) -> None:
    assert command("--version").text == f"styleforge {package.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("styleforge tra", {"transfer", "train"}),
        ("styleforge models i", {"info", "import"}),
        ("styleforge transfer --content", {"--content-layer"}),
        ("styleforge presets s", {"show"}),
        ("styleforge stylize c.png --style mos", {"mosaic"}),
        ("styleforge stylize c.png -m pai", {"paintings"}),
        ("styleforge transfer -p pr", {"preview"}),
        ("styleforge train -p jo", {"johnson"}),
        ("styleforge inspect c.png --layer conv4", {f"conv4_{n}" for n in range(1, 5)}),
        ("styleforge transfer --style-layer pool1", {"pool1"}),
        ("styleforge dream -d cu", {"cuda"}),
        ("styleforge transfer --statistic s", {"sliced-wasserstein"}),
        ("styleforge train --statistic n", {"neighbors"}),
        ("styleforge rerun -d m", {"mps"}),
        ("styleforge styles -m gal", {"gallery"}),
        ("styleforge export mos", {"mosaic"}),
        ("styleforge presets show joh", {"johnson"}),
    ],
)
def test_shell_completion(
    command: Command, monkeypatch: pytest.MonkeyPatch, typed: str, completed: set[str]
) -> None:
    monkeypatch.setenv("_STYLEFORGE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert set(command().text.split()) == completed


@pytest.mark.slow
def test_completion_imports_no_torch() -> None:
    code = (
        "import sys; from styleforge.cli import completion as c; "
        "assert c.styles('') and c.models('') and c.presets('') and c.statistics(''); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_brackets_in_help_stay(command: Command) -> None:
    assert "pip install 'styleforge[onnx]'" in command("export", "--help").text


def every_command() -> list[tuple[str, ...]]:
    """The names of all commands and of those below them."""

    def below(group: Any, *names: str) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, *names, name)
            else:
                yield (*names, name)

    return list(below(get_command(app)))


@pytest.mark.parametrize("names", every_command(), ids=" ".join)
def test_help_of_every_command(command: Command, names: tuple[str, ...]) -> None:
    """Examples on lines of their own; nothing of Python's types or of the formatter's marks."""
    done = command(*names, "--help")
    assert (done.code, done.err) == (0, "")
    lines = [line.strip() for line in done.text.splitlines()]
    assert "Examples:" in lines
    shown = lines[lines.index("Examples:") + 1]
    assert shown.startswith(f"styleforge {names[0]}")
    for mark in ("\\b", "\b", "list[", "<str>", "<path>", "TEXT "):
        assert mark not in done.text.replace("TEXT  Written", "")


OF_STYLES = {("stylize",), ("batch",), ("export",)}
"""Commands whose ``--style`` is a trained style's name; the others' are files."""


@pytest.mark.parametrize("names", every_command(), ids=" ".join)
def test_what_has_names_is_completed(names: tuple[str, ...]) -> None:
    """Styles, models, presets, layers, devices and statistics, in every command."""
    found: Any = get_command(app)
    for name in names:
        found = found.commands[name]
    known = {"--preset", "--device", "--layer", "--content-layer", "--style-layer", "--statistic"}
    if names != ("rerun",):  # whose model is a file
        known |= {"--model", "model"}
    if names in OF_STYLES:
        known.add("--style")
    if names[0] == "presets":
        known.add("name")
    asked = [parameter for parameter in found.params if known & {*parameter.opts}]
    assert [one.opts for one in asked if one._custom_shell_complete is None] == []
