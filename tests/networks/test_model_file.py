from __future__ import annotations

import base64
import io
import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from styleforge.core.errors import ModelError, UsageError
from styleforge.core.files import file_sha256
from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.networks.model_file import (
    FORMAT,
    Model,
    ModelInfo,
    ModelStyle,
    check_model_output,
    load_info,
    load_model,
    save_model,
    widened,
)
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import TransformerNetwork, one_style
from styleforge.presets.networks import TextureSettings, TransformerSettings
from tests.conftest import CAFE
from tests.networks.small_models import TRANSFORMER, described, random_network, saved

TEXTURE = TextureSettings(scales=2, width=2)
KEY = "styleforge"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file of the styles night and day."""
    path = tmp_path / "small.safetensors"
    saved(path)
    return path


def picture() -> Tensor:
    return torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(1))


def error_of(path: Path) -> str:
    """What is said of a file that is not read."""
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 4
    return message


@pytest.mark.parametrize(
    "generator",
    [TRANSFORMER, TransformerSettings(width=3, blocks=0, output="clamp"), TEXTURE],
    ids=["transformer", "clamp", "texture"],
)
def test_a_file_gives_back_the_same_network_bit_for_bit(
    tmp_path: Path, generator: TransformerSettings | TextureSettings
) -> None:
    info = described("night", generator=generator)
    network, path = random_network(info), tmp_path / "a.safetensors"
    save_model(path, info, network)
    model = load_model(path)
    expected, found = network.state_dict(), model.network.state_dict()
    assert list(found) == list(expected)
    assert all(
        found[name].equal(x) and found[name].dtype == x.dtype for name, x in expected.items()
    )
    assert type(model.network) is type(network)
    assert model.info == info
    again = tmp_path / "again.safetensors"
    save_model(again, model.info, model.network)
    assert again.read_bytes() == path.read_bytes()


def test_a_loaded_network_does_what_the_saved_one_did(path: Path) -> None:
    model = load_model(path)
    with torch.no_grad():
        expected = random_network(model.info)(picture(), one_style(1, 2))
    torch.testing.assert_close(model.network(picture(), one_style(1, 2)), expected)


def test_a_loaded_network_is_ready_to_be_applied(path: Path) -> None:
    model = load_model(path)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert (model.name, model.path, model.sha256) == ("small", path, file_sha256(path))


def test_loading_leaves_the_random_numbers_alone(path: Path) -> None:
    before = torch.get_rng_state()
    load_model(path)
    assert torch.get_rng_state().equal(before)


@pytest.mark.slow
def test_loading_imports_no_symbolic_mathematics(path: Path) -> None:
    """Which takes as long as all the rest of ``stylize``."""
    code = (
        "import sys; from pathlib import Path; sys.modules['sympy'] = None; "
        "from styleforge.networks.model_file import load_model; load_model(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_weights_in_half_precision_are_read_as_float32(path: Path) -> None:
    info = load_info(path)
    halves = {name: x.half() for name, x in random_network(info).state_dict().items()}
    save_file(halves, path, {KEY: info.model_dump_json()})
    assert {x.dtype for x in load_model(path).network.parameters()} == {torch.float32}


def test_the_description_is_kept(tmp_path: Path) -> None:
    info = ModelInfo(
        generator=TRANSFORMER,
        styles=[ModelStyle(name="Nuit étoilée", sha256="ab" * 32, thumbnail="Zm9v")],
        recipe={"steps": 3, "settings": {"layers": {"conv1_1": 0.25}}, "device": "cpu"},
        licence="CC0: © José",
    )
    path = tmp_path / "a.safetensors"
    save_model(path, info, random_network(info))
    assert load_info(path) == load_model(path).info == info


def test_a_style_has_a_small_jpeg_of_its_picture() -> None:
    painting = load_image(CAFE)
    style = ModelStyle.of("café", painting)
    image = Image.open(io.BytesIO(base64.b64decode(style.thumbnail, validate=True)))
    assert (style.name, style.sha256) == ("café", file_sha256(CAFE))
    assert (image.format, max(image.size)) == ("JPEG", 128)
    expected = (255 * resize(painting.pixels, image.size)[0]).permute(1, 2, 0)
    found = torch.tensor(image.convert("RGB").get_flattened_data()).view_as(expected)
    assert (found - expected).abs().mean() < 8
    assert style.thumbnail not in repr(style)


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert error_of(path) == f"no such model file: {path}"


def check_is_not_whole(path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    reason = caught.value.__context__
    assert str(caught.value) == f"{path} is not a whole .safetensors file ({reason})"
    assert "\n" not in str(caught.value)
    assert str(reason)


@pytest.mark.parametrize("content", [b"", b"text\n", b"a longer text " * 100, bytes(100)], ids=len)
def test_a_file_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    check_is_not_whole(path)


def test_a_folder(tmp_path: Path) -> None:
    check_is_not_whole(tmp_path)


def test_a_file_cut_short_anywhere(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        check_is_not_whole(path)


def test_a_file_with_something_after_its_end(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    check_is_not_whole(path)


def test_one_wrong_byte_in_the_header_is_an_error_or_harmless(path: Path) -> None:
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    chance = random.Random(0)
    for _ in range(200):
        place = chance.randrange(header)
        damaged = content.copy()
        damaged[place] = chance.randrange(256)
        path.write_bytes(damaged)
        message = ""
        try:
            load_model(path)
        except ModelError as error:
            message = str(error)
        assert not message or message.startswith(f"{path} ")


class Code:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_pickled_code_is_refused_and_not_run(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "code.safetensors"
    with path.open("wb") as file:
        write({"output.weight": Code(tmp_path / "made")}, file)
    check_is_not_whole(path)
    assert not (tmp_path / "made").exists()


def test_a_safetensors_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(2)}, path, metadata)
        assert error_of(path) == f"{path} is a .safetensors file, but not a styleforge model"


STYLES = '"styles": [{"name": "a"}]'
DAMAGED = {
    "empty": "",
    "cut short": '{"format": 1, "styles"',
    "nested without end": "[" * 100_000,
    "nested deeply": f'{{"format": 1, {STYLES}, "recipe": {{"a": {"[" * 200}{"]" * 200}}}}}',
    "a number without end": f'{{"format": {"9" * 5000}, {STYLES}}}',
    "list": "[]",
    "nothing": "null",
    "text": '"format"',
    "no format": f"{{{STYLES}}}",
    "format in words": f'{{"format": "one", {STYLES}}}',
    "format null": f'{{"format": null, {STYLES}}}',
    "no styles": '{"format": 1}',
    "empty styles": '{"format": 1, "styles": []}',
    "style without name": '{"format": 1, "styles": [{}]}',
    "unknown key": f'{{"format": 1, {STYLES}, "color": 1}}',
    "unknown kind": f'{{"format": 1, {STYLES}, "generator": {{"kind": "gan"}}}}',
    "no kind": f'{{"format": 1, {STYLES}, "generator": {{"width": 2}}}}',
    "width": f'{{"format": 1, {STYLES}, "generator": {{"kind": "transformer", "width": 0}}}}',
}


@pytest.mark.parametrize("description", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_description(description: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {KEY: description})
    assert error_of(path) == f"{path} does not describe a network that can be read"


def test_a_newer_format_is_not_misread(path: Path) -> None:
    """Whatever else is new about it."""
    description = {**load_info(path).model_dump(), "format": FORMAT + 1, "new": 1, "styles": {}}
    save_file({"weight": torch.zeros(2)}, path, {KEY: json.dumps(description)})
    assert error_of(path) == f"{path} was made by a newer styleforge; upgrade to use it"


FOREIGN_NAMES = ["", ".", "../up", "/a", "a/b", "a\\b", "a\nb", "\x1b[2J", "\ud800", "x" * 101]


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_a_styles_name_that_may_not_name_a_file(name: str, path: Path) -> None:
    save_model(path, described("night", name), load_model(path).network)
    assert error_of(path) == f"{path} has a style named {name!r}, which may not name a file"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value: float, path: Path) -> None:
    model = load_model(path)
    next(iter(model.network.parameters()))[0, 0, 0, 0] = value
    save_model(path, model.info, model.network)
    assert error_of(path) == f"{path} holds weights that are no finite numbers"


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.complex64])
def test_weights_of_another_type(dtype: torch.dtype, path: Path) -> None:
    model = load_model(path)
    tensors = {name: x.to(dtype).contiguous() for name, x in model.network.state_dict().items()}
    save_file(tensors, path, {KEY: json.dumps(model.info.model_dump())})
    assert error_of(path) == f"{path} does not hold the weights of the network it describes"


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError) as caught:
        load_model(tmp_path / "pipe")
    assert str(caught.value) == f"{tmp_path / 'pipe'} is a pipe or a device, not a file"


OTHERS = {
    "width": described("night", "day", generator=TransformerSettings(width=3, blocks=1, kernel=3)),
    "blocks": described("night", "day", generator=TransformerSettings(width=2, blocks=2, kernel=3)),
    "kernel": described("night", "day", generator=TransformerSettings(width=2, blocks=1)),
    "styles": described("night"),
    "kind": described("night", "day", generator=TEXTURE),
}


@pytest.mark.parametrize("info", OTHERS.values(), ids=OTHERS)
def test_weights_of_another_network_than_described(path: Path, info: ModelInfo) -> None:
    save_model(path, info, load_model(path).network)
    assert error_of(path) == f"{path} does not hold the weights of the network it describes"


def test_a_description_of_a_huge_network_takes_no_memory(path: Path) -> None:
    """19 GB, if it were built before its weights were looked for."""
    info = described("night", generator=TransformerSettings(width=512, blocks=64))
    save_model(path, info, load_model(path).network)
    assert error_of(path) == f"{path} does not hold the weights of the network it describes"


def test_weights_are_mixed_in_shares_that_sum_to_1(path: Path) -> None:
    model = load_model(path)
    assert model.mixture({"day": 1}).tolist() == [[0, 1]]
    assert model.mixture({"night": 3, "day": 1}).tolist() == [[0.75, 0.25]]


def test_a_style_that_the_model_does_not_carry(path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_model(path).mixture({"nigth": 1})
    assert str(caught.value) == (
        "small has no style 'nigth' (did you mean night?); it has night, day"
    )


def test_where_a_model_can_be_written(tmp_path: Path, path: Path) -> None:
    check_model_output(tmp_path / "new.safetensors", inputs=[], force=False)
    check_model_output(path, inputs=[], force=True)


WRONG_OUTPUTS = {
    "a.pth": "{path}: a model's name must end in .safetensors",
    "nowhere/a.safetensors": "no such folder: {path.parent}",
    "small.safetensors": "{path} exists; use `force` to overwrite it",
}


@pytest.mark.parametrize(("name", "message"), WRONG_OUTPUTS.items())
@pytest.mark.usefixtures("path")
def test_where_a_model_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_model_output(tmp_path / name, inputs=[], force=False)
    assert str(caught.value) == message.format(path=tmp_path / name)


def test_a_widened_model_keeps_its_old_styles_bit_for_bit(path: Path) -> None:
    model = load_model(path)
    wide = widened(model, [ModelStyle(name="dusk"), ModelStyle(name="dawn")])
    save_model(path, wide.info, wide.network)
    wide = load_model(path)
    assert wide.style_names == ["night", "day", "dusk", "dawn"]
    assert wide.info.generator == model.info.generator
    for style in ("night", "day"):
        expected = model.network(picture(), model.mixture({style: 1}))
        assert wide.network(picture(), wide.mixture({style: 1})).equal(expected)


def test_an_underpainting_for_new_styles_alone(path: Path, painting: Tensor) -> None:
    model = load_model(path)
    wide = widened(model, [ModelStyle(name="dusk")], underpainting=True)
    assert isinstance(wide.network, TransformerNetwork)
    assert wide.network.underpainting is not None
    wide.network.underpainting.learn(2, painting)
    save_model(path, wide.info, wide.network)
    wide = load_model(path)
    expected = model.network(picture(), model.mixture({"day": 1}))
    assert wide.network(picture(), wide.mixture({"day": 1})).equal(expected)
    dusk = wide.network(picture(), wide.mixture({"dusk": 1}))
    wider = widened(wide, [ModelStyle(name="dawn")])
    torch.testing.assert_close(wider.network(picture(), wider.mixture({"dusk": 1})), dusk)


def test_a_new_style_starts_as_the_mean_of_the_old(path: Path) -> None:
    model = load_model(path)
    wide = widened(model, [ModelStyle(name="dusk")])
    expected = model.network(picture(), model.mixture({"night": 1, "day": 1}))
    with torch.no_grad():
        found = wide.network(picture(), wide.mixture({"dusk": 1}))
    torch.testing.assert_close(found, expected)


def test_widening_leaves_the_model_as_it_was_and_can_be_trained(path: Path) -> None:
    model = load_model(path)
    before = {name: x.clone() for name, x in model.network.state_dict().items()}
    wide = widened(model, [ModelStyle(name="dusk")])
    with torch.no_grad():
        for parameter in wide.network.parameters():
            assert parameter.requires_grad
            parameter.zero_()
    assert all(before[name].equal(x) for name, x in model.network.state_dict().items())
    assert model.style_names == ["night", "day"]


def test_a_texture_network_has_one_style() -> None:
    network = TextureNetwork(TEXTURE)
    model = Model(described("wood", generator=TEXTURE), network, Path("wood.safetensors"))
    with pytest.raises(UsageError) as caught:
        widened(model, [ModelStyle(name="stone")])
    assert str(caught.value) == "wood is a texture network, which has one style"
