"""Pictures sized for paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.images.geometry import Paper, Print, parse_print
from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, load_recipe
from tests.cli.conftest import Command

TRANSFER = ("transfer", "c.png", "s.png", "-p", "p.yaml", "-n", "1")
STYLIZE = ("stylize", "c.png", "--style", "mosaic")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("60x40cm", (60, 40)),
        ("600x400mm", (60, 40)),
        ("8x10in", (20.32, 25.4)),
        (" 12.5 x 9 CM", (12.5, 9)),
    ],
)
def test_papers_sizes(text: str, size: tuple[float, float]) -> None:
    assert parse_print(text, None).paper == pytest.approx(size)


@pytest.mark.parametrize("text", ["60x40", "60cm", "0x40cm", "x40cm", "60x40px", "-60x40cm"])
def test_what_is_no_papers_size(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_print(text, None)
    message = f"`print` is a paper's size such as 60x40cm or 8x10in (not {text!r})"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("photo", "pixels"),
    [
        ((600, 400), 7087),  # the paper's shape: all of it, 60 cm
        ((400, 600), 7087),  # upright
        ((400, 400), 4724),  # a square: 40 cm
        ((500, 400), 5906),  # 50 x 40 cm
        ((2000, 400), 7087),  # a panorama: 60 x 12 cm
    ],
)
def test_the_largest_picture_that_fits(photo: tuple[int, int], pixels: int) -> None:
    assert Print(Paper(60, 40), 300).longest_side(photo, 0) == pixels
    assert Print(dpi=300).longest_side(photo, 512) == 512


@pytest.mark.parametrize("command_line", [TRANSFER, STYLIZE], ids=["transfer", "stylize"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_print(command: Command, command_line: tuple[str, ...], suffix: str) -> None:
    """20 x 15 mm at 96 dots per inch, of a photo of 6 to 5."""
    out, again = Path(f"out{suffix}"), Path(f"again{suffix}")
    done = command(*command_line, "--print", "20x15mm", "--dpi", "96", "-o", out)
    assert done.code == 0
    image = Image.open(out)
    assert image.size == (68, 57)
    assert image.info["dpi"] == pytest.approx((96, 96), abs=0.02)
    recipe = load_recipe(out)
    assert isinstance(recipe, TransferRecipe | StylizeRecipe)
    assert recipe.dpi == 96
    assert command("rerun", out, "-o", again).code == 0
    assert again.read_bytes() == out.read_bytes()


def test_dots_per_inch_alone_are_only_written(command: Command) -> None:
    assert command(*STYLIZE, "--dpi", "150", "--strip-metadata", "-o", "out.png").code == 0
    image = Image.open("out.png")
    assert image.size == (48, 40)
    assert image.info["dpi"] == pytest.approx((150, 150), abs=0.02)


def test_300_dots_per_inch_are_usual(command: Command) -> None:
    assert command(*STYLIZE, "--print", "4x4mm", "-o", "out.png").code == 0
    image = Image.open("out.png")
    assert image.size == (47, 39)
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


@pytest.mark.parametrize("command_line", [TRANSFER, STYLIZE], ids=["transfer", "stylize"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--print", "4x4mm", "-s", "64"),
            "--print and --size both say how large it is; leave one out",
        ),
        (
            ("--print", "large"),
            "--print is a paper's size such as 60x40cm or 8x10in (not 'large')",
        ),
        (
            ("--print", "900x900cm"),
            "--print at 300 --dpi is 106299 pixels; 1 to 32768 can be",
        ),
    ],
)
def test_mistakes(
    command: Command, command_line: tuple[str, ...], arguments: tuple[str, ...], message: str
) -> None:
    done = command(*command_line, *arguments)
    assert (done.code, done.err) == (2, f"Error: {message}\n")
