from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from styleforge.images.geometry import fit_size, resize
from styleforge.losses.objective import Loss, Objective, gram_matrix, style_loss
from styleforge.losses.statistics import statistic_named
from styleforge.presets.training import TrainingPreset, TrainingStyle
from styleforge.presets.transfer import TrainingStatisticName
from styleforge.training.objective import BatchObjective
from styleforge.transfers.loss_network import loss_network
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights

PRESET = TrainingPreset.model_validate(
    {
        "network": {"normalized": False},
        "content": {"layers": {"conv1_2": 0.5, "conv2_1": 0.5}},
        "style": {"beta": 10.0, "size": 48, "layers": {"conv1_1": 0.5, "conv2_1": 0.5}},
        "tv": 3.0,
    }
)
STYLES = [1, 0, 1]
STATISTICS = pytest.mark.parametrize("name", get_args(TrainingStatisticName))


def matching(name: str, size: int = PRESET.style.size) -> TrainingPreset:
    """The preset, with this statistic of styles of this size."""
    style = PRESET.style.model_copy(update={"statistic": name, "size": size})
    return PRESET.model_copy(update={"style": style})


@pytest.fixture(scope="module")
def network(weights: Weights) -> VGG19:
    return loss_network(weights, PRESET)


@pytest.fixture
def batch_objective(network: VGG19, painting: Tensor, photo: Tensor) -> BatchObjective:
    return BatchObjective(network, [painting, photo], PRESET)


