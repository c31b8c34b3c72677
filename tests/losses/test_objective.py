from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.losses.objective import (
    GRAM,
    Guidance,
    NeighborTarget,
    Objective,
    Sums,
    averaged,
    content_loss,
    gram_matrix,
    half_squared_distance,
    neighbor_loss,
    style_loss,
    total_variation,
)

FLOATS = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_convention_gram_divisor_is_the_number_of_positions() -> None:
    features = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, -1.0]]).view(1, 2, 2, 2)
    expected = torch.tensor([[[30.0, -2.0], [-2.0, 2.0]]]) / 4
    torch.testing.assert_close(gram_matrix(features), expected)


def test_convention_content_loss_is_half_the_mean() -> None:
    features = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    target = torch.tensor([1.0, 0.0, 3.0, 0.0]).view(1, 1, 2, 2)
    assert content_loss(features, target).item() == 0.5 * (4 + 16) / 4


def test_convention_style_loss_is_a_quarter_of_the_mean() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 1, 2)
    gram = torch.tensor([[[2.5, 5.5], [5.5, 12.5]]])
    torch.testing.assert_close(gram_matrix(features), gram)
    target = gram - torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert style_loss(features, target).item() == 0.25 * (1 + 9) / 4


def test_convention_total_variation_is_the_mean_of_squared_differences() -> None:
    image = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]]).view(1, 1, 2, 3).expand(1, 3, 2, 3)
    horizontal = (1 + 0 + 0 + 0) / 4
    vertical = (0.25 + 0.25 + 0.25) / 3
    assert total_variation(image).item() == horizontal + vertical


def test_style_loss_is_the_papers_with_its_own_divisors() -> None:
    features, other = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    flat, flat_other = features.flatten(2)[0], other.flatten(2)[0]
    difference = flat @ flat.mT - flat_other @ flat_other.mT
    paper = difference.square().sum() / (4 * 3**2 * 20**2)
    torch.testing.assert_close(style_loss(features, gram_matrix(other)), paper)


def test_losses_are_zero_at_the_target() -> None:
    features = random(2, 3, 4, 5)
    assert content_loss(features, features).item() == 0
    assert style_loss(features, gram_matrix(features)).item() == 0
    assert total_variation(torch.full((1, 3, 4, 5), 0.7)).item() == 0


def test_gram_of_a_batch_equals_a_loop() -> None:
    features = random(3, 4, 5, 6)
    singly = torch.cat([gram_matrix(image[None]) for image in features])
    torch.testing.assert_close(gram_matrix(features), singly)


