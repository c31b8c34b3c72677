from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from styleforge.losses.objective import GRAM, Statistic, gram_matrix, style_loss
from styleforge.losses.statistics import (
    COVARIANCE,
    MEAN_STD,
    PLACES,
    NearestFeatures,
    SlicedWasserstein,
    blended,
    quantiles,
    sorting_bytes,
    statistic_named,
)

BLENDED: dict[str, Statistic] = {
    "gram": GRAM,
    "mean-std": MEAN_STD,
    "covariance": COVARIANCE,
    "sliced-wasserstein": SlicedWasserstein(0),
}
EVERY = {**BLENDED, "neighbors": NearestFeatures(0)}
BLENDABLE = pytest.mark.parametrize("statistic", BLENDED.values(), ids=BLENDED)
ALL = pytest.mark.parametrize("statistic", EVERY.values(), ids=EVERY)
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
def test_the_targets_of_styles_of_all_sizes_can_be_stacked(statistic: Statistic) -> None:
    """Each is as good as what the statistic is of the style image."""
    images = [random(1, 4, 30, 20), 3 + 2 * random(1, 4, 16, 25, seed=1)]
    targets = torch.cat([statistic.target(image) for image in images])
    other, own = (
        style_loss(images[0], targets[k : k + 1], statistic=statistic).item() for k in (1, 0)
    )
    assert own < 1e-3 * other
    shares = torch.tensor([0.25, 2.0], dtype=torch.float64)
    found = statistic(random(2, 4, 16, 20, seed=2))
    apart = [statistic.loss(found[k : k + 1], targets[k : k + 1]) for k in range(2)]
    torch.testing.assert_close(
        statistic.loss(found, targets, shares), shares[0] * apart[0] + shares[1] * apart[1]
    )


def test_a_unit_is_how_large_a_style_is() -> None:
    features = torch.stack([random(4, 6, 5), 3 + random(4, 6, 5, seed=1)])
    rms = gram_matrix(features).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(GRAM.unit(GRAM(features)), rms)
    for statistic, factor in ((MEAN_STD, 4), (COVARIANCE, 1), (SlicedWasserstein(0), 2)):
        target = statistic(features)
        expected = factor * target.square().mean((1, 2)).sqrt()
        torch.testing.assert_close(statistic.unit(target), expected)
        assert statistic.unit(torch.zeros_like(target)).min() > 0
    neighbors = NearestFeatures(0)
    assert neighbors.unit(neighbors(features)).tolist() == [1, 1]


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


@BLENDABLE
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
    features = random(1, 3, 4, 4)
    places = statistic_named("neighbors", seed=5).target(features)
    assert places.equal(NearestFeatures(5).target(features))
    drawn = statistic_named("sliced-wasserstein", seed=5)(random(1, 3, 4, 4))
    torch.testing.assert_close(drawn, SlicedWasserstein(5)(random(1, 3, 4, 4)))


def test_nearest_features_against_brute_force() -> None:
    features, style = 1 + random(2, 3, 4, 5), 2 + 3 * random(2, 3, 6, 4, seed=1)
    losses = []
    for own, painting in zip(features.numpy(), style.numpy(), strict=True):
        rows, keys = own.reshape(3, 20).T, painting.reshape(3, 24).T
        centered, others = rows - rows.mean(0), keys - keys.mean(0)
        chosen = [
            max(range(24), key=lambda j: others[j] @ place / np.linalg.norm(others[j]))
            for place in centered
        ]
        difference = rows - keys[chosen]
        losses.append(0.5 * np.mean(difference**2) / np.mean(keys.var(0)))
    statistic = NearestFeatures(0)
    found = style_loss(features, statistic(style), statistic=statistic)
    torch.testing.assert_close(found, torch.tensor(np.mean(losses)), rtol=1e-6, atol=0)


def test_the_choice_of_neighbors_has_no_gradient() -> None:
    """What is left is that of a squared difference to constants."""
    features, style = random(1, 3, 4, 5).requires_grad_(), random(1, 3, 1, 7, seed=1)
    statistic = NearestFeatures(0)
    loss = style_loss(features, statistic(style), statistic=statistic)
    (gradient,) = torch.autograd.grad(loss, features)
    v = style.flatten(2).var(2, correction=0).mean()
    matched = features.detach() - gradient * features.numel() * v
    distances = (matched.flatten(2).mT[0][:, None] - style.flatten(2).mT).norm(dim=2)
    assert distances.min(1).values.max() < 1e-6
    assert len(distances.argmin(1).unique()) > 2


def test_the_neighbors_loss_knows_how_strong_features_are() -> None:
    """Twice the contrast has the same cosines, and costs one half of the variance over itself."""
    style, statistic = 2 + random(1, 3, 6, 4), NearestFeatures(0)
    mean = style.mean((2, 3), keepdim=True)
    found = style_loss(mean + 2 * (style - mean), statistic(style), statistic=statistic)
    assert found.item() == pytest.approx(0.5)


def test_the_neighbors_loss_is_relative() -> None:
    features, style, statistic = random(1, 3, 6, 4), random(1, 3, 5, 5, seed=1), NearestFeatures(0)
    losses = [
        style_loss(scale * features, statistic(scale * style), statistic=statistic)
        for scale in (1, 50)
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (32, 64), (64, 48)])
def test_places_of_a_style_are_drawn_by_the_seed(height: int, width: int) -> None:
    """As many of an image of any size, all different where there are enough."""
    numbers = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    first, same, other = (NearestFeatures(seed).target(numbers) for seed in (1, 1, 2))
    assert first.shape == (1, PLACES, 1)
    assert first.equal(same)
    assert not first.equal(other)
    times = first.flatten().long().bincount()
    most, least = -(-PLACES // numbers.numel()), PLACES // numbers.numel()
    assert times.max() == most
    assert (times >= least).all()


def test_gram_statistic_is_the_gram_matrix() -> None:
    features = random(2, 3, 4, 5)
    assert GRAM(features).equal(gram_matrix(features))
