from __future__ import annotations

import base64
import functools
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from styleforge.images.load import load_image
from styleforge.networks.model_file import ModelInfo, ModelStyle, build, load_info, save_model
from styleforge.networks.transformer import style_parameters
from styleforge.presets.networks import TextureSettings, TransformerSettings
from tests.cli.conftest import Command
from tests.networks.magenta_file import write_magenta
from tests.pictures import opened

TINY = TransformerSettings(width=2, blocks=1, kernel=3)
TINY_TEXTURE = TextureSettings(scales=3, width=2)


@functools.cache
def model_file(
    settings: TransformerSettings | TextureSettings, styles: tuple[str, ...], seed: int
) -> bytes:
    """A model of random weights whose styles differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(settings, len(styles))
        for parameter in style_parameters(network):
            torch.nn.init.normal_(parameter)
    info = ModelInfo(
        generator=settings,
        styles=[ModelStyle(name=name) for name in styles],
        recipe={"steps": 7},
        licence="CC0",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        save_model(path, info, network)
        return path.read_bytes()


def write_model(
    path: Path,
    settings: TransformerSettings | TextureSettings = TINY,
    *,
    styles: tuple[str, ...] = ("cafe", "harvest"),
    seed: int = 0,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_file(settings, styles, seed))


def model_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are looked for by name; those that ship are looked for in shipped/models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setattr(
        "styleforge.core.resources.resource", lambda name: folder / "shipped" / name
    )
    return folder / "data" / "styleforge" / "models"


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return model_folder(folder, monkeypatch)


def test_the_list_has_the_users_models_and_those_that_ship(home: Path, command: Command) -> None:
    write_model(home / "mine.safetensors")
    write_model(home / "wood.safetensors", TINY_TEXTURE, styles=("oak",))
    write_model(Path("shipped/models/ours.safetensors"), styles=("cafe-terrace",))
    (home / "broken.safetensors").write_bytes(b"junk")
    (home / "notes.txt").write_text("")
    done = command("models")
    assert [row.split() for row in done.text.splitlines()] == [
        ["model", "kind", "styles"],
        ["mine", "transformer", "cafe,", "harvest"],
        ["wood", "texture", "oak"],
        ["ours", "transformer", "cafe-terrace"],
    ]
    assert (done.code, done.err) == (0, f"More are looked for in {home}\n")


def test_the_list_of_none(home: Path, command: Command) -> None:
    done = command("models")
    assert (done.code, done.text) == (0, "none yet\n")
    assert done.err == f"More are looked for in {home}\n"


def test_a_models_name_is_not_taken_for_markup(home: Path, command: Command) -> None:
    write_model(home / "a[bold]b.safetensors", styles=("[red]x",))
    assert command("models").text.splitlines()[1].split() == ["a[bold]b", "transformer", "[red]x"]


def test_info_shows_what_a_model_says_of_itself(command: Command) -> None:
    write_model(Path("m.safetensors"))
    done = command("models", "info", "m.safetensors")
    assert yaml.safe_load(done.text) == {
        "file": "m.safetensors",
        "format": 1,
        "generator": {
            "kind": "transformer",
            "width": 2,
            "blocks": 1,
            "kernel": 3,
            "output": "sigmoid",
            "filters": None,
            "normalized_output": False,
            "underpainting": False,
        },
        "styles": ["cafe", "harvest"],
        "recipe": {"steps": 7},
        "licence": "CC0",
    }
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("name", ["mine", "harvest"])
def test_info_finds_a_model_by_its_name_or_a_styles(
    home: Path, command: Command, name: str
) -> None:
    write_model(home / "mine.safetensors")
    shown = yaml.safe_load(command("models", "info", name).text)
    assert shown["file"] == str(home / "mine.safetensors")


def test_info_json_has_the_thumbnails_too(command: Command) -> None:
    picture = load_image("s.png")
    info = ModelInfo(generator=TINY, styles=[ModelStyle.of("cafe", picture)])
    save_model(Path("m.safetensors"), info, build(TINY, 1))
    shown = command("models", "info", "--json", "m.safetensors").json
    assert ModelInfo.model_validate(shown) == info
    assert shown["styles"][0]["sha256"] == picture.sha256
    thumbnail = opened(base64.b64decode(shown["styles"][0]["thumbnail"]))
    assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 128)


def test_info_of_a_name_that_is_unknown(home: Path, command: Command) -> None:
    done = command("models", "info", "cafe")
    assert done.err == (
        "Error: no model or style 'cafe'; none are installed; "
        "give the path of a .safetensors file\n"
    )
    assert (done.code, done.out) == (4, b"")
    write_model(home / "mine.safetensors")
    done = command("models", "info", "caffe")
    assert done.err == (
        "Error: no model or style 'caffe' (did you mean cafe?); "
        "there are mine, cafe, harvest, or give the path of a .safetensors file\n"
    )
    assert done.code == 4


def example_state() -> dict[str, Tensor]:
    """What a .pth of pytorch/examples' fast_neural_style holds."""
    state = {}

    def add(name: str, filters: int, channels: int, kernel: int, norm: str) -> None:
        state[f"{name}.conv2d.weight"] = 0.01 * torch.ones(filters, channels, kernel, kernel)
        state[f"{name}.conv2d.bias"] = torch.zeros(filters)
        if norm:
            state[f"{norm}.weight"] = state[f"{norm}.bias"] = torch.ones(filters)

    add("conv1", 32, 3, 9, "in1")
    add("conv2", 64, 32, 3, "in2")
    add("conv3", 128, 64, 3, "in3")
    for i in range(1, 6):
        for j in (1, 2):
            add(f"res{i}.conv{j}", 128, 128, 3, f"res{i}.in{j}")
    add("deconv1", 64, 128, 3, "in4")
    add("deconv2", 32, 64, 3, "in5")
    add("deconv3", 3, 32, 9, "")
    return state


