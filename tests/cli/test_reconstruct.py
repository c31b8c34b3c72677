from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from styleforge.cli import synthesis_run
from styleforge.cli.report import Manner
from styleforge.images.contact_sheet import GAP, TEXT
from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.jobs.synthesis import SynthesisJob
from styleforge.optimize.minimize import Iterate
from styleforge.optimize.scales import Scale
from tests.cli.conftest import Command
from tests.pictures import opened
from tests.synthesis.test_reconstruction import psnr

QUICK = ("-s", "40", "-n", "2")


def test_one_layer_gives_one_picture(command: Command) -> None:
    options = ("--layer", "conv1_1", "-s", "40", "-n", "40", "-o", "out.png")
    done = command("reconstruct", "content", "c.png", *options)
    assert (done.code, done.out) == (0, b"")
    assert re.fullmatch(r"Saved out\.png \(40 x 33\) in \d+\.\d s\n", done.err)
    photo = resize(load_image("c.png").pixels, (40, 33))
    assert psnr(load_image("out.png").pixels, photo) > 30


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "picture"), [("content", "c.png"), ("style", "s.png")])
def test_a_sheet_of_the_original_and_five_reconstructions(
    command: Command, kind: str, picture: str
) -> None:
    assert command("reconstruct", kind, picture, "-s", "48", "-n", "1", "-q").err == ""
    image = opened(Path(f"{Path(picture).stem}_{kind}.png").read_bytes())
    width, height = load_image(picture).size
    assert image.size == (6 * (width + GAP) + GAP, height + TEXT + 3 * GAP)


def test_style_layers_together_make_one_picture(command: Command) -> None:
    layers = ("--layer", "conv1_1", "--layer", "relu2_1")
    assert command("reconstruct", "style", "s.png", *layers, *QUICK).code == 0
    assert opened(Path("s_conv1_1_relu2_1.png").read_bytes()).size == (33, 40)


def test_the_default_name_says_the_layer(command: Command) -> None:
    assert command("reconstruct", "content", "c.png", "--layer", "pool1", *QUICK).code == 0
    assert Path("c_pool1.png").is_file()


def test_another_seed_makes_another_picture(command: Command) -> None:
    for name, seed in (("a.png", 1), ("b.png", 1), ("d.png", 2)):
        options = ("--layer", "conv1_2", *QUICK, "--seed", seed, "-o", name)
        assert command("reconstruct", "content", "c.png", *options).code == 0
    first, again, other = (Path(name).read_bytes() for name in ("a.png", "b.png", "d.png"))
    assert first == again
    assert first != other


def test_an_interruption_saves_what_there_is(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = synthesis_run.run

    def interrupted(job: SynthesisJob, manner: Manner, **options: bool) -> None:
        second = job.runs[1]
        optimize = second._optimize

        def stop(scale: Scale, start: Tensor) -> Iterator[Iterate]:
            os.kill(os.getpid(), signal.SIGINT)
            return optimize(scale, start)

        monkeypatch.setattr(second, "_optimize", stop)
        run(job, manner, **options)

    monkeypatch.setattr(synthesis_run, "run", interrupted)
    done = command("reconstruct", "content", "c.png", *QUICK, "-o", "out.png")
    assert done.code == 130
    assert done.err.startswith("Interrupted: saved what there is as out.png (")
    assert opened(Path("out.png").read_bytes()).size[0] == 2 * (40 + GAP) + GAP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("content", "no.png"), "no such file: no.png"),
        (("content", "c.png", "-s", "36"), None),
        (
            ("content", "c.png", "--layer", "conv4_9"),
            "unknown layer 'conv4_9' (did you mean conv4_4?); "
            "layers are written conv4_2, relu4_2, pool4",
        ),
        (
            ("style", "s.png", "--layer", "x"),
            "unknown layer 'x'; layers are written conv4_2, relu4_2, pool4",
        ),
        (("style", "s.png", "-o", "c.png"), "c.png exists; use --force to overwrite it"),
        (
            ("style", "s.png", "-o", "s.png", "-f"),
            "s.png is one of the inputs; choose another output",
        ),
        (
            ("content", "c.png", "--layer", "conv1_1", "-s", "40000"),
            "--size is from 0 to 32768 (not 40000)",
        ),
        (
            ("style", "s.png", "-d", "gpu"),
            "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(command: Command, arguments: tuple[str, ...], message: str | None) -> None:
    before = {path.name for path in Path().iterdir()}
    done = command("reconstruct", *arguments)
    message = message or (
        "c.png is 48 x 40 pixels: at size 36 its shorter side would have 30; "
        "both sides must have at least 32"
    )
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before


def test_a_picture_that_memory_cannot_hold_is_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("styleforge.jobs.synthesis.available_memory", lambda _: 2**20)
    done = command("reconstruct", "content", "c.png", *QUICK)
    assert done.code == 3
    assert re.fullmatch(
        r"Error: 40 x 33 pixels need about \d\.\d GiB of memory and 0\.0 GiB are there; "
        r"free some memory\n",
        done.err,
    )
