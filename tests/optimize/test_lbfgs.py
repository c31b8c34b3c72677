from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.optimize.lbfgs import LBFGS, inverse_hessian_times_gradient
from tests.objectives import NAN, failing_at, quadratic, recording


def bowl(size: int = 20, condition: float = 100.0) -> tuple[Tensor, Tensor]:
    """Curvatures and minimum of a quadratic, in float64."""
    generator = torch.Generator().manual_seed(0)
    curvature = torch.logspace(0, torch.tensor(condition).log10().item(), size)
    minimum = torch.randn(1, 1, 1, size, generator=generator, dtype=torch.float64)
    return curvature.double().view_as(minimum), minimum


def test_three_steps_lower_the_loss_each_time() -> None:
    curvature, minimum = bowl()
    method = LBFGS(quadratic(curvature, minimum), torch.zeros_like(minimum))
    values = [method.best.total.item()]
    for _ in range(3):
        method.step()
        values.append(method.best.total.item())
    assert values == sorted(set(values), reverse=True)
    assert method.finite


@pytest.mark.parametrize(("condition", "steps"), [(1.0, 4), (100.0, 50)])
def test_solves_a_quadratic(condition: float, steps: int) -> None:
    curvature, minimum = bowl(condition=condition)
    method = LBFGS(quadratic(curvature, minimum), torch.zeros_like(minimum))
    first = method.best.total.item()
    for _ in range(steps):
        method.step()
    assert method.best.total.item() < 1e-8 * first
    torch.testing.assert_close(method.best.point, minimum, rtol=0, atol=1e-3)


def textbook_two_loop(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """Nocedal and Wright 2006, algorithm 7.4, on vectors; oldest pair first."""
    q, alphas = gradient.clone(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = (s @ y) / (y @ y) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - (y @ r) / (s @ y))
    return r


@pytest.mark.parametrize("newest", range(4))
@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_compact_form_equals_the_textbook(newest: int, pairs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    order = [(newest + 1 + i) % 4 for i in range(4)]
    s = torch.randn(4, 30, generator=generator, dtype=torch.float64)
    s[order[: 4 - pairs]] = 0
    y = s * torch.linspace(1, 9, 30, dtype=torch.float64)
    gradient = torch.randn(30, generator=generator, dtype=torch.float64)
    basis = torch.cat([s, y, gradient[None]])
    dots, first = basis @ basis.mT, torch.tensor(NAN)
    found = inverse_hessian_times_gradient(dots, torch.tensor(order), first) @ basis
    there = [(s[i], y[i]) for i in order[4 - pairs :]]
    torch.testing.assert_close(found, textbook_two_loop(there, gradient))


def test_compact_form_without_pairs_is_the_scaled_gradient() -> None:
    gradient = torch.arange(1.0, 6.0)
    basis = torch.cat([torch.zeros(8, 5), gradient[None]])
    scale = torch.tensor(0.25)
    found = inverse_hessian_times_gradient(basis @ basis.mT, torch.arange(4), scale) @ basis
    torch.testing.assert_close(found, 0.25 * gradient)


def test_directions_equal_the_textbook_with_the_newest_pairs() -> None:
    curvature, minimum = bowl()
    seen: list[Tensor] = []
    evaluate = quadratic(curvature, minimum)
    method = LBFGS(recording(seen, evaluate), torch.zeros_like(minimum), history=3)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(8):
        before = method.best.clone()
        if pairs:
            expected = -textbook_two_loop(pairs[-3:], before.gradient.flatten())
            torch.testing.assert_close(method._direction().flatten(), expected)
        method.step()
        s = seen[-1] - before.point
        y = evaluate(seen[-1]).gradient - before.gradient
        pairs.append((s.flatten(), y.flatten()))


def test_a_step_costs_one_evaluation() -> None:
    curvature, minimum = bowl()
    seen: list[Tensor] = []
    method = LBFGS(recording(seen, quadratic(curvature, minimum)), torch.zeros_like(minimum))
    for _ in range(5):
        method.step()
    assert len(seen) == 6


def test_goes_back_after_a_loss_that_is_not_finite() -> None:
    curvature, minimum = bowl()
    method = LBFGS(failing_at(4, quadratic(curvature, minimum)), torch.zeros_like(minimum))
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
    curvature, minimum = bowl()
    seen: list[Tensor] = []
    evaluate = recording(seen, failing_at(2, quadratic(curvature, minimum)))
    method = LBFGS(evaluate, torch.zeros_like(minimum))
    method.step()
    method.step()
    torch.testing.assert_close(seen[2], 0.5 * seen[1])


def test_step_that_raises_the_loss_is_taken_back() -> None:
    start = torch.full((1, 1, 1, 2), 0.001, dtype=torch.float64)  # the first step is longer
    method = LBFGS(quadratic(torch.ones_like(start), torch.zeros_like(start)), start)
    before = method.best.clone()
    method.step()
    torch.testing.assert_close(method.best, before, rtol=0, atol=0)
    assert method.rejected == 1
    method.step()
    assert method.rejected == 0
    assert method.best.total.item() < 0.3 * before.total.item()


def test_counts_the_steps_rejected_in_a_row() -> None:
    start = torch.zeros(1, 1, 1, 2)
    evaluate = quadratic(torch.ones_like(start), torch.zeros_like(start))
    first = evaluate(start + 1)
    method = LBFGS(lambda x: first if x.equal(start) else evaluate(start + 2), start)
    for rejected in range(1, 11):
        method.step()
        assert method.rejected == rejected
    torch.testing.assert_close(method.best, first, rtol=0, atol=0)


def test_stays_at_a_minimum() -> None:
    minimum = torch.ones(1, 1, 1, 4)
    method = LBFGS(quadratic(torch.ones_like(minimum), minimum), minimum)
    method.step()
    assert method.finite
    assert method.best.total.item() == 0
    torch.testing.assert_close(method.best.point, minimum)


def test_pairs_go_on_against_a_minimum_that_has_moved() -> None:
    curvature, minimum = bowl()
    before = LBFGS(quadratic(curvature, minimum), torch.zeros_like(minimum), history=20)
    for _ in range(20):
        before.step()
    moved = quadratic(curvature, minimum + 0.3)
    anew, further = (LBFGS(moved, before.best.point, history=20) for _ in range(2))
    assert further.fits(before)
    further.go_on_from(before)
    for method in (anew, further):
        for _ in range(3):
            method.step()
    assert further.best.total < 0.5 * anew.best.total


def test_pairs_of_another_size_do_not_fit() -> None:
    methods = [
        LBFGS(quadratic(*bowl(size)), torch.zeros(1, 1, 1, size).double()) for size in (5, 6)
    ]
    assert not methods[0].fits(methods[1])
