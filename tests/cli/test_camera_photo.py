"""A photo as a camera writes it: 24 million pixels, lying on its side, with the maker's note."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.conftest import CHELSEA
from tests.pictures import camera_exif

pytestmark = pytest.mark.slow

SIDE = "64"
TRAINING = """
generator: {kind: transformer, width: 2, blocks: 1, kernel: 3}
content: {layers: {conv1_2: 1.0}}
style: {size: 64, layers: {conv1_1: 1.0}}
training: {steps: 2, batch: 1, crop: 32}
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    with Image.open(CHELSEA) as photo:
        large = photo.resize((6000, 4000), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=92, exif=camera_exif(orientation=6))
    return buffer.getvalue()


@pytest.fixture
def camera(content: bytes, folder: Path) -> Path:
    """photos/DSC_0001.JPG, upright 4000 x 6000."""
    (folder / "photos").mkdir()
    (folder / "photos" / "DSC_0001.JPG").write_bytes(content)
    (folder / "photos" / "small.png").write_bytes((folder / "c.png").read_bytes())
    (folder / "t.yaml").write_text(TRAINING)
    return Path("photos/DSC_0001.JPG")


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (("transfer", "{}", "s.png", "-p", "p.yaml", "-s", SIDE), (43, 64)),
        (("transfer", "c.png", "{}", "-p", "p.yaml", "-s", SIDE), (64, 53)),
        (("stylize", "{}", "--style", "mosaic", "-s", SIDE), (43, 64)),
        (("texture", "{}", "-n", "1", "-s", "64x48"), (64, 48)),
        (("dream", "{}", "-n", "1", "-s", SIDE), (43, 64)),
        (("reconstruct", "content", "{}", "--layer", "conv1_1", "-n", "1", "-s", SIDE), (43, 64)),
        (("reconstruct", "style", "{}", "--layer", "conv1_1", "-n", "1", "-s", SIDE), None),
        (("inspect", "{}", "-s", SIDE), None),
        (("sheet", "{}", "s.png", "-p", "p.yaml", "-s", SIDE), None),
    ],
    ids=lambda value: " ".join(map(str, value[:2])) if value else "",
)
def test_commands_that_make_a_picture(
    camera: Path, command: Command, arguments: tuple[str, ...], size: tuple[int, int] | None
) -> None:
    done = command(*(argument.format(camera) for argument in arguments), "-o", "out.png")
    assert done.code == 0, done.err
    assert size is None or Image.open("out.png").size == size


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "photos", "--style", "mosaic", "-s", SIDE, "-o", "out"),
        ("batch", "photos", "--style", "s.png", "-p", "p.yaml", "-s", SIDE, "-o", "out"),
        ("score", "{}", "s.png", "--content", "{}", "-s", SIDE),
        ("calibrate", "photos", "-o", "means.safetensors"),
        ("train", "s.png", "--data", "photos", "-p", "t.yaml", "-o", "m.safetensors"),
        ("train", "{}", "--data", "photos", "-p", "t.yaml", "-o", "m.safetensors"),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_other_commands(camera: Path, command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*(argument.format(camera) for argument in arguments))
    assert done.code == 0, done.err


def test_a_network_paints_all_of_it(camera: Path, command: Command) -> None:
    """In tiles, where it does not fit as a whole."""
    done = command("stylize", camera, "--style", "mosaic", "-s", "1500", "--memory", "600m", "-q")
    assert (done.code, done.err) == (0, "")
    assert Image.open("DSC_0001_mosaic.png").size == (1000, 1500)
