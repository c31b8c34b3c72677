"""Every mistake is one line on stderr that names what, which value and what to do, and a code."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from styleforge.jobs.mistakes import known_styles
from styleforge.presets.transfer import shipped_presets
from tests.cli.conftest import Command
from tests.pictures import noise

SUFFIXES = ".png, .jpg, .jpeg, .webp, .tif, .tiff"
PRESETS = ", ".join(shipped_presets())


def encoded(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def bad_files() -> dict[str, bytes]:
    return {
        "text.jpg": b"this is not a photo",
        "empty.png": b"",
        "cut.jpg": encoded(noise(200, 200), "JPEG")[:9000],
        "cut.png": encoded(noise(200, 200), "PNG")[:9000],
        "tiny.png": encoded(noise(5, 5), "PNG"),
        "black.png": encoded(Image.new("L", (48, 40)), "PNG"),
        "low.png": encoded(noise(400, 20), "PNG"),
        "there.png": b"mine",
        "octal.yaml": b"seed: 1\nsize: 060",
        "broken.yaml": b"size: 5\n  tv: 1",
        "list.yaml": b"- 1",
        "wrong.yaml": b"sise: 48\ntv: -1\nstyle: {layers: {conv6_1: 1}}",
    }


@pytest.fixture
def bad(folder: Path, bad_files: dict[str, bytes]) -> Path:
    """The working directory, with all kinds of bad input in it."""
    for name, content in bad_files.items():
        (folder / name).write_bytes(content)
    (folder / "dir").mkdir()
    (folder / "dir.png").mkdir()
    return folder


LONG = "x" * 300
TOO_LONG = ".safetensors cannot be read (file name too long)"
TRANSFER = ("transfer", "c.png", "s.png", "-p", "p.yaml")


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # inputs
        (("transfer", "no.jpg", "s.png"), "no such file: no.jpg"),
        (("transfer", "c.png", "no.jpg"), "no such file: no.jpg"),
        (("transfer", "c.png", "s.png:1", "no.jpg:0.5"), "no such file: no.jpg"),
        (("transfer", "text.jpg", "s.png"), "text.jpg is not an image that can be read"),
        (("transfer", "c.png", "empty.png"), "empty.png is not an image that can be read"),
        (
            ("transfer", "dir", "s.png"),
            "dir is a folder; use styleforge batch dir to paint all photos in it",
        ),
        (
            ("transfer", "c.png", "dir.png"),
            "dir.png is a folder; use styleforge sheet to paint after each painting in it",
        ),
        (
            ("transfer", "c.png", "cafe-terrace"),
            "cafe-terrace is a trained style, not a painting; "
            "use styleforge stylize PHOTO --style cafe-terrace",
        ),
        (
            ("stylize", "c.png", "--style", "s.png"),
            "s.png is a file, not a trained style; use styleforge transfer PHOTO s.png",
        ),
        (
            ("stylize", "dir", "--style", "cafe-terrace"),
            "dir is a folder; use styleforge batch dir to paint all photos in it",
        ),
        (
            ("transfer", "c.png", "s.png", "-p", "johnson"),
            f"johnson is a preset of styleforge train; here there are {PRESETS}",
        ),
        (
            ("stylize", "c.png"),
            f"name a style, as in --style starry; there are {', '.join(known_styles())} "
            "(styleforge styles PHOTO shows them)",
        ),
        (
            ("transfer", "tiny.png", "s.png"),
            "tiny.png is 5 x 5 pixels; both sides must have at least 32",
        ),
        (
            ("transfer", "c.png", "low.png"),
            "low.png is 400 x 20 pixels; both sides must have at least 32",
        ),
        (("transfer", "x" * 300, "s.png"), f"{'x' * 300} cannot be read (file name too long)"),
        (("transfer", "c.png", "x" * 300), f"{'x' * 300} cannot be read (file name too long)"),
        (
            ("transfer", "c.png", "s.png:0"),
            "s.png:0: the weight of a style must be positive (not 0)",
        ),
        (
            ("transfer", "c.png", "s.png:-2"),
            "s.png:-2: the weight of a style must be positive (not -2)",
        ),
        (("transfer", "c.png", "s.png:lots"), "no such file: s.png:lots"),
        ((*TRANSFER, "--init", "no.png"), "no such file: no.png"),
        (
            (*TRANSFER, "-s", "33"),
            "the content image is 48 x 40 pixels: at size 33 its shorter side would have 28; "
            "use --size 39 or more",
        ),
        # settings
        (
            ("transfer", "c.png", "s.png", "-p", "blod"),
            f"unknown preset 'blod' (did you mean bold?); there are {PRESETS}, "
            "or give the path of a .yaml file",
        ),
        (("transfer", "c.png", "s.png", "-p", "no.yaml"), "no such preset file: no.yaml"),
        (
            ("transfer", "c.png", "s.png", "-p", "broken.yaml"),
            "broken.yaml is not a readable preset: mapping values are not allowed here in "
            '"<unicode string>", line 2, column 5: tv: 1 ^',
        ),
        (
            ("transfer", "c.png", "s.png", "-p", "list.yaml"),
            "list.yaml is not a preset: it should map names to settings",
        ),
        (
            ("transfer", "c.png", "s.png", "-p", "wrong.yaml"),
            "wrong.yaml: style.layers.conv6_1: unknown layer (did you mean conv5_1?); "
            "tv: input should be greater than or equal to 0 (not -1); "
            "sise: unknown key (did you mean size?)",
        ),
        (
            ("transfer", "c.png", "s.png", "-p", "octal.yaml"),
            "octal.yaml is not a readable preset: line 2: YAML reads 060 as 48; write 48, "
            "or what is meant",
        ),
        (
            (*TRANSFER, "--set", "size=060"),
            "--set size=060: line 1: YAML reads 060 as 48; write 48, or what is meant",
        ),
        (
            (*TRANSFER, "--style-layer", "conv1_9=0.5"),
            "p.yaml: style.layers.conv1_9: unknown layer (did you mean conv1_2?)",
        ),
        (
            (*TRANSFER, "--statistic", "median"),
            "p.yaml: style.statistic: input should be 'gram', 'mean-std', 'covariance' or "
            "'sliced-wasserstein' (not 'median')",
        ),
        (
            (*TRANSFER, "--colors", "both"),
            "p.yaml: colors: input should be 'style', 'content', 'luminance' or "
            "'keep' (not 'both')",
        ),
        (
            ("transfer", "c.png", "s.png@conv1_9", "-p", "p.yaml"),
            "conv1_9: unknown layer (did you mean conv1_2?)",
        ),
        (
            ("transfer", "c.png", "s.png@conv3_1", "-p", "p.yaml"),
            "conv3_1 is not one of the style layers, conv1_1; choose them with --style-layer",
        ),
        (
            ("transfer", "c.png", "s.png@conv1_1", "-p", "p.yaml", "--style-layer", "conv2_1"),
            "conv1_1 is not one of the style layers, conv2_1; choose them with --style-layer",
        ),
        ((*TRANSFER, "--mask", "no.png"), "no such file: no.png"),
        (
            (*TRANSFER, "--mask", "s.png"),
            "s.png is 40 x 48 pixels, which is not the shape of the content image (48 x 40); "
            "cut it the same way",
        ),
        (
            (*TRANSFER, "--mask", "black.png"),
            "black.png is black everywhere: paint white where the style goes",
        ),
        (
            (*TRANSFER, "--mask", "c.png", "--mask", "c.png"),
            "masks and styles differ in number (2 and 1): "
            "give one mask for each style, in the same order",
        ),
        (
            (*TRANSFER, "--mask", "c.png", "--statistic", "sliced-wasserstein"),
            "masks do not go with the statistic sliced-wasserstein; use another statistic",
        ),
        (
            (*TRANSFER, "--style-mask", "c.png"),
            "c.png is 48 x 40 pixels, which is not the shape of the style image (40 x 48); "
            "cut it the same way",
        ),
        (
            (*TRANSFER, "--style-mask", "s.png", "--style-mask", "s.png"),
            "style masks and styles differ in number (2 and 1): give one for each style, "
            "in the same order; a white one leaves all of it",
        ),
        (
            (*TRANSFER, "--source-map", "map.png"),
            "--source-map shows where neighbors came from, and p.yaml takes none; "
            "use --preset painterly, or --neighbors 100",
        ),
        (
            (*TRANSFER, "--neighbors", "1", "-o", "a.png", "--source-map", "a.png"),
            "a.png: --source-map and --output are the same file",
        ),
        (
            (*TRANSFER, "--neighbors", "1", "--source-map", "map.gif"),
            "map.gif: the name must end in one of .png, .jpg, .jpeg, .webp, .tif, .tiff",
        ),
        (
            (*TRANSFER, "--strength", "1.5"),
            "p.yaml: strength: input should be less than or equal to 1 (not 1.5)",
        ),
        (
            ("transfer", "c.png", "s.png@conv1_1", "-p", "p.yaml", "--neighbors", "1"),
            "layers for each style are for Gram matrices, and this preset also takes neighbors, "
            "whose layers belong together; use --preset gram, or --neighbors 0",
        ),
        (
            (*TRANSFER, "--content-layer", "conv4_2=lots"),
            "p.yaml: content.layers.conv4_2: input should be a valid number, "
            "unable to parse string as a number (not 'lots')",
        ),
        (
            (*TRANSFER, "--optimizer", "sgd"),
            "p.yaml: optimizer.name: input should be 'lbfgs' or 'adam' (not 'sgd')",
        ),
        (
            (*TRANSFER, "--pooling", "mean"),
            "p.yaml: network.pooling: input should be 'avg' or 'max' (not 'mean')",
        ),
        (
            (*TRANSFER, "--beta", "-1", "--tv", "-2", "-n", "-3"),
            "p.yaml: style.beta: input should be greater than or equal to 0 (not -1.0); "
            "tv: input should be greater than or equal to 0 (not -2.0); "
            "optimizer.steps: input should be greater than or equal to 0 (not -3)",
        ),
        (
            (*TRANSFER, "--alpha", "0", "--beta", "0"),
            "p.yaml: content.alpha and style.beta are both 0: nothing to optimize for",
        ),
        (
            (*TRANSFER, "--beta", "1e38"),
            "the loss of the initial image is not finite; use smaller weights",
        ),
        ((*TRANSFER, "--depth", "12"), "--depth is 8 or 16 (not 12)"),
        ((*TRANSFER, "--memory", "8"), "--memory is a size such as 8GiB or 500MiB (not '8')"),
        ((*TRANSFER, "--memory", "0g"), "--memory is a size such as 8GiB or 500MiB (not '0g')"),
        (
            (*TRANSFER, "-d", "gpu"),
            "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps",
        ),
        ((*TRANSFER, "-d", "cuda"), "device cuda is not available here; use --device cpu"),
        ((*TRANSFER, "-d", "cuda:3"), "device cuda:3 is not available here; use --device cpu"),
        # outputs
        ((*TRANSFER, "-o", "out.bmp"), f"out.bmp: the name must end in one of {SUFFIXES}"),
        ((*TRANSFER, "-o", "out"), f"out: the name must end in one of {SUFFIXES}"),
        ((*TRANSFER, "-o", "dir"), f"dir: the name must end in one of {SUFFIXES}"),
        ((*TRANSFER, "-o", "dir.png", "-f"), "dir.png is a directory; name a file"),
        ((*TRANSFER, "-o", "no/out.png"), "no such folder: no"),
        ((*TRANSFER, "-o", "there.png"), "there.png exists; use --force to overwrite it"),
        (
            (*TRANSFER, "-o", "c.png", "-f"),
            "c.png is one of the inputs; choose another output",
        ),
        (
            (*TRANSFER, "-o", "dir/../s.png", "-f"),
            "dir/../s.png is one of the inputs; choose another output",
        ),
        (
            (*TRANSFER, "-o", "out.jpg", "--depth", "16"),
            "out.jpg: 16 bits need a .png or .tif file",
        ),
        (
            (*TRANSFER, "-o", "-", "--json"),
            "--json and -o - both want standard output; name an output file",
        ),
        (
            (*TRANSFER, "-o", "-", "--save-every", "2"),
            "--save-every needs an output file, not standard output",
        ),
        (
            (*TRANSFER, "-o", f"{'x' * 260}.png"),
            f"{'x' * 260}.png: the name is too long; 255 bytes are the limit",
        ),
        # the other commands
        *(
            (arguments, f"{LONG}{said}")
            for arguments, said in (
                (("transfer", "c.png", "s.png", "-p", f"{LONG}.yaml"), ".yaml: file name too long"),
                (("models", "info", f"{LONG}.safetensors"), TOO_LONG),
                (("texture", "-m", f"{LONG}.safetensors"), TOO_LONG),
            )
        ),
        *(
            ((*arguments, "--seed", str(10**23)), f"--seed is from 0 to 2^63 - 1 (not {10**23})")
            for arguments in (
                ("texture", "s.png"),
                ("dream", "c.png"),
                ("reconstruct", "content", "c.png"),
                ("stylize", "c.png", "--style", "mosaic"),
            )
        ),
        (("info", "no.png"), "no such file: no.png"),
        (("info", "c.png"), "c.png holds no styleforge recipe"),
        (("rerun", "no.png", "-o", "out.png"), "no such file: no.png"),
        (("rerun", "c.png", "-o", "out.png"), "c.png holds no styleforge recipe"),
        (("calibrate", "no", "-o", "m.safetensors"), "no such folder: no"),
        (("calibrate", "dir", "-o", "m.safetensors"), "no photographs in dir"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, tuple) else "",
)
def test_a_mistake(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    before = {path: path.stat().st_mtime_ns for path in Path().iterdir()}
    done = command(*arguments)
    assert done.err == f"Error: {message}\n"
    assert done.code == 2
    assert done.out == b"" if "--json" not in arguments else done.json["error"] == message
    assert {path: path.stat().st_mtime_ns for path in Path().iterdir()} == before


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize("name", ["cut.jpg", "cut.png"])
def test_a_truncated_image(command: Command, name: str) -> None:
    for arguments in (("transfer", name, "s.png"), ("transfer", "c.png", name)):
        done = command(*arguments)
        assert done.err.startswith(f"Error: {name} is damaged or cut short (")
        assert done.err.count("\n") == 1
        assert done.code == 2


@pytest.mark.slow
def test_an_image_of_100_000_pixels_by_40(command: Command) -> None:
    Image.fromarray(np.zeros((40, 100_000), np.uint8)).save("wide.png")
    reason = "is 100000 x 40 pixels: its longer side may be at most 16 times its shorter; crop it"
    for arguments, what in (
        (("wide.png", "s.png"), "the content image"),
        (("c.png", "wide.png"), "a style image"),
    ):
        done = command("transfer", *arguments, "-p", "p.yaml")
        assert done.err == f"Error: {what} {reason}\n"
        assert done.code == 2


def test_an_image_that_may_not_be_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the superuser every file is readable, so both checks are simulated."""

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.R_OK)
    monkeypatch.setattr(Image, "open", refuse)
    done = command("transfer", "c.png", "s.png")
    assert done.err == "Error: c.png may not be read (permission denied)\n"
    assert done.code == 2


