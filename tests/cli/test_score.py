from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from styleforge.transfers.patches import PATCH_LAYERS
from styleforge.transfers.score import CONTENT_LAYERS, STYLE_LAYERS
from tests.cli.conftest import Command
from tests.pictures import noise

ORIGINALS = ("--content", "c.png", "--style", "s.png", "-s", "64")


def test_the_table_has_every_layer_colors_and_similarity(command: Command) -> None:
    done = command("score", "c.png", *ORIGINALS)
    assert done.code == 0
    assert re.fullmatch(r"Measured c.png in \d+\.\d s\n", done.err)
    assert done.next.startswith("score another picture")
    title, *rows = done.text.splitlines()
    columns = "to the content to the style from its patches"
    assert " ".join(title.split()) == f"at 64 x 53 {columns}"
    layers = sorted({*CONTENT_LAYERS, *STYLE_LAYERS, *PATCH_LAYERS})
    names = [*layers, "mean of the layers", "color", "SSIM", "leak", "usage"]
    figures = {"mean of the layers": 3, "color": 2, "conv5_1": 2}
    for row, name in zip(rows, names, strict=True):
        to_content = {"SSIM": "1.0000", "leak": "1.0000"}.get(name, "0.0000")
        first, *others = row.split(name)[1].split()
        assert row.strip().startswith(name)
        assert (first == to_content) == (name not in (*STYLE_LAYERS, *PATCH_LAYERS, "usage"))
        assert len(others) == figures.get(name, 1) - 1


def test_json_has_the_same_unrounded(command: Command) -> None:
    report = command("score", "c.png", *ORIGINALS, "--json").json
    first = ["width", "height", "content", "style", "ssim", "color"]
    assert list(report) == [*first, "nearness", "usage", "leak"]
    assert (report["width"], report["height"]) == (64, 53)
    assert report["content"] == dict.fromkeys([*CONTENT_LAYERS, "mean"], 0)
    assert list(report["style"]) == [*STYLE_LAYERS, "mean"]
    assert report["ssim"] == 1
    assert report["color"]["content"] == pytest.approx(0, abs=1e-6)
    assert report["color"]["style"] > 0.01
    assert list(report["nearness"]) == [*PATCH_LAYERS, "mean"]
    assert 0.05 < report["nearness"]["mean"] < 2
    assert 0 < report["usage"] < 1
    assert report["leak"] == pytest.approx(1)


def test_a_picture_of_any_size_format_and_tool_is_taken(command: Command) -> None:
    Image.open("c.png").resize((96, 80)).save("other.webp", lossless=True)
    report = command("score", "other.webp", *ORIGINALS, "--json").json
    assert report["ssim"] > 0.95
    assert 0 < report["content"]["mean"] < 0.1


@pytest.mark.slow
def test_several_styles_blend_by_their_weights(command: Command) -> None:
    noise().save("n.png")

    def style_distance(*styles: str) -> float:
        options = [word for style in styles for word in ("--style", style)]
        arguments = ("score", "s.png", "--content", "s.png", *options, "-s", "64", "--json")
        return float(command(*arguments).json["style"]["mean"])

    assert 0 < style_distance("s.png:3", "n.png") < style_distance("s.png", "n.png:3")


def test_the_painting_itself_is_near_and_all_of_it_is_used(command: Command) -> None:
    arguments = ("s.png", "--content", "s.png", "--style", "s.png", "-s", "64", "--json")
    report = command("score", *arguments).json
    assert report["nearness"]["mean"] == pytest.approx(0, abs=1e-5)
    assert report["usage"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.png", *ORIGINALS), "no such file: no.png"),
        (("c.png", "--content", "no.png", "--style", "s.png"), "no such file: no.png"),
        (("c.png", "--content", "c.png", "--style", "no.png:2"), "no such file: no.png"),
        (
            ("s.png", *ORIGINALS),
            "the picture is 40 x 48 pixels and the content image 48 x 40: "
            "they must have the same proportions; crop one of them",
        ),
        (
            ("wide.png", "--content", "wide.png", "--style", "s.png", "-s", "64"),
            "the content image is 300 x 40 pixels: at size 64 its shorter side would have 9; "
            "use --size 240 or more",
        ),
    ],
)
def test_mistakes_are_named(command: Command, arguments: tuple[str, ...], message: str) -> None:
    noise(300, 40).save("wide.png")
    done = command("score", *arguments)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")


def test_the_inputs_stay_as_they_are(command: Command) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    command("score", "c.png", *ORIGINALS)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_what_does_not_fit_is_known_before(command: Command) -> None:
    done = command("score", "c.png", *ORIGINALS[:-1], "1024", "--memory", "1100m")
    assert done.code == 3
    assert done.err == (
        "Error: 1024 x 853 pixels need about 3.4 GiB of memory and 1.1 GiB are there; "
        "try --size 160\n"
    )
