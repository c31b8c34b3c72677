from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.core.errors import ModelError, UsageError
from styleforge.networks.apply import stylize
from styleforge.networks.importing import import_magenta, import_pytorch_example
from styleforge.networks.model_file import load_model, save_model
from styleforge.presets.networks import TransformerSettings
from tests.networks.magenta_file import write_magenta

ONE_STYLE = torch.ones(1, 1)


class ConvLayer(nn.Module):
    """As in github.com/pytorch/examples, fast_neural_style, with and without upsampling."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, upsample: int = 1
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(*channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample > 1:
            x = F.interpolate(x, mode="nearest", scale_factor=self.upsample)
        result: Tensor = self.conv2d(self.reflection_pad(x))
        return result


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer((channels, channels), 3)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer((channels, channels), 3)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.in1(self.conv1(x)))
        result: Tensor = self.in2(self.conv2(out)) + x
        return result


class TransformerNet(nn.Module):
    """Takes and gives 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvLayer((3, 32), 9)
        self.in1 = nn.InstanceNorm2d(32, affine=True)
        self.conv2 = ConvLayer((32, 64), 3, stride=2)
        self.in2 = nn.InstanceNorm2d(64, affine=True)
        self.conv3 = ConvLayer((64, 128), 3, stride=2)
        self.in3 = nn.InstanceNorm2d(128, affine=True)
        self.res1 = ResidualBlock(128)
        self.res2 = ResidualBlock(128)
        self.res3 = ResidualBlock(128)
        self.res4 = ResidualBlock(128)
        self.res5 = ResidualBlock(128)
        self.deconv1 = ConvLayer((128, 64), 3, upsample=2)
        self.in4 = nn.InstanceNorm2d(64, affine=True)
        self.deconv2 = ConvLayer((64, 32), 3, upsample=2)
        self.in5 = nn.InstanceNorm2d(32, affine=True)
        self.deconv3 = ConvLayer((32, 3), 9)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.in1(self.conv1(x)))
        y = torch.relu(self.in2(self.conv2(y)))
        y = torch.relu(self.in3(self.conv3(y)))
        y = self.res5(self.res4(self.res3(self.res2(self.res1(y)))))
        y = torch.relu(self.in4(self.deconv1(y)))
        y = torch.relu(self.in5(self.deconv2(y)))
        result: Tensor = self.deconv3(y)
        return result


@pytest.fixture(scope="module")
def theirs() -> TransformerNet:
    """Random weights; about a tenth of what it gives is outside of 0 to 255."""
    torch.manual_seed(0)
    network = TransformerNet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.InstanceNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        network.deconv3.conv2d.weight.mul_(250)
        network.deconv3.conv2d.bias.fill_(128)
    return network.requires_grad_(False).eval()


