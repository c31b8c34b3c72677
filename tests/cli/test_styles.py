from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from PIL import Image

from styleforge.images.contact_sheet import GAP
from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.images.save import to_levels
from styleforge.jobs.mistakes import known_styles
from tests.cli.conftest import Command
from tests.cli.test_models import TINY_TEXTURE, write_model


def test_every_known_style_is_on_the_sheet(command: Command) -> None:
    done = command("styles", "c.png", "-s", "48")
    assert done.code == 0
    count = len(known_styles())
    assert re.fullmatch(rf"Saved c_styles.png \({count} styles\) in \d+\.\d s\n", done.err)
    assert done.next == f"styleforge stylize c.png --style {known_styles()[0]}, or another of them"
    image = Image.open("c_styles.png")
    assert image.width == math.ceil(math.sqrt(count + 1)) * (48 + GAP) + GAP
    assert command("styles", "c.png", "-s", "48", "-q").err == "", "names go on"
    assert Path("c_styles_2.png").is_file()


@pytest.mark.slow
def test_the_pictures_are_those_of_stylize(command: Command) -> None:
    command("styles", "c.png", "-s", "48", "-o", "out.png")
    command("stylize", "c.png", "-s", "48", "--style", known_styles()[0], "-o", "one.png")
    sheet, one = Image.open("out.png"), Image.open("one.png")
    corners = [(GAP, GAP), (2 * GAP + 48, GAP)]
    photo, first = (sheet.crop((x, y, x + 48, y + 40)) for x, y in corners)
    assert photo.tobytes() == to_levels(resize(load_image("c.png").pixels, (48, 40))).tobytes()
    assert first.tobytes() == one.tobytes()


@pytest.mark.slow
def test_a_large_photo_is_painted_as_large_as_strokes_are_meant_to_be(command: Command) -> None:
    write_model(Path("m.safetensors"))
    Image.open("c.png").resize((960, 800)).save("large.png")
    done = command("styles", "large.png", "-m", "m.safetensors", "-s", "64")
    assert done.next == "styleforge stylize large.png --style cafe -s 640, or another of them"
    stylize = ("stylize", "large.png", "-m", "m.safetensors", "--style", "cafe", "-s", "640")
    command(*stylize, "-o", "one.png")
    small = resize(load_image("one.png").pixels, (64, 53))
    found = load_image("large_styles.png").pixels[..., GAP : GAP + 53, 2 * GAP + 64 : 2 * GAP + 128]
    assert (found - small).abs().max() <= 2 / 255


def test_one_model_and_json(command: Command) -> None:
    write_model(Path("m.safetensors"))
    done = command("styles", "c.png", "-m", "m.safetensors", "-s", "48", "-o", "o.jpg", "--json")
    assert done.json == {"output": "o.jpg", "styles": ["cafe", "harvest"]}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no.png",), 2, "no such file: no.png"),
        (("c.png", "-o", "c.png", "-f"), 2, "c.png is one of the inputs; choose another output"),
        (("c.png", "-o", "out.txt"), 2, None),
        (
            ("c.png", "-m", "t.safetensors"),
            4,
            "no trained network repaints photos here; train makes one",
        ),
    ],
)
def test_mistakes(
    command: Command, arguments: tuple[str, ...], code: int, message: str | None
) -> None:
    write_model(Path("t.safetensors"), settings=TINY_TEXTURE)
    done = command("styles", *arguments)
    assert done.code == code
    assert message is None or done.err == f"Error: {message}\n"
