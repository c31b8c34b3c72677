from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.losses.objective import Loss, Objective, gram_matrix
from styleforge.optimize.minimize import MAX_REJECTED, STALL_STEPS, Iterate, OptimizerName, minimize
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights
from tests.objectives import NAN, distance_to

OPTIMIZERS = pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
GREY = torch.full((1, 3, 16, 12), 0.5)


def random_image(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 16, 12, generator=torch.Generator().manual_seed(seed))


def constant(image: Tensor) -> Loss:
    zero = image.sum() * 0
    return Loss(zero + 1, zero + 1, zero, zero)


@OPTIMIZERS
def test_evaluations_are_steps_and_the_start(optimizer: OptimizerName) -> None:
    iterates = list(minimize(distance_to(random_image()), GREY, optimizer=optimizer, steps=6))
    assert [iterate.step for iterate in iterates] == [0, 1, 2, 3, 4, 5, 6]
    assert [iterate.evaluations for iterate in iterates] == [1, 2, 3, 4, 5, 6, 7]


@OPTIMIZERS
def test_no_steps_yield_the_start(optimizer: OptimizerName) -> None:
    start = random_image()
    (only,) = minimize(distance_to(GREY), start, optimizer=optimizer, steps=0)
    inside = start.clamp(0.5 / 255, 1 - 0.5 / 255)
    torch.testing.assert_close(only.image(), inside, rtol=0, atol=1e-5)


@OPTIMIZERS
def test_loss_never_rises_and_belongs_to_the_image(optimizer: OptimizerName) -> None:
    objective = distance_to(random_image())
    totals = []
    for iterate in minimize(objective, GREY, optimizer=optimizer, steps=12):
        totals.append(iterate.loss.total)
        assert objective(iterate.image()).total.item() == pytest.approx(totals[-1])
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < 0.5 * totals[0]


def test_reaches_the_target() -> None:
    target = random_image()
    *_, last = minimize(distance_to(target), GREY, optimizer="lbfgs", steps=60)
    torch.testing.assert_close(last.image(), target, rtol=0, atol=0.02)


@OPTIMIZERS
def test_ends_early_when_nothing_improves(optimizer: OptimizerName) -> None:
    *_, last = minimize(constant, GREY, optimizer=optimizer, steps=100)
    assert last.step == STALL_STEPS
    assert last.loss.total == 1


def test_ends_when_ten_steps_in_a_row_are_taken_back() -> None:
    calls = 0

    def rising(image: Tensor) -> Loss:
        nonlocal calls
        calls += 1
        return Loss(*4 * [image.sum() * 0 + 2.0**calls])

    *_, last = minimize(rising, GREY, optimizer="lbfgs", steps=100)
    assert last.stuck
    assert last.step == MAX_REJECTED


@OPTIMIZERS
def test_initial_loss_that_is_not_finite_is_an_error(optimizer: OptimizerName) -> None:
    iterates = minimize(
        lambda image: Loss(*4 * [image.sum() * NAN]), GREY, optimizer=optimizer, steps=3
    )
    with pytest.raises(FloatingPointError, match="loss of the initial image is not finite"):
        next(iterates)


@OPTIMIZERS
def test_note_tells_of_a_loss_that_was_not_finite(optimizer: OptimizerName) -> None:
    calls = 0
    distance = distance_to(random_image())

    def objective(image: Tensor) -> Loss:
        nonlocal calls
        calls += 1
        loss = distance(image)
        return loss._replace(total=loss.total * NAN) if calls == 3 else loss

    iterates = list(minimize(objective, GREY, optimizer=optimizer, steps=4))
    assert ["not finite" in iterate.note for iterate in iterates] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert iterates[4].loss.total < iterates[2].loss.total == iterates[1].loss.total


def test_image_saved_with_8_bits_has_nearly_the_loss_that_was_optimised(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    layers = ["relu1_1", "relu2_1"]
    network = VGG19(weights, layers)
    with torch.no_grad():
        grams = {layer: gram_matrix(x) for layer, x in network(painting).items()}
    objective = Objective(network, {}, {}, grams, {"relu1_1": 1e-3, "relu2_1": 1e-6})
    last: Iterate
    *_, last = minimize(objective, photo, optimizer="lbfgs", steps=8)
    rounded = (255 * last.image()).round() / 255
    with torch.no_grad():
        assert objective(rounded).total.item() == pytest.approx(last.loss.total, rel=0.03)