def test_an_unwritable_folder(transfer: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.W_OK)
    done = transfer("-o", "out.png")
    assert done.err == "Error: the folder . may not be written to\n"
    assert done.code == 2


def test_no_space(transfer: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 2 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    done = transfer("-o", "out.png", "-s", "1024")
    assert done.err == "Error: no space in .: 2 MiB free, 3 MiB needed\n"
    assert done.code == 2


def test_weights_that_are_missing(transfer: Command) -> None:
    done = transfer("--weights", "no.pth")
    assert done.err == (
        "Error: no weights file no.pth; --weights takes auto, original, torchvision or a file\n"
    )
    assert done.code == 4


class Evil:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


@pytest.mark.parametrize("name", ["noise.pth", "evil.pth", "noise.safetensors"])
def test_weights_that_are_damaged(transfer: Command, name: str) -> None:
    if name == "evil.pth":
        torch.save({"features.0.weight": Evil()}, name)
    else:
        Path(name).write_bytes(bytes(range(256)) * 20)
    done = transfer("--weights", name)
    assert done.err.startswith(f"Error: {name} is not a readable weights file: ")
    assert done.err.count("\n") == 1
    assert (done.code, done.out) == (4, b"")


def test_weights_of_another_network(transfer: Command) -> None:
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, "small.safetensors")
    done = transfer("--weights", "small.safetensors")
    assert done.err.startswith(
        "Error: small.safetensors is not a VGG-19 in torchvision's layout: features.0"
    )
    assert done.err.count("\n") == 1
    assert done.code == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transfer",), "Missing argument"),
        (("transfer", "c.png"), "name a painting, too"),
        (("transfer", "c.png", "s.png", "--color"), "No such option: --color"),
        (("transfer", "c.png", "s.png", "--size", "big"), "'--size'"),
        (("transfer", "c.png", "s.png", "--save-every", "-1"), "'--save-every'"),
        (("rerun", "c.png"), "with --output"),
        (("calibrate", "."), "'--output'"),
        (("presets", "show"), "Missing argument"),
        (("paint",), "No such command 'paint'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_typer_refuses(command: Command, arguments: tuple[str, ...], message: str) -> None:
    done = command(*arguments)
    assert message in done.err
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert (done.code, done.out) == (2, b"")


def test_a_bug_keeps_its_traceback(transfer: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("styleforge.jobs.transfer.plan", broken)
    with pytest.raises(ZeroDivisionError):
        transfer("-o", "out.png")


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (("dream", "-s", "32000"), "32000 x 32000"),
        (("dream", "c.png", "-s", "32000"), "32000 x 26667"),
        (("inspect", "c.png", "-s", "32000"), "32000 x 26667"),
        (("reconstruct", "content", "c.png", "--layer", "conv4_2", "-s", "32000"), "32000 x 26667"),
        (("texture", "s.png", "-s", "99999"), "100000 x 100000"),
        (("stylize", "c.png", "--style", "mosaic", "-s", "32768"), "32768 x 27307"),
        (("transfer", "c.png", "s.png", "-p", "p.yaml", "-s", "8192"), "8192 x 6827"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_every_command_plans_its_memory(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], size: str
) -> None:
    for module in ("core.devices", "transfers.estimate", "jobs.painters", "jobs.inspect"):
        monkeypatch.setattr(f"styleforge.{module}.free_memory", lambda _: 2**30)
    done = command(*arguments, "-d", "cpu", "-o", "out.png")
    assert done.code == 3
    assert re.fullmatch(
        rf"Error: {size} pixels need about [\d.]+ GiB of memory and 1\.\d GiB are there; "
        r"try --size \d+\n",
        done.err,
    ), done.err
    assert not Path("out.png").exists()
