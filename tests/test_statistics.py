from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from styleforge.losses import GRAM, Statistic, gram_matrix, style_loss
from styleforge.statistics import (
    COVARIANCE,
    MEAN_STD,
    SlicedWasserstein,
    blended,
    quantiles,
    sorting_bytes,
    statistic_named,
)

ALL = pytest.mark.parametrize(
    "statistic",
    [GRAM, MEAN_STD, COVARIANCE, SlicedWasserstein(0)],
    ids=["gram", "mean-std", "covariance", "sliced-wasserstein"],
)
MOMENTS = pytest.mark.parametrize("statistic", [GRAM, MEAN_STD, COVARIANCE])


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_mean_and_deviation_are_those_of_each_channel() -> None:
    features = 3 + 2 * random(2, 3, 5, 4)
    flat = features.numpy().reshape(2, 3, 20)
    expected = torch.from_numpy(np.stack([flat.mean(2), np.sqrt(flat.var(2) + 1e-5)], 1))
    torch.testing.assert_close(MEAN_STD(features), expected)


def test_covariance_is_that_of_the_channels() -> None:
    features = 3 + random(1, 3, 5, 4)
    expected = np.cov(features[0].flatten(1).numpy(), ddof=0)
    torch.testing.assert_close(COVARIANCE(features)[0], torch.from_numpy(expected))


def test_covariance_does_not_know_the_mean() -> None:
    features = random(1, 3, 5, 4)
    assert style_loss(features + 1, COVARIANCE(features), statistic=COVARIANCE).item() < 1e-20
    assert style_loss(features + 1, GRAM(features)).item() > 0.1


def test_projections_on_unit_vectors_are_sorted() -> None:
    features = random(2, 3, 5, 4)
    statistic = SlicedWasserstein(7)
    directions = statistic.directions(features.flatten(2))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3, dtype=torch.float64))
    expected = np.sort(directions.numpy() @ features.flatten(2).numpy(), axis=2)
    torch.testing.assert_close(statistic(features), torch.from_numpy(expected))


def test_sliced_wasserstein_of_a_shift_is_the_shift_along_each_direction() -> None:
    """W_2 of a distribution and itself moved by t is |t|, on a direction <t, d>."""
    features, shift = random(1, 3, 5, 4), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    statistic = SlicedWasserstein(0)
    along = statistic.directions(features.flatten(2)) @ shift
    found = statistic.loss(statistic(features + shift.view(1, 3, 1, 1)), statistic(features))
    torch.testing.assert_close(found, statistic.strength * along.square().mean())


def test_directions_are_fixed_by_the_seed() -> None:
    positions = random(1, 4, 6)
    first, same, other = (SlicedWasserstein(seed).directions(positions) for seed in (1, 1, 2))
    assert first.equal(same)
    assert not first.isclose(other).any()


def test_quantiles_of_another_count_are_numpys() -> None:
    ordered = random(1, 2, 7).sort(2).values
    middles = (np.arange(16) + 0.5) / 16
    expected = np.quantile(ordered.numpy(), middles, axis=2, method="hazen")
    torch.testing.assert_close(quantiles(ordered, 16), torch.from_numpy(expected).permute(1, 2, 0))
    assert quantiles(ordered, 7) is ordered


@ALL
def test_it_is_zero_at_the_target_and_ignores_where_features_are(statistic: Statistic) -> None:
    features = random(1, 3, 4, 6)
    shuffled = features.flatten(2)[..., torch.randperm(24)].view(1, 3, 6, 4)
    assert style_loss(features, statistic(features), statistic=statistic).item() == 0
    assert style_loss(shuffled, statistic(features), statistic=statistic).item() < 1e-20


@ALL
def test_another_number_of_positions_changes_little(statistic: Statistic) -> None:
    """Every feature twice is the same distribution; between quantiles there is a line."""
    features = random(1, 3, 16, 16)
    doubled = features.repeat(1, 1, 2, 1)
    twice, other = (
        style_loss(x, statistic(features), statistic=statistic) for x in (doubled, 2 * features)
    )
    assert twice < 1e-2 * other


@ALL
def test_a_batch_equals_a_loop(statistic: Statistic) -> None:
    features, other = random(3, 4, 5, 6), random(3, 4, 5, 6, seed=1)
    together = style_loss(features, statistic(other), statistic=statistic)
    singly = [
        style_loss(x[None], statistic(y[None]), statistic=statistic)
        for x, y in zip(features, other, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(singly).mean())


@ALL
def test_gradients_equal_finite_differences(statistic: Statistic) -> None:
    features, target = random(1, 2, 3, 4).requires_grad_(), statistic(random(1, 2, 4, 5, seed=1))
    assert torch.autograd.gradcheck(lambda x: style_loss(x, target, statistic=statistic), features)


@ALL
def test_a_channel_that_never_responds_has_a_finite_gradient(statistic: Statistic) -> None:
    features = random(1, 2, 3, 4)
    features[:, 0] = 0
    features.requires_grad_()
    loss = style_loss(features, statistic(random(1, 2, 3, 4)), statistic=statistic)
    assert torch.autograd.grad(loss, features)[0].isfinite().all()


@ALL
def test_short_floats_are_accumulated_in_float32(statistic: Statistic) -> None:
    features = random(1, 4, 32, 32).to(torch.bfloat16)
    found = statistic(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, statistic(features.float()))


@MOMENTS
def test_guidance_of_ones_changes_nothing(statistic: Statistic) -> None:
    features = random(1, 3, 4, 5)
    assert statistic(features, torch.ones(1, 1, 4, 5)).equal(statistic(features))


@MOMENTS
def test_guidance_takes_the_statistic_of_a_part(statistic: Statistic) -> None:
    features = random(1, 3, 4, 6)
    left = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    left[..., :3] = 2**0.5  # a mean square of 1
    torch.testing.assert_close(statistic(features, left), statistic(features[..., :3]))


@ALL
def test_the_loss_against_a_blend_differs_by_a_constant(statistic: Statistic) -> None:
    one, other = (statistic(random(1, 3, 5, 5, seed=seed)) for seed in (1, 2))
    blend = blended([one, other], [0.75, 0.25])
    differences = []
    for seed in (3, 4):
        found = statistic(random(1, 3, 5, 5, seed=seed))
        apart = 0.75 * statistic.loss(found, one) + 0.25 * statistic.loss(found, other)
        differences.append(apart - statistic.loss(found, blend))
    torch.testing.assert_close(*differences)


def test_a_blend_of_projections_of_different_sizes() -> None:
    one, other = (random(1, 2, count, seed=count).sort(2).values for count in (5, 9))
    expected = 0.5 * quantiles(one, 9) + 0.5 * other
    torch.testing.assert_close(blended([one, other], [0.5, 0.5]), expected)


def test_sorting_takes_memory_for_each_number_of_a_layer() -> None:
    assert sorting_bytes(["relu1_1", "conv2_1", "relu4_2"]) == 28 * (64 + 128 / 4 + 512 / 64)


def test_statistics_by_name() -> None:
    assert statistic_named("gram", seed=0) is GRAM
    assert statistic_named("mean-std", seed=0) is MEAN_STD
    assert statistic_named("covariance", seed=0) is COVARIANCE
    drawn = statistic_named("sliced-wasserstein", seed=5)(random(1, 3, 4, 4))
    torch.testing.assert_close(drawn, SlicedWasserstein(5)(random(1, 3, 4, 4)))


def test_gram_statistic_is_the_gram_matrix() -> None:
    features = random(2, 3, 4, 5)
    assert GRAM(features).equal(gram_matrix(features))