def images(seed: int, count: int = 3) -> Tensor:
    return torch.rand(count, 3, 32, 40, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def transfer_objective(
    network: VGG19, photo: Tensor, style: Tensor, name: TrainingStatisticName
) -> Objective:
    """What a transfer of one photo would minimise, in units of the style's statistics."""
    content = network(photo)
    wanted = network(resize(style, fit_size((style.shape[3], style.shape[2]), PRESET.style.size)))
    statistic = statistic_named(name, seed=PRESET.seed)
    targets = {layer: statistic.target(wanted[layer]) for layer in PRESET.style_weights}
    return Objective(
        network,
        content_targets={layer: content[layer] for layer in PRESET.content_weights},
        content_weights=PRESET.content_weights,
        style_targets=targets,
        style_weights={
            layer: weight / statistic.unit(targets[layer]).item()
            for layer, weight in PRESET.style_weights.items()
        },
        tv_weight=PRESET.tv,
        statistic=statistic,
    )


@STATISTICS
def test_a_batch_has_the_mean_of_the_losses_of_single_transfers(
    network: VGG19, painting: Tensor, photo: Tensor, name: TrainingStatisticName
) -> None:
    photos, pictures = images(0), [painting, photo]
    batch_objective = BatchObjective(network, pictures, matching(name))
    together, apart = (images(1).requires_grad_() for _ in range(2))
    loss = batch_objective(together, photos, torch.tensor(STYLES))
    single = [
        transfer_objective(network, photos[i : i + 1], pictures[style], name)(apart[i : i + 1])
        for i, style in enumerate(STYLES)
    ]
    mean = Loss(*(torch.stack(terms).mean() for terms in zip(*single, strict=True)))
    assert all(term > 0 for term in loss)
    torch.testing.assert_close(loss, mean)
    loss.total.backward()
    mean.total.backward()
    assert (together.grad - apart.grad).norm() < 1e-4 * apart.grad.norm()


def test_each_style_image_is_looked_at_in_its_own_size(network: VGG19, painting: Tensor) -> None:
    style = PRESET.style.model_copy(update={"size": 48})
    at_48 = BatchObjective(network, [painting], PRESET.model_copy(update={"style": style}))
    both = BatchObjective(network, [painting, painting], PRESET, [0, 48])
    usual = BatchObjective(network, [painting], PRESET)
    pastiches, first = images(1), torch.zeros(3, dtype=torch.long)
    torch.testing.assert_close(both(pastiches, None, first), usual(pastiches, None, first))
    torch.testing.assert_close(both(pastiches, None, first + 1), at_48(pastiches, None, first))


def test_a_training_matches_gram_matrices_unless_told_otherwise(
    network: VGG19, painting: Tensor
) -> None:
    """In units of their own, by the formula."""
    pastiches, expected = images(1), torch.zeros(())
    style = resize(painting, fit_size((painting.shape[3], painting.shape[2]), PRESET.style.size))
    found, wanted = network(pastiches), network(style)
    for layer, weight in PRESET.style_weights.items():
        gram = gram_matrix(wanted[layer])
        loss = 0.25 * (gram_matrix(found[layer]) - gram).square().mean()
        expected = expected + weight * loss / gram.square().mean().sqrt()
    objective = BatchObjective(network, [painting], PRESET)
    torch.testing.assert_close(objective(pastiches, None, torch.zeros(3).long()).style, expected)


@torch.no_grad()
def plain_style_loss(network: VGG19, image: Tensor, style: Tensor) -> Tensor:
    """Beta sum w_l E_l at the style's own size."""
    found, wanted = network(image), network(style)
    losses = [
        weight * style_loss(found[layer], gram_matrix(wanted[layer]))
        for layer, weight in PRESET.style_weights.items()
    ]
    return torch.stack(losses).sum()


def test_strong_and_pale_styles_count_alike(network: VGG19, painting: Tensor) -> None:
    pale = 0.5 + 0.2 * (painting - 0.5)
    objective = BatchObjective(network, [painting, pale], PRESET)
    grey = torch.full((1, 3, 32, 32), 0.5)
    strong, weak = (objective(grey, None, torch.tensor([i])).style for i in range(2))
    plain_strong, plain_weak = (plain_style_loss(network, grey, i) for i in (painting, pale))
    assert plain_weak / plain_strong < 0.25 * weak / strong < 1


@STATISTICS
def test_each_image_is_held_against_its_own_style(
    network: VGG19, painting: Tensor, photo: Tensor, name: str
) -> None:
    """Styles of 32 x 32 pixels have no more places than neighbors are looked for among."""
    styles = [painting[..., :40, :40], photo[..., :40, :40]]
    batch_objective = BatchObjective(network, styles, matching(name, 32))
    pastiche = resize(styles[1], (32, 32))
    own, other = (batch_objective(pastiche, None, torch.tensor([k])).style for k in (1, 0))
    between_quantiles = name == "sliced-wasserstein"
    assert own < (1e-3 if between_quantiles else 1e-6) * other


@STATISTICS
def test_an_even_style_has_a_finite_loss_and_gradient(network: VGG19, name: str) -> None:
    objective = BatchObjective(network, [torch.full((1, 3, 48, 48), 0.5)], matching(name))
    pastiches = images(1).requires_grad_()
    loss = objective(pastiches, None, torch.zeros(3).long()).style
    (gradient,) = torch.autograd.grad(loss, pastiches)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_the_seed_decides_which_places_of_a_style_are_found(
    network: VGG19, painting: Tensor
) -> None:
    losses = []
    for seed in (0, 0, 1):
        changed: TrainingPreset = matching("neighbors", 64).model_copy(update={"seed": seed})
        objective = BatchObjective(network, [painting], changed)
        losses.append(objective(images(1), None, torch.zeros(3).long()).style)
    assert losses[0].equal(losses[1])
    assert not losses[0].equal(losses[2])


def test_a_photo_as_it_is_has_no_content_loss(batch_objective: BatchObjective) -> None:
    photos = images(0)
    assert batch_objective(photos, photos, torch.tensor(STYLES)).content == 0


def test_without_photos_there_is_no_content_loss(batch_objective: BatchObjective) -> None:
    pastiches, styles = images(1), torch.tensor(STYLES)
    without, loss = (batch_objective(pastiches, photos, styles) for photos in (None, images(0)))
    assert without.content == 0
    assert without.style.equal(loss.style)
    torch.testing.assert_close(without.total, without.style + without.tv)


def test_the_styles_size_decides_their_gram_matrices(
    network: VGG19, painting: Tensor, photo: Tensor
) -> None:
    losses = []
    for size in (32, 64):
        changed: TrainingPreset = PRESET.model_copy(
            update={"style": PRESET.style.model_copy(update={"size": size})}
        )
        objective = BatchObjective(network, [painting, photo], changed)
        losses.append(objective(images(1), None, torch.tensor(STYLES)).style)
    assert not losses[0].isclose(losses[1])


def test_a_strip_of_a_painting_is_enlarged_until_all_layers_see_it(weights: Weights) -> None:
    deep = PRESET.model_copy(update={"style": TrainingStyle(size=48, layers={"conv4_1": 1.0})})
    strip = torch.rand(1, 3, 8, 60)
    objective = BatchObjective(loss_network(weights, deep), [strip], deep)
    assert objective(images(1), None, torch.tensor([0, 0, 0])).style > 0


def test_targets_have_no_gradient(batch_objective: BatchObjective) -> None:
    photos = images(0).requires_grad_()
    batch_objective(images(1).requires_grad_(), photos, torch.tensor(STYLES)).total.backward()
    assert photos.grad is None
