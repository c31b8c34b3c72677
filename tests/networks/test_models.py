from __future__ import annotations

import base64
import io
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from styleforge.core import resources
from styleforge.core.errors import ModelError, UsageError
from styleforge.core.files import file_sha256
from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.networks.models import (
    FORMAT,
    Model,
    ModelInfo,
    ModelStyle,
    build,
    check_model_output,
    default_model,
    find_model,
    known_models,
    load_info,
    load_model,
    save_model,
    widened,
)
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import one_style
from styleforge.presets.networks import TextureSettings, TransformerSettings
from tests.conftest import CAFE

TRANSFORMER = TransformerSettings(width=2, blocks=1, kernel=3)
TEXTURE = TextureSettings(scales=2, width=2)
KEY = "styleforge"


def described(*names: str, generator: TransformerSettings | TextureSettings = TRANSFORMER) -> Any:
    return ModelInfo(generator=generator, styles=[ModelStyle(name=name) for name in names])


def random_network(info: ModelInfo) -> nn.Module:
    """Weights and buffers as after a training: none of them zero or one."""
    torch.manual_seed(0)
    network = build(info.generator, len(info.styles))
    with torch.no_grad():
        for x in network.state_dict().values():
            x.add_(torch.randint(1, 9, x.shape)) if x.dtype == torch.int64 else x.normal_(0, 0.5)
    return network.eval()


def saved(path: Path, *names: str) -> ModelInfo:
    """A small model of these styles, written to a file."""
    info: ModelInfo = described(*(names or ("night", "day")))
    save_model(path, info, random_network(info))
    return info


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
    check_model_output(tmp_path / "new.safetensors", force=False)
    check_model_output(path, force=True)


WRONG_OUTPUTS = {
    "a.pth": "{path}: a model's name must end in .safetensors",
    "nowhere/a.safetensors": "no such folder: {path.parent}",
    "small.safetensors": "{path} exists; use `force` to overwrite it",
}


@pytest.mark.parametrize(("name", "message"), WRONG_OUTPUTS.items())
@pytest.mark.usefixtures("path")
def test_where_a_model_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_model_output(tmp_path / name, force=False)
    assert str(caught.value) == message.format(path=tmp_path / name)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, empty; those that ship are in the folder ``shipped``."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(resources, "resource", lambda _: tmp_path / "shipped")
    folder = tmp_path / "data" / "styleforge" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "shipped").mkdir()
    return folder


@pytest.fixture
def shipped(user: Path, tmp_path: Path) -> Path:
    """The folder of models that ship, with one of the styles night and day."""
    assert user.is_dir()
    saved(tmp_path / "shipped" / "many.safetensors")
    return tmp_path / "shipped"


@pytest.mark.parametrize("name", ["a.safetensors", "folder/a", "./many", "/many"])
@pytest.mark.usefixtures("shipped")
def test_a_path_stands_for_itself(name: str) -> None:
    assert find_model(name) == (Path(name), "")


def test_a_model_is_found_by_its_name_or_a_style(shipped: Path, user: Path) -> None:
    saved(user / "mine.safetensors", "dusk")
    assert find_model("many") == (shipped / "many.safetensors", "")
    assert find_model("mine") == (user / "mine.safetensors", "")
    assert find_model("day") == (shipped / "many.safetensors", "day")
    assert find_model("dusk") == (user / "mine.safetensors", "dusk")


def test_the_users_models_come_first(shipped: Path, user: Path) -> None:
    saved(user / "many.safetensors", "day")
    assert find_model("many") == (user / "many.safetensors", "")
    assert find_model("day") == (user / "many.safetensors", "day")
    assert find_model("night") == (shipped / "many.safetensors", "night")


def test_a_models_name_comes_before_a_styles(shipped: Path, user: Path) -> None:
    saved(user / "a.safetensors", "many")
    assert find_model("many") == (shipped / "many.safetensors", "")


def test_files_that_are_no_models_are_passed_over(shipped: Path, user: Path) -> None:
    (user / "junk.safetensors").write_text("junk")
    (user / "notes.txt").write_text("notes")
    save_file({"weight": torch.zeros(2)}, user / "other.safetensors")
    assert [path for path, _ in known_models()] == [shipped / "many.safetensors"]


def test_folders_need_not_exist(user: Path) -> None:
    user.rmdir()
    assert list(known_models()) == []


@pytest.mark.usefixtures("shipped")
def test_an_unknown_name() -> None:
    with pytest.raises(ModelError) as caught:
        find_model("nigth")
    assert str(caught.value) == (
        "no model or style 'nigth' (did you mean night?); there are many, night, day, "
        "or give the path of a .safetensors file"
    )


@pytest.mark.usefixtures("user")
def test_an_unknown_name_where_there_are_no_models() -> None:
    with pytest.raises(ModelError) as caught:
        find_model("night")
    assert str(caught.value) == (
        "no model or style 'night'; none are installed; give the path of a .safetensors file"
    )


def test_the_default_model_is_the_one_that_ships(shipped: Path, user: Path) -> None:
    saved(user / "a.safetensors")
    assert default_model() == shipped / "many.safetensors"


@pytest.mark.usefixtures("user")
def test_no_default_model() -> None:
    with pytest.raises(ModelError) as caught:
        default_model()
    assert str(caught.value) == ("no model ships with this installation; name one with `model`")


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
