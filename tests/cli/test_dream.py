from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from styleforge.images.load import load_image
from tests.cli.conftest import Command
from tests.pictures import opened

QUICK = ("--layer", "conv1_2", "-n", "2")


def test_a_dream_of_a_picture(command: Command) -> None:
    done = command("dream", "c.png", *QUICK, "-s", "40")
    assert (done.code, done.out) == (0, b"")
    assert re.fullmatch(r"Saved c_conv1_2\.png \(40 x 33\) in \d+\.\d s\n", done.err)
    assert opened(Path("c_conv1_2.png").read_bytes()).size == (40, 33)


def test_a_dream_from_noise(command: Command) -> None:
    assert command("dream", *QUICK, "--channel", "7", "-s", "48x32", "-q").err == ""
    assert opened(Path("dream_conv1_2_7.png").read_bytes()).size == (48, 32)


def test_a_unit_changes_only_what_is_near_it(command: Command) -> None:
    options = ("--channel", "7", "--unit", "40,4", "-n", "1", "-s", "48", "-o", "out.png")
    assert command("dream", "c.png", "--layer", "conv1_2", *options).code == 0
    change = (load_image("out.png").pixels - load_image("c.png").pixels).abs()
    assert change[..., :14, 30:].mean() > 3 * change[..., 20:, :24].mean()


def test_another_seed_makes_another_dream(command: Command) -> None:
    for name, seed in (("a.png", 1), ("b.png", 1), ("d.png", 2)):
        assert command("dream", *QUICK, "-s", "32", "--seed", seed, "-o", name).code == 0
    first, again, other = (Path(name).read_bytes() for name in ("a.png", "b.png", "d.png"))
    assert first == again
    assert first != other


def test_an_interruption_saves_the_dream_so_far(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("styleforge.cli.progress.tqdm.set_postfix_str", interrupted)
    done = command("dream", "c.png", *QUICK, "-s", "48", "-o", "out.png")
    assert done.code == 130
    assert done.err.startswith("Interrupted: saved what there is as out.png (48 x 40) in ")
    assert opened(Path("out.png").read_bytes()).size == (48, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("no.png",), "no such file: no.png"),
        (
            ("--layer", "conv7_1"),
            "unknown layer 'conv7_1' (did you mean conv5_1?); "
            "layers are written conv4_2, relu4_2, pool4",
        ),
        (
            ("--layer", "conv1_1", "--channel", "64"),
            "conv1_1 has channels 0 to 63 (not 64)",
        ),
        (("--unit", "3"), "--unit is X,Y in pixels, such as 200,120 (not '3')"),
        (
            ("c.png", "--unit", "48,3", "-s", "48"),
            "--unit 48,3 is outside of the picture, 48 x 40 pixels",
        ),
        (("-s", "31x64"), "--size needs at least 32 pixels a side"),
        (("-s", "big"), "--size is WIDTHxHEIGHT in pixels, such as 1024x768 (not 'big')"),
        (("c.png", "-o", "c.png", "-f"), "c.png is one of the inputs; choose another output"),
        (("c.png", "-o", "s.png"), "s.png exists; use --force to overwrite it"),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(command: Command, options: tuple[str, ...], message: str) -> None:
    before = {path.name for path in Path().iterdir()}
    done = command("dream", *options)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before