def test_an_imported_style_needs_a_proper_name(command: Command) -> None:
    done = command("models", "import", "x.pth", "-o", "m.safetensors", "--style", "My Style")
    assert (done.code, done.err) == (
        2,
        "Error: 'My Style': a style's name has small letters, digits and hyphens\n",
    )


def test_an_imported_network_stylizes(command: Command) -> None:
    torch.save(example_state(), "Mosaic 2.pth")
    done = command("models", "import", "Mosaic 2.pth", "-o", "m.safetensors")
    assert (done.code, done.out) == (0, b"")
    assert re.fullmatch(r"Saved m.safetensors in \d+\.\d s\n", done.err)
    assert done.next == "styleforge stylize PHOTO --model m.safetensors"
    info = load_info(Path("m.safetensors"))
    assert [style.name for style in info.styles] == ["mosaic-2"]
    assert info.recipe == {"imported_from": "Mosaic 2.pth"}
    named = ("--style", "tiles", "-f")
    assert command("models", "import", "Mosaic 2.pth", "-o", "m.safetensors", *named).code == 0
    done = command("stylize", "c.png", "-m", "m.safetensors", "-o", "out.png")
    assert done.code == 0
    assert done.err.endswith("model m, style tiles\n")


DAMAGED = "x.pth is damaged, or holds other things than tensors"
FOREIGN = "x.pth is not a network of pytorch/examples' fast_neural_style"


class Evil:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk", DAMAGED),
        (b"", DAMAGED),
        (Evil(), DAMAGED),
        ([torch.ones(1)], FOREIGN),
        ({"a": torch.ones(1)}, FOREIGN),
        (lambda: {**example_state(), "conv1.conv2d.bias": torch.zeros(31)}, FOREIGN),
        (lambda: {**example_state(), "conv1.conv2d.weight": 1.5}, FOREIGN),
        (None, "no such file: x.pth"),
    ],
    ids=["junk", "empty", "code", "list", "other names", "other shape", "number", "missing"],
)
def test_an_import_that_is_refused(command: Command, content: Any, message: str) -> None:
    if isinstance(content, bytes):
        Path("x.pth").write_bytes(content)
    elif content is not None:
        torch.save(content() if callable(content) else content, "x.pth")
    done = command("models", "import", "x.pth", "-o", "m.safetensors")
    assert done.err == f"Error: {message}\n"
    assert (done.code, done.out) == (4, b"")
    assert not Path("m.safetensors").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("m.pth", "m.pth: a model's name must end in .safetensors"),
        ("no/m.safetensors", "no such folder: no"),
        ("there.safetensors", "there.safetensors exists; use --force to overwrite it"),
        ("d.safetensors", "d.safetensors is a directory; name a file"),
    ],
)
def test_an_import_checks_its_output_first(command: Command, output: str, message: str) -> None:
    Path("there.safetensors").write_bytes(b"mine")
    Path("d.safetensors").mkdir()
    done = command("models", "import", "no.pth", "-o", output)
    assert (done.code, done.err) == (2, f"Error: {message}\n")
    assert Path("there.safetensors").read_bytes() == b"mine"


def test_a_folder_is_no_model(command: Command) -> None:
    Path("d.safetensors").mkdir()
    done = command("models", "info", "d.safetensors")
    assert done.err.startswith("Error: d.safetensors is not a whole .safetensors file (")
    assert done.err.count("\n") == 1
    assert done.code == 4


def test_many_styles_are_imported_from_onnx(command: Command) -> None:
    write_magenta(Path("many.onnx"))
    done = command("models", "import", "many.onnx", "-o", "m.safetensors", "--style", "art")
    assert done.code == 0
    assert done.next == "styleforge stylize PHOTO --model m.safetensors"
    mixed = ("--style", "art-2:2", "--style", "art-0:1")
    assert command("stylize", "c.png", "-m", "m.safetensors", *mixed, "-o", "o.png").code == 0
    assert command("rerun", "o.png", "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("o.png").read_bytes()
