from __future__ import annotations

import torch
from torch import Tensor

from styleforge.optimize.adam import STEP_SIZE, Adam
from styleforge.optimize.parameterization import Parameterization
from tests.objectives import failing_at, quadratic, recording

CURVATURE = torch.tensor([1.0, 10.0, 100.0]).view(1, 1, 1, 3)
MINIMUM = torch.tensor([1.0, -2.0, 0.5]).view(1, 1, 1, 3)


def test_three_steps_lower_the_loss_each_time() -> None:
    method = Adam(quadratic(CURVATURE, MINIMUM), torch.zeros_like(MINIMUM))
    values = [method.best.total.item()]
    for _ in range(3):
        method.step()
        values.append(method.best.total.item())
    assert values == sorted(set(values), reverse=True)


def test_solves_a_quadratic_of_any_curvature() -> None:
    method = Adam(quadratic(CURVATURE, MINIMUM), torch.zeros_like(MINIMUM))
    first = method.best.total.item()
    for _ in range(200):
        method.step()
    assert method.best.total.item() < 1e-4 * first


def test_first_step_moves_every_coordinate_by_about_the_step_size() -> None:
    method = Adam(quadratic(CURVATURE, MINIMUM), torch.zeros_like(MINIMUM))
    method.step()
    torch.testing.assert_close(method.best.point, STEP_SIZE * MINIMUM.sign(), rtol=1e-3, atol=0)


def test_goes_back_after_a_loss_that_is_not_finite() -> None:
    evaluate = failing_at(4, quadratic(CURVATURE, MINIMUM))
    method = Adam(evaluate, torch.zeros_like(MINIMUM))
    method.step()
    method.step()
    before = method.best.clone()
    method.step()
    assert not method.finite
    torch.testing.assert_close(method.best, before, rtol=0, atol=0)
    method.step()
    assert method.finite
    assert method.best.total.item() < before.total.item()


def test_step_after_a_loss_that_is_not_finite_is_half_as_long() -> None:
    seen: list[Tensor] = []
    evaluate = recording(seen, failing_at(2, quadratic(CURVATURE, MINIMUM)))
    method = Adam(evaluate, torch.zeros_like(MINIMUM))
    method.step()
    method.step()
    torch.testing.assert_close(seen[2], 0.5 * seen[1], rtol=1e-3, atol=0)


def test_best_is_the_lowest_when_the_loss_rises() -> None:
    start = torch.full_like(MINIMUM, 0.001)  # every step is much longer
    method = Adam(quadratic(torch.ones_like(start), torch.zeros_like(start)), start)
    before = method.best.clone()
    method.step()
    torch.testing.assert_close(method.best, before, rtol=0, atol=0)


def test_stays_at_a_minimum() -> None:
    method = Adam(quadratic(CURVATURE, MINIMUM), MINIMUM)
    method.step()
    assert method.finite
    torch.testing.assert_close(method.best.point, MINIMUM)


def test_moments_of_a_coarser_size_are_the_same_steps_at_the_finer() -> None:
    """A picture of the coarse size's frequencies alone takes the step that Adam would have."""
    coarse, fine = (Parameterization(8 * n, 6 * n, exponent=1.0) for n in (1, 2))
    gradient = torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    moved = fine.moved_gradient(coarse, gradient, 1)
    assert moved.shape == (1, 3, 16, 12)
    assert moved[..., 8:, :].abs().max() == moved[..., 6:].abs().max() == 0
    flat = torch.zeros(1, 3, 8, 6), torch.zeros(1, 3, 16, 12)
    for direction in torch.rand(3, 1, 3, 8, 6, generator=torch.Generator().manual_seed(1)):
        change = direction * 1e-3
        before = coarse.image(flat[0] + change) - coarse.image(flat[0])
        spread = (2 * coarse._scale / fine._scale[:8, :6]) * change
        after = fine.image(torch.nn.functional.pad(spread, (0, 6, 0, 8))) - fine.image(flat[1])
        averaged = torch.nn.functional.avg_pool2d(after, 2)
        assert (averaged - before).norm() < 0.25 * before.norm()  # the same change, enlarged
        along = (gradient * change).sum(), (moved[..., :8, :6] * spread).sum()
        torch.testing.assert_close(*along)


def test_go_on_from_counts_steps_where_the_coarser_size_had_any() -> None:
    zero = torch.zeros_like(MINIMUM)
    first = Adam(quadratic(CURVATURE, MINIMUM), zero)
    for _ in range(4):
        first.step()
    known = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3)
    second = Adam(quadratic(CURVATURE, MINIMUM), zero)
    second.go_on_from(first, lambda x, _: x * known)
    fresh = Adam(quadratic(CURVATURE, MINIMUM), zero)
    second.step()
    fresh.step()
    torch.testing.assert_close(second.best.point[..., 2], fresh.best.point[..., 2])
    assert second._taken_before.flatten().tolist() == [4, 4, 0]
