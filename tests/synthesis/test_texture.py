from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.geometry import Size
from styleforge.losses.objective import gram_matrix
from styleforge.optimize.scales import Scale
from styleforge.synthesis.texture import (
    LAYERS,
    PERIOD,
    period_of,
    source_size,
    texture,
    texture_network,
    texture_objective,
    texture_scales,
    wrapped_network,
)
from styleforge.vgg.weights import Weights


def test_convention_the_layers_are_the_papers_after_their_relu() -> None:
    assert LAYERS == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    assert PERIOD == 16


def test_wrapped_features_move_with_the_image(weights: Weights, photo: Tensor) -> None:
    network = wrapped_network(weights)
    image = photo[..., :32, :48]
    before, after = network(image), network(image.roll((16, 32), (2, 3)))
    for layer in LAYERS:
        step = image.shape[2] // before[layer].shape[2]
        moved = before[layer].roll((16 // step, 32 // step), (2, 3))
        torch.testing.assert_close(after[layer], moved, rtol=1e-4, atol=1e-3)


def test_wrapped_features_are_those_of_the_image_in_the_midst_of_itself(
    weights: Weights, photo: Tensor
) -> None:
    image = photo[..., :32, :32]
    wrapped = wrapped_network(weights)(image, ["relu3_1"])["relu3_1"]
    around = texture_network(weights)(image.repeat(1, 1, 3, 3), ["relu3_1"])["relu3_1"]
    torch.testing.assert_close(wrapped, around[..., 8:16, 8:16], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "period"), [((64, 32), (64, 32)), ((65, 33), (80, 48)), ((1, 17), (16, 32))]
)
def test_a_period_is_a_multiple_of_16(size: Size, period: Size) -> None:
    assert period_of(size) == period


@pytest.mark.parametrize(
    ("painting", "period", "expected"),
    [
        ((400, 300), (512, 512), (400, 300)),
        ((400, 300), (192, 128), (192, 144)),
        ((300, 400), (64, 32), (48, 64)),
    ],
)
def test_the_painting_keeps_its_size_where_it_is_not_longer(
    painting: Size, period: Size, expected: Size
) -> None:
    assert source_size(painting, period) == expected


def test_scales_are_periods_and_the_first_shows_the_painting_at_64() -> None:
    assert texture_scales((512, 384), (128, 96), steps=5) == [
        Scale((256, 192), 5),
        Scale((512, 384), 5),
    ]
    scales = texture_scales((272, 80), (400, 300), steps=5)
    assert all(period_of(scale.size) == scale.size for scale in scales)
    assert scales[-1] == Scale((272, 80), 5)


def gram_error(weights: Weights, image: Tensor, painting: Tensor, layer: str) -> float:
    """|G - A| / |A| of a texture."""
    wanted = gram_matrix(texture_network(weights)(painting, [layer])[layer])
    got = gram_matrix(wrapped_network(weights)(image, [layer])[layer])
    return ((got - wanted).norm() / wanted.norm()).item()


@pytest.mark.slow
def test_a_few_steps_go_towards_the_paintings_gram_matrices(
    weights: Weights, painting: Tensor
) -> None:
    run = texture(weights, painting, (48, 32), steps=10)
    losses = [record.loss.total for record in run]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_gram_matrices_come_close_to_the_paintings(weights: Weights, painting: Tensor) -> None:
    run = texture(weights, painting, (96, 96), steps=60)
    for _ in run:
        pass
    first, second, third, *_ = (
        gram_error(weights, run.image(), painting, layer) for layer in LAYERS
    )
    assert first < 0.1
    assert second < 0.15
    assert third < 0.3


def test_the_objective_is_the_mean_of_the_layers_relative_errors(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    network = texture_network(weights)
    with torch.no_grad():
        targets = {name: gram_matrix(x) for name, x in network(painting).items()}
        found = texture_objective(network, targets)(photo).total.item()
    errors = [
        ((gram_matrix(x) - targets[name]).norm() / targets[name].norm()).item() ** 2
        for name, x in network(photo).items()
    ]
    assert found == pytest.approx(sum(errors) / len(errors), rel=1e-3)


@pytest.mark.slow
def test_the_seam_is_like_the_steps_elsewhere(weights: Weights, painting: Tensor) -> None:
    run = texture(weights, painting, (64, 48), steps=8)
    for _ in run:
        pass
    for dim in (2, 3):
        image = run.image()
        steps = (image.roll(-1, dim) - image).abs().mean((0, 1, 5 - dim))
        assert steps[-1] < steps[:-1].max()
        assert steps[-1] < 1.6 * steps[:-1].mean()