def test_gram_ignores_where_features_are() -> None:
    features = random(1, 3, 4, 6)
    shuffled = features.flatten(2)[..., torch.randperm(24)].view(1, 3, 6, 4)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 4, 3, 2), (2, 3, 1, 1), (1, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_gram_gradient_equals_autograd_of_the_formula(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    features = random(*shape).contiguous(memory_format=layout).requires_grad_()
    flat = features.flatten(2)
    formula = flat @ flat.mT / flat.shape[2]
    upstream = random(*formula.shape, seed=1)  # not symmetric
    gram = gram_matrix(features)
    torch.testing.assert_close(gram, formula)
    torch.testing.assert_close(
        torch.autograd.grad(gram, features, upstream),
        torch.autograd.grad(formula, features, upstream),
    )


def test_style_gradient_equals_the_papers_closed_form() -> None:
    """Equation 6: (F^T (G - A))^T / (N^2 M^2) where F > 0, else 0; its G is M times ours."""
    responses = random(1, 3, 4, 5).requires_grad_()
    target = gram_matrix(random(1, 3, 4, 5, seed=1))
    (gradient,) = torch.autograd.grad(style_loss(F.relu(responses), target), responses)
    flat = F.relu(responses).flatten(2)
    paper = (flat.mT @ (20 * gram_matrix(flat[..., None]) - 20 * target)).mT / (3**2 * 20**2)
    expected = torch.where(flat > 0, paper, 0).view_as(responses)
    torch.testing.assert_close(gradient, expected)


def test_content_gradient_equals_the_papers_closed_form() -> None:
    """Equation 2: F - P where F > 0, else 0; divided by the number of features for the mean."""
    responses, target = random(1, 3, 4, 5).requires_grad_(), random(1, 3, 4, 5, seed=1)
    (gradient,) = torch.autograd.grad(content_loss(F.relu(responses), target), responses)
    expected = torch.where(responses > 0, responses - target, 0) / 60
    torch.testing.assert_close(gradient, expected.detach())


def test_guided_gram_is_the_papers() -> None:
    """Equations 3 and 4: G_r = (T_r F) (T_r F)^T, sum T_r^2 = 1, E = sum_r lambda_r E_r."""
    features, targets = random(1, 3, 4, 5), gram_matrix(random(2, 3, 4, 5, seed=1))
    drawn = random(2, 1, 4, 5, seed=2).abs()
    paper = drawn.flatten(2) / drawn.flatten(2).norm(dim=2, keepdim=True)
    guided = features.flatten(2) * paper
    grams = guided @ guided.mT
    shares = torch.tensor([0.3, 0.6], dtype=torch.float64)
    expected = (shares * (grams - targets).square().sum((1, 2)) / (4 * 3**2)).sum()
    guidance = Guidance(20**0.5 * paper.view_as(drawn), shares)
    torch.testing.assert_close(GRAM(features, guidance.channels), grams)
    torch.testing.assert_close(style_loss(features, targets, guidance=guidance), expected)


def test_gradients_equal_finite_differences() -> None:
    features, other = random(2, 2, 3, 4).requires_grad_(), random(2, 2, 3, 4, seed=1)
    gram = gram_matrix(other)
    assert torch.autograd.gradcheck(gram_matrix, features)
    assert torch.autograd.gradcheck(lambda x: style_loss(x, gram), features)
    assert torch.autograd.gradcheck(lambda x: content_loss(x, other), features)
    assert torch.autograd.gradcheck(total_variation, features)


@FLOATS
def test_short_floats_are_accumulated_in_float32(dtype: torch.dtype) -> None:
    features = (100 * random(1, 2, 64, 64)).to(dtype)  # squares summed overflow float16
    other = (100 * random(1, 2, 64, 64, seed=1)).to(dtype)
    gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, gram_matrix(features.double()).float())
    for short, exact in (
        (content_loss(features, other), content_loss(features.double(), other.double())),
        (total_variation(features), total_variation(features.double())),
        (
            style_loss(features, gram_matrix(other)),
            style_loss(features.double(), gram_matrix(other.double())),
        ),
    ):
        assert short.dtype == torch.float32
        torch.testing.assert_close(short, exact.float(), rtol=1e-4, atol=0)


def test_float64_stays_float64() -> None:
    assert gram_matrix(random(1, 2, 3, 3)).dtype == torch.float64
    assert content_loss(random(1, 2, 3, 3), random(1, 2, 3, 3)).dtype == torch.float64


def neighbor_target(rows: Tensor, places: Tensor, cell: int, variance: float) -> NeighborTarget:
    return NeighborTarget(rows, places, cell, torch.tensor(variance, dtype=rows.dtype))


def test_convention_neighbor_loss_is_half_the_mean_over_the_variance() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 1, 2)  # (1, 3), then (2, 4)
    rows = torch.tensor([[9.0, 9.0], [2.0, 1.0], [1.0, 3.0]])
    target = neighbor_target(rows, torch.tensor([[2, 1]]), 1, 4.0)
    assert target.features.equal(torch.tensor([[1.0, 2.0], [3.0, 1.0]]).view(1, 2, 1, 2))
    assert neighbor_loss(features, target).item() == 0.5 * (0 + 0 + 0 + 9) / 4 / 4.0


def test_convention_neighbor_loss_of_cells_is_of_their_means() -> None:
    """What is left over at the right and at the bottom does not count."""
    features = torch.tensor([[1.0, 3.0, 50.0], [5.0, 7.0, 50.0], [50.0, 50.0, 50.0]])
    target = neighbor_target(torch.tensor([[2.0]]), torch.tensor([[0]]), 2, 1.0)
    assert averaged(features[None, None], 2).item() == 4
    assert neighbor_loss(features[None, None], target).item() == 0.5 * (4 - 2) ** 2


def test_neighbor_loss_at_its_target_is_zero_with_no_gradient() -> None:
    places = torch.arange(20).flip(0).view(4, 5)
    target = neighbor_target(random(20, 3), places, 1, 0.5)
    features = target.features.clone().requires_grad_()
    loss = neighbor_loss(features, target)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, features)[0].count_nonzero() == 0
    large = target.features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert neighbor_loss(large, target._replace(cell=2)).item() == pytest.approx(0, abs=1e-30)


