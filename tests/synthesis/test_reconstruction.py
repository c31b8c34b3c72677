from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.geometry import resize
from styleforge.losses.objective import content_loss, gram_matrix, style_loss
from styleforge.optimize.coarse_to_fine import CoarseToFine
from styleforge.optimize.scales import Scale
from styleforge.synthesis.reconstruction import (
    content_objective,
    reconstruction_scales,
    style_objective,
)
from styleforge.synthesis.run import synthesis
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.weights import Weights

SMALL = (32, 24)


def psnr(image: Tensor, reference: Tensor) -> float:
    return -10 * (image - reference).square().mean().log10().item()


def found(run: CoarseToFine) -> Tensor:
    for _ in run:
        pass
    return run.image()


def test_scales_double_from_64() -> None:
    assert reconstruction_scales((256, 128), 7) == [
        Scale((64, 32), 7),
        Scale((128, 64), 7),
        Scale((256, 128), 7),
    ]
    assert reconstruction_scales((48, 40), 7) == [Scale((48, 40), 7)]


def test_the_content_objective_is_the_mean_of_its_layers_losses(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    network = paper_network(weights, ["relu1_1", "relu2_1"])
    layers = ["conv1_1", "conv2_1"]
    image, target = resize(painting, SMALL), resize(photo, SMALL)
    loss = content_objective(network, photo, layers)(SMALL)(image)
    expected = [
        content_loss(network(image)[name], network(target)[name]) for name in ("relu1_1", "relu2_1")
    ]
    torch.testing.assert_close(loss.total, sum(expected) / 2)
    assert content_objective(network, photo, layers)(SMALL)(target).total == 0


def test_the_style_objective_is_the_mean_of_its_layers_losses(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    network = paper_network(weights, ["relu1_1", "relu2_1"])
    layers = ["conv1_1", "conv2_1"]
    image, target = resize(photo, SMALL), resize(painting, SMALL)
    loss = style_objective(network, painting, layers)(SMALL)(image)
    expected = [
        style_loss(network(image)[name], gram_matrix(network(target)[name]))
        for name in ("relu1_1", "relu2_1")
    ]
    torch.testing.assert_close(loss.total, sum(expected) / 2)


def test_the_first_layer_gives_the_photo_back(weights: Weights, photo: Tensor) -> None:
    network = paper_network(weights, ["relu1_1"])
    target = resize(photo, SMALL)
    run = synthesis(
        content_objective(network, target, ["conv1_1"]), reconstruction_scales(SMALL, 40)
    )
    assert psnr(found(run), target) > 30


@pytest.mark.slow
def test_a_deeper_layer_gives_back_less(weights: Weights, photo: Tensor) -> None:
    target = resize(photo, SMALL)
    ratios = []
    for layer in ("conv1_1", "conv3_1"):
        network = paper_network(weights, [layer.replace("conv", "relu")])
        objective = content_objective(network, target, [layer])
        ratios.append(psnr(found(synthesis(objective, [Scale(SMALL, 15)])), target))
    assert ratios[0] > ratios[1] + 3


@pytest.mark.parametrize("layers", [["conv1_1"], ["conv1_1", "conv2_1"]])
def test_gram_matrices_are_met(weights: Weights, painting: Tensor, layers: list[str]) -> None:
    network = paper_network(weights, ["relu1_1", "relu2_1"])
    run = synthesis(style_objective(network, painting, layers), [Scale(SMALL, 25)])
    losses = [record.loss.total for record in run]
    assert losses[-1] < 0.02 * losses[0]