def with_running_moments(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What files from before PyTorch 0.4 also hold."""
    moments = {}
    for name, x in state.items():
        norm, _, kind = name.rpartition(".")
        if norm.rpartition(".")[2].startswith("in") and kind == "weight":
            moments[f"{norm}.running_mean"] = torch.full_like(x, 7.0)
            moments[f"{norm}.running_var"] = torch.full_like(x, 9.0)
    assert len(moments) == 30
    return {**state, **moments}


@pytest.fixture(scope="module")
def path(theirs: TransformerNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "mosaic.pth"
    torch.save(theirs.state_dict(), path)
    return path


def clamped(theirs: TransformerNet, photo: Tensor) -> Tensor:
    """What pytorch/examples would save, as 0 to 1."""
    result = theirs(255 * photo).clamp(0, 255) / 255
    return result[..., : photo.shape[2], : photo.shape[3]]


def test_an_imported_network_gives_what_it_gave(
    theirs: TransformerNet, path: Path, photo: Tensor
) -> None:
    _, ours = import_pytorch_example(path, "mosaic")
    expected = clamped(theirs, photo)
    with torch.no_grad():
        torch.testing.assert_close(ours(photo, ONE_STYLE), expected, rtol=0, atol=1e-4)
    inside = (expected > 0) & (expected < 1)
    assert 0.5 < inside.float().mean() < 1


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_old_files_with_running_moments(
    zipped: bool, theirs: TransformerNet, path: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.pth"
    state = with_running_moments(theirs.state_dict())
    torch.save(state, old, _use_new_zipfile_serialization=zipped)
    expected = import_pytorch_example(path, "a")[1].state_dict()
    found = import_pytorch_example(old, "a")[1].state_dict()
    assert all(found[name].equal(x) for name, x in expected.items())


def test_an_imported_network_is_a_model(path: Path, tmp_path: Path, photo: Tensor) -> None:
    info, network = import_pytorch_example(path, "mosaic")
    assert info.generator == TransformerSettings(output="clamp")
    assert [style.name for style in info.styles] == ["mosaic"]
    assert info.recipe == {"imported_from": "mosaic.pth"}
    save_model(tmp_path / "mosaic.safetensors", info, network)
    model = load_model(tmp_path / "mosaic.safetensors")
    with torch.no_grad():
        expected = network(photo, ONE_STYLE)
    found = model.network(photo, model.mixture({"mosaic": 1}))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def error_of(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        import_pytorch_example(path, "a")
    return str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "a.pth", tmp_path):
        assert error_of(path) == f"no such file: {path}"


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x80\x02junk", bytes(1000)], ids=len)
def test_a_file_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    assert error_of(path) == f"{path} is damaged, or holds other things than tensors"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_a_file_cut_short(
    zipped: bool, share: float, theirs: TransformerNet, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
    os.truncate(path, int(share * path.stat().st_size))
    assert error_of(path) == f"{path} is damaged, or holds other things than tensors"


class Code:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "code.pth"
    torch.save({"conv1.conv2d.weight": Code(tmp_path / "made")}, path)
    assert error_of(path) == f"{path} is damaged, or holds other things than tensors"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [{}, [], 3, torch.zeros(3), {"state_dict": {}}, nn.Conv2d(3, 3, 3).state_dict()],
    ids=["empty", "list", "number", "tensor", "nested", "other"],
)
def test_tensors_of_something_else(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(content, path)
    assert error_of(path) == f"{path} is not a network of pytorch/examples' fast_neural_style"


WRONG = {
    "missing": ("res3.in2.bias", None),
    "shape": ("conv2.conv2d.weight", torch.zeros(64, 32, 5, 5)),
    "one channel": ("in1.weight", torch.zeros(1)),
    "number": ("conv1.conv2d.weight", 3),
    "number of a norm": ("in4.weight", 3),
    "text": ("deconv3.conv2d.bias", "text"),
}


@pytest.mark.parametrize(("name", "value"), WRONG.values(), ids=WRONG)
def test_a_network_like_it_but_for_one_tensor(
    name: str, value: Any, theirs: TransformerNet, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    state: dict[str, Any] = {**theirs.state_dict(), name: value}
    if value is None:
        del state[name]
    torch.save(state, path)
    assert error_of(path) == f"{path} is not a network of pytorch/examples' fast_neural_style"


def test_weights_that_are_not_finite(theirs: TransformerNet, tmp_path: Path) -> None:
    state = dict(theirs.state_dict())
    state["res2.conv1.conv2d.bias"] = torch.full((128,), float("nan"))
    path = tmp_path / "a.pth"
    torch.save(state, path)
    with pytest.raises(ModelError) as caught:
        import_pytorch_example(path, "a")
    assert str(caught.value) == f"{path} holds weights that are no finite numbers"


@pytest.fixture
def magenta(tmp_path: Path) -> Path:
    path = tmp_path / "many.onnx"
    write_magenta(path)
    return path


@pytest.mark.parametrize("memory", [2**40, 0], ids=["whole", "tiles"])
@pytest.mark.parametrize("mixture", [(1.0, 0.0, 0.0), (0.2, 0.5, 0.3)], ids=str)
def test_many_styles_of_magenta_are_as_onnxruntime_makes_them(
    mixture: tuple[float, ...], memory: int, magenta: Path
) -> None:
    photo = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(magenta, providers=["CPUExecutionProvider"])
    weights = np.array([mixture], np.float32)
    (expected,) = session.run(None, {"image": photo.numpy(), "style_weights": weights})
    info, network = import_magenta(magenta, "art")
    found = stylize(network, photo, torch.from_numpy(weights), memory=memory)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    plain = network(photo, torch.from_numpy(weights)).detach().numpy()
    assert np.abs(plain - expected).max() < 1e-5
    assert [style.name for style in info.styles] == ["art-0", "art-1", "art-2"]
    assert info.generator == network.settings
    assert network.settings.filters == [6, 5, 7, 4, 2]


def test_what_is_imported_can_be_saved_and_read(magenta: Path, tmp_path: Path) -> None:
    info, network = import_magenta(magenta, "art")
    save_model(tmp_path / "m.safetensors", info, network)
    again = load_model(tmp_path / "m.safetensors")
    assert again.info == info
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


@pytest.mark.parametrize("without", ["contract.0.w", "expand.2.norm.beta", "res.1.0.norm.gamma"])
def test_another_onnx_file_is_refused(without: str, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_magenta(path, without=without)
    with pytest.raises(ModelError) as caught:
        import_magenta(path, "art")
    assert str(caught.value) == f"{path} is not a network of Magenta's image stylization"


def test_a_damaged_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no protobuf")
    with pytest.raises(ModelError) as caught:
        import_magenta(path, "art")
    assert str(caught.value) == f"{path} is not an ONNX file that can be read"
    path.unlink()
    with pytest.raises(ModelError, match=r"^no such file: .*a\.onnx$"):
        import_magenta(path, "art")


def test_without_onnx_it_is_one_line(magenta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError) as caught:
        import_magenta(magenta, "art")
    assert str(caught.value) == "reading .onnx needs a package: pip install 'styleforge[onnx]'"


def test_numbers_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_magenta(path, number=float("nan"))
    with pytest.raises(ModelError, match="weights that are no finite numbers"):
        import_magenta(path, "art")