def test_neighbor_loss_of_what_has_nothing_in_common_is_about_1() -> None:
    """Both with the same variance, which it does not depend on."""
    for scale in (1e-2, 1.0, 100.0):
        rows = scale * random(400, 8)
        target = neighbor_target(rows, torch.arange(400).view(20, 20), 1, scale**2)
        loss = neighbor_loss(scale * random(1, 8, 20, 20, seed=1), target)
        assert loss.item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_neighbor_gradient_equals_autograd_of_the_formula(cell: int) -> None:
    features = random(1, 3, 9, 10).requires_grad_()
    shape = (9 // cell, 10 // cell)
    places = torch.randint(7, shape, generator=torch.Generator().manual_seed(0))
    target = neighbor_target(random(7, 3, seed=1), places, cell, 0.3)
    cells = features.unfold(2, cell, cell).unfold(3, cell, cell).mean((4, 5))
    difference = cells[0].permute(1, 2, 0) - target.rows[places]
    formula = 0.5 * difference.square().mean() / 0.3
    loss = neighbor_loss(features, target)
    torch.testing.assert_close(loss, formula)
    torch.testing.assert_close(
        torch.autograd.grad(3 * loss, features), torch.autograd.grad(3 * formula, features)
    )
    assert torch.autograd.gradcheck(lambda x: neighbor_loss(x, target), features)


def test_half_squared_distance_is_of_a_constant() -> None:
    features, target = random(2, 3, 4).requires_grad_(), random(2, 3, 4, seed=1)
    distance = half_squared_distance(features, target)
    torch.testing.assert_close(distance, 0.5 * (features - target).square().sum())
    assert torch.autograd.gradcheck(lambda x: half_squared_distance(x, target), features)
    (gradient,) = torch.autograd.grad(distance, features)
    torch.testing.assert_close(gradient, (features - target).detach())


@FLOATS
@pytest.mark.parametrize("cell", [1, 2])
def test_short_floats_of_neighbors_are_accumulated_in_float32(
    dtype: torch.dtype, cell: int
) -> None:
    features = (100 * random(1, 2, 64, 64)).to(dtype).requires_grad_()
    places = torch.arange((64 // cell) ** 2).view(64 // cell, 64 // cell)
    rows = (100 * random(places.numel(), 2, seed=1)).float()
    target = neighbor_target(rows, places, cell, 2.0)
    found = neighbor_loss(features, target)
    exact = neighbor_loss(features.double(), target._replace(rows=rows.double()))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact.float(), rtol=1e-4, atol=0)
    (gradient,) = torch.autograd.grad(found, features)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


def layers_of(image: Tensor) -> dict[str, Tensor]:
    return {"first": image, "second": image.square() - 1}


def test_objective_is_the_weighted_sum() -> None:
    image = random(1, 3, 4, 5, dtype=torch.float32)
    target = random(1, 3, 4, 5, seed=1, dtype=torch.float32)
    content, grams = layers_of(target), {k: gram_matrix(x) for k, x in layers_of(target).items()}
    neighbors = neighbor_target(random(5, 3).float(), torch.tensor([[0, 3], [4, 1]]), 2, 0.5)
    loss = Objective(
        layers_of,
        content_targets=content,
        content_weights={"second": 2.0},
        style_targets=grams,
        style_weights={"first": 3.0, "second": 5.0},
        tv_weight=7.0,
        neighbor_targets={"second": neighbors},
        neighbor_weights={"second": 11.0},
    )(image)
    found = layers_of(image)
    torch.testing.assert_close(loss.content, 2 * content_loss(found["second"], content["second"]))
    style = 3 * style_loss(found["first"], grams["first"])
    style += 5 * style_loss(found["second"], grams["second"])
    style += 11 * neighbor_loss(found["second"], neighbors)
    torch.testing.assert_close(loss.style, style)
    torch.testing.assert_close(loss.tv, 7 * total_variation(image))
    torch.testing.assert_close(loss.total, loss.content + loss.style + loss.tv)


def test_objective_with_another_statistic_in_regions() -> None:
    """Of the mean: each region's own, weighed by its share."""
    mean = Sums(lambda x, t: (x * t**2).sum((2, 3))[:, None], lambda means: means, strength=1.0)
    image = torch.cat([torch.full((1, 1, 2, 2), value) for value in (1.0, 5.0)], dim=3)
    channels = torch.zeros(2, 1, 2, 4)
    channels[0, ..., :2] = channels[1, ..., 2:] = 2**0.5
    loss = Objective(
        lambda image: {"first": image},
        {},
        {},
        {"first": torch.tensor([0.0, 2.0]).view(2, 1, 1)},
        {"first": 10.0},
        statistic=mean,
        guidance={"first": Guidance(channels, torch.tensor([0.5, 0.25]))},
    )(image)
    torch.testing.assert_close(loss.style, torch.tensor(10 * (0.5 * 1**2 + 0.25 * 3**2)))


def test_objective_without_terms_is_zero() -> None:
    loss = Objective(layers_of, {}, {}, {}, {})(random(1, 3, 4, 5))
    assert [term.item() for term in loss] == [0, 0, 0, 0]
