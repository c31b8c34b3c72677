from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.geometry import resize
from styleforge.optimize.coarse_to_fine import CoarseToFine, white_noise
from styleforge.optimize.scales import Scale
from styleforge.synthesis.dream import CHROMA, Target, dream, muted, octaves
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.weights import Weights

FEATURES = torch.arange(24.0).view(1, 2, 3, 4) - 6


def dreamt(weights: Weights, target: Target, start: Tensor, *, steps: int = 6) -> CoarseToFine:
    return dream(paper_network(weights, [target.read]), target, start, steps=steps)


def response(weights: Weights, target: Target, image: Tensor) -> float:
    features = paper_network(weights, [target.read])(image)[target.read]
    return target.activation(features, target.unit).item()


def test_a_layers_activation_is_its_mean_square() -> None:
    assert Target("conv1_1").activation(FEATURES) == FEATURES.square().mean()


def test_a_channels_activation_is_its_mean() -> None:
    assert Target("conv1_1", 1).activation(FEATURES) == FEATURES[0, 1].mean()


def test_a_unit_is_what_is_at_a_place_of_the_picture() -> None:
    assert Target("conv1_1", 1).activation(FEATURES, (2, 1)) == FEATURES[0, 1, 1, 2]
    assert Target("conv2_1", 1).activation(FEATURES, (5, 3)) == FEATURES[0, 1, 1, 2]
    assert Target("conv2_1", 1).activation(FEATURES, (8, 6)) == FEATURES[0, 1, 2, 3], "an odd edge"
    assert Target("conv1_1").activation(FEATURES, (2, 1)) == FEATURES[0, :, 1, 2].square().mean()


def test_convention_a_layer_is_read_after_its_relu_and_a_channel_before_it() -> None:
    assert Target("conv4_2").read == "relu4_2"
    assert Target("conv4_2", 3).read == "conv4_2"


def test_octaves_end_at_the_picture() -> None:
    assert octaves((128, 96), 5) == [
        Scale((45, 34), 5),
        Scale((64, 48), 5),
        Scale((91, 68), 5),
        Scale((128, 96), 5),
    ]
    assert octaves((64, 32), 5) == [Scale((64, 32), 5)]


def test_a_muted_gradient_keeps_its_grey() -> None:
    gradient = torch.randn(1, 3, 4, 5)
    result = muted(gradient)
    torch.testing.assert_close(result.mean(1), gradient.mean(1))
    torch.testing.assert_close(
        result - result.mean(1, keepdim=True),
        CHROMA * (gradient - gradient.mean(1, keepdim=True)),
    )


@pytest.mark.parametrize(
    "target", [Target("conv2_1"), Target("conv2_1", 5), Target("conv2_1", 5, (20, 16))], ids=str
)
def test_the_target_responds_more(weights: Weights, photo: Tensor, target: Target) -> None:
    start = resize(photo, (48, 32))
    dream = dreamt(weights, target, start)
    values = [record.loss.total for record in dream]
    assert len(values) == 7
    assert response(weights, target, dream.image()) > response(weights, target, start) + 0.3
    assert dream.image().shape == start.shape
    assert 0 <= dream.image().min() <= dream.image().max() <= 1


@pytest.mark.slow
def test_a_channel_is_found_in_noise_at_all_octaves(weights: Weights) -> None:
    target = Target("conv2_2", 9)
    start = white_noise((64, 64), 0)
    run = dreamt(weights, target, start, steps=4)
    assert [record.scale_index for record in run] == [0] * 5 + [1] * 5 + [2] * 5
    assert response(weights, target, run.image()) > response(weights, target, start) + 1


def test_the_photos_detail_is_kept_from_octave_to_octave(weights: Weights, photo: Tensor) -> None:
    start = resize(photo, (64, 48))
    run = dreamt(weights, Target("conv1_1"), start, steps=1)
    assert not run.reached
    torch.testing.assert_close(run.image(), start)
    next(iter(run))
    assert run.reached
    torch.testing.assert_close(run.image(), start, rtol=0, atol=0.03)


def test_the_same_seed_dreams_the_same(weights: Weights, photo: Tensor) -> None:
    target, start = Target("conv1_2"), resize(photo, (48, 32))
    network = paper_network(weights, [target.read])
    images = []
    for seed in (1, 1, 2):
        run = dream(network, target, start, steps=2, seed=seed)
        list(run)
        images.append(run.image())
    assert images[0].equal(images[1])
    assert not images[0].equal(images[2])
