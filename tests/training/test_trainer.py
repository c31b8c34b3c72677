from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from styleforge.losses.objective import Loss
from styleforge.networks.model_file import Model, ModelInfo, ModelStyle, widened
from styleforge.networks.transformer import style_parameters
from styleforge.presets.training import Schedule, TrainingPreset
from styleforge.presets.transfer import TrainingStatisticName
from styleforge.training.objective import BatchObjective
from styleforge.training.trainer import Trainer, learning_rate
from styleforge.transfers.loss_network import loss_network
from styleforge.vgg.weights import Weights
from tests.conftest import mostly_slow
from tests.training.conftest import (
    STYLIZING_TEXTURE,
    TEXTURE,
    TRANSFORMER,
    assert_same,
    brightness,
    generator_for,
    matching,
    preset,
    weights_of,
)

GENERATORS = pytest.mark.parametrize(
    "generator", [TRANSFORMER, TEXTURE, STYLIZING_TEXTURE], ids=["transformer", "texture", "both"]
)
Evaluate = Callable[[Tensor, Tensor | None, Tensor], Loss]


def photos_for(settings: TrainingPreset, count: int = 2) -> Tensor | None:
    if settings.generator.kind == "texture" and not settings.generator.content:
        return None
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def trainer_for(
    settings: TrainingPreset, objective: Any = brightness, *, styles: int = 1, **options: Any
) -> Trainer:
    network = generator_for(settings, styles)
    return Trainer(network, objective, settings, styles=styles, **options)


def failing_at(*calls: int, objective: Evaluate = brightness) -> Evaluate:
    """The same objective, but these of its evaluations (the first is 1) are not a number."""
    count = 0

    def failing(pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        nonlocal count
        count += 1
        loss = objective(pastiches, photos, styles)
        return Loss(*(term * float("nan") for term in loss)) if count in calls else loss

    return failing


def rate(trainer: Trainer) -> float:
    """The learning rate of the last step."""
    found: float = trainer.state()["optimizer"]["param_groups"][0]["lr"]
    return found


@GENERATORS
@pytest.mark.parametrize("statistic", mostly_slow(get_args(TrainingStatisticName)))
def test_the_loss_falls(
    generator: dict[str, Any], statistic: str, weights: Weights, painting: Tensor
) -> None:
    settings = matching(preset(generator, steps=12, learning_rate=0.03), statistic)
    objective = BatchObjective(loss_network(weights, settings), [painting], settings)
    trainer = trainer_for(settings, objective)
    photos = photos_for(settings)
    losses = [trainer.step(photos, [0, 1]).total for _ in range(settings.training.steps)]
    assert losses[-1] < 0.8 * losses[0]
    assert trainer.step_count == settings.training.steps


@GENERATORS
def test_the_averages_loss_falls_too(generator: dict[str, Any]) -> None:
    settings = preset(generator, steps=12, learning_rate=0.03)
    trainer, photos = trainer_for(settings), photos_for(settings)
    before = trainer.validate(photos, [0, 1])
    for _ in range(settings.training.steps):
        trainer.step(photos, [0, 1])
    after = trainer.validate(photos, [0, 1])
    assert after.total < before.total
    assert after == trainer.validate(photos, [0, 1]), "nothing is learned from a validation"


@GENERATORS
def test_the_average_is_of_the_last_steps_at_first(generator: dict[str, Any]) -> None:
    settings = preset(generator)
    trainer, photos = trainer_for(settings), photos_for(settings)
    seen: list[dict[str, Tensor]] = []
    for _ in range(4):
        trainer.step(photos, [0, 1])
        seen.append(weights_of(trainer.generator))
    for name, mean in trainer.average.state_dict().items():
        if mean.is_floating_point():
            expected = seen[0][name]
            for count, weights in enumerate(seen[1:], 2):
                expected = torch.lerp(expected, weights[name], 10 / (count + 9))
            torch.testing.assert_close(mean, expected)
        else:
            assert mean == 4, "batches that batch normalisation has seen"


@pytest.mark.slow
def test_the_first_steps_teach_the_network_to_give_photos_back() -> None:
    settings = preset(TRANSFORMER, steps=40, learning_rate=0.03, identity=39)
    calls: list[int] = []

    def counting(pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        calls.append(1)
        return brightness(pastiches, photos, styles)

    trainer = trainer_for(settings, counting)
    photos = photos_for(settings)
    losses = [trainer.step(photos, [0, 1]) for _ in range(39)]
    assert losses[-1].total < 0.9 * losses[0].total
    assert all(loss.total == loss.content for loss in losses)
    assert not calls
    trainer.step(photos, [0, 1])
    assert len(calls) == 1


def test_the_average_begins_anew_with_the_painting() -> None:
    trainer = trainer_for(preset(TRANSFORMER, steps=9, identity=3))
    photos = photos_for(preset())
    for _ in range(3):
        trainer.step(photos, [0, 1])
    before = [weights_of(x)["output.weight"] for x in (trainer.average, trainer.generator)]
    assert not torch.equal(*before)
    trainer.step(photos, [0, 1])
    assert_same(weights_of(trainer.average), weights_of(trainer.generator))


def test_the_average_is_an_exponential_mean_later() -> None:
    trainer = trainer_for(preset(average=0.1))
    seen = []
    for _ in range(4):
        trainer.step(photos_for(preset()), [0, 1])
        seen.append(weights_of(trainer.generator)["output.weight"])
    first, second, third, fourth = seen
    expected = (first + 10 * second) / 1100 + 0.09 * third + 0.9 * fourth
    torch.testing.assert_close(trainer.average.state_dict()["output.weight"], expected)


def test_without_averaging_the_last_weights_are_kept() -> None:
    trainer = trainer_for(preset(average=0.0))
    for _ in range(3):
        trainer.step(photos_for(preset()), [0, 1])
    assert_same(weights_of(trainer.average), weights_of(trainer.generator))


def with_trained_styles(generator: nn.Module) -> nn.Module:
    """Scales and shifts that differ from style to style, as after a training."""
    for name, parameter in generator.named_parameters():
        if name.endswith(("scale", "shift")):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return generator


def test_adding_styles_changes_their_scales_and_shifts_alone() -> None:
    settings = preset()
    styles = [ModelStyle(name="old"), ModelStyle(name="older")]
    info = ModelInfo(generator=settings.generator, styles=styles)
    old = Model(info, with_trained_styles(generator_for(settings, 2)).requires_grad_(False))
    network = widened(old, [ModelStyle(name="new")]).network
    trainer = Trainer(network, brightness, settings, styles=3, first_style=2)
    start = weights_of(network)
    for step in range(3):
        trainer.step(photos_for(settings), [2 * step, 2 * step + 1])
    for trained in (trainer.generator, trainer.average):
        for name, found in weights_of(trained).items():
            if name.endswith(("scale", "shift")):
                assert found[:2].equal(start[name][:2]), name
                assert not found[2].equal(start[name][2]), name
            else:
                assert found.equal(start[name]), name


@pytest.mark.parametrize(
    ("first_style", "turns"), [(None, [0, 1, 2, 0]), (1, [1, 2, 1, 2]), (2, [2, 2, 2, 2])]
)
def test_each_style_that_is_trained_has_its_turn(first_style: int | None, turns: list[int]) -> None:
    seen: list[list[int]] = []

    def objective(pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        seen.append(styles.tolist())
        return brightness(pastiches, photos, styles)

    trainer = trainer_for(preset(), objective, styles=3, first_style=first_style)
    trainer.step(photos_for(preset(), 4), [0, 1, 2, 3])
    trainer.validate(photos_for(preset(), 4), [0, 1, 2, 3])
    assert seen == [turns, turns]


def test_each_image_gets_the_scales_of_its_style() -> None:
    settings = preset()
    network = with_trained_styles(generator_for(settings, 2))
    trainer = Trainer(network, brightness, settings, styles=2)
    photos = photos_for(settings)
    assert photos is not None
    together = trainer.validate(photos, [0, 1]).total
    apart = [trainer.validate(photos[i : i + 1], [i]).total for i in range(2)]
    assert together == pytest.approx(sum(apart) / 2)
    assert apart[1] != pytest.approx(trainer.validate(photos[1:], [0]).total)


def test_noise_follows_from_a_samples_number() -> None:
    trainer = trainer_for(preset(TEXTURE))
    together = trainer.validate(None, [3, 8]).total
    apart = [trainer.validate(None, [number]).total for number in (8, 3)]
    assert together == pytest.approx(sum(apart) / 2)
    assert apart[0] != apart[1]


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, warm_up=10, learning_rate=2.0)
    rates = [learning_rate(schedule, step, 0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates.index(max(rates)) == 9
    assert rates[25] == pytest.approx(1 + 0.5**0.5)
    assert rates[50] == pytest.approx(1.0)
    assert rates[75] == pytest.approx(1 - 0.5**0.5)
    assert rates[100] == pytest.approx(0.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_the_learning_rate_without_a_warm_up_begins_at_its_height() -> None:
    assert learning_rate(Schedule(warm_up=0, learning_rate=2.0), 0, 0) == 2.0


@pytest.mark.parametrize(("width", "kernel", "share"), [(4, 3, 1.0), (32, 9, 300 / (32 * 81))])
def test_a_last_convolution_of_many_inputs_learns_slowly(
    width: int, kernel: int, share: float
) -> None:
    """Its output would change by the learning rate times their number, and saturate."""
    network = {**TRANSFORMER, "width": width, "kernel": kernel}
    settings = preset(network, learning_rate=0.5)
    trainer = trainer_for(settings, brightness)
    trainer.step(photos_for(settings), [0, 1])
    groups = trainer.state()["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [0.5, pytest.approx(0.5 * share)]
    assert len(groups[1]["params"]) == 2, "its weight and its bias"


def test_scales_and_shifts_learn_at_a_rate_of_their_own() -> None:
    settings = preset(learning_rate=0.5, style_rate=3.0)
    trainer = trainer_for(settings, brightness)
    trainer.step(photos_for(settings), [0, 1])
    groups = trainer.state()["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [0.5, 0.5, 1.5]
    assert len(groups[2]["params"]) == len(style_parameters(trainer.generator))


def test_a_normalized_output_can_be_trained() -> None:
    settings = preset({**TRANSFORMER, "normalized_output": True})
    trainer = trainer_for(settings, brightness)
    before = weights_of(trainer.generator)
    trainer.step(photos_for(settings), [0, 1])
    after = weights_of(trainer.generator)
    assert [name for name, x in before.items() if after[name].equal(x)] == []


def test_each_setback_halves_the_learning_rate() -> None:
    schedule = Schedule(steps=100, warm_up=10, learning_rate=2.0)
    for setbacks in range(4):
        expected = learning_rate(schedule, 30, 0) / 2**setbacks
        assert learning_rate(schedule, 30, setbacks) == expected


def assert_is_at(trainer: Trainer, state: dict[str, Any]) -> None:
    found = trainer.state()
    assert found["step"] == state["step"]
    for network in ("generator", "average"):
        assert_same(found[network], state[network])


@GENERATORS
def test_a_loss_that_is_not_finite_goes_back_to_the_last_good_state(
    generator: dict[str, Any],
) -> None:
    settings = preset(generator)
    trainer, photos = trainer_for(settings, failing_at(4)), photos_for(settings)
    for step in range(3):
        if step == 2:
            trainer.mark_good()
            good = trainer.state()
        trainer.step(photos, [2 * step, 2 * step + 1])
    assert trainer.step_count == 3
    assert not trainer.step(photos, [6, 7]).total < float("inf")
    assert_is_at(trainer, good)
    assert trainer.setbacks == 1
    assert trainer.step(photos, [4, 5]).total < float("inf")
    assert trainer.step_count == 3
    assert rate(trainer) == learning_rate(settings.training, 2, 1)


def test_a_first_loss_that_is_not_finite_goes_back_to_the_start() -> None:
    trainer = trainer_for(preset(), failing_at(1))
    start = trainer.state()
    trainer.step(photos_for(preset()), [0, 1])
    assert_is_at(trainer, start)


def test_a_gradient_that_is_not_finite_goes_back_too() -> None:
    def steep(pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        loss = brightness(pastiches, photos, styles)
        infinite = (pastiches - pastiches.detach()).mean().sqrt()
        return loss._replace(total=loss.total + infinite)

    trainer = trainer_for(preset(), steep)
    start = trainer.state()
    assert trainer.step(photos_for(preset()), [0, 1]).total < float("inf")
    assert_is_at(trainer, start)
    assert trainer.setbacks == 1


@GENERATORS
def test_too_many_setbacks_are_an_error_and_leave_the_last_good_state(
    generator: dict[str, Any],
) -> None:
    settings = preset(generator)
    trainer, photos = trainer_for(settings, failing_at(*range(2, 99))), photos_for(settings)
    trainer.step(photos, [0, 1])
    trainer.mark_good()
    good = trainer.state()
    for _ in range(5):
        trainer.step(photos, [2, 3])
    with pytest.raises(FloatingPointError) as caught:
        trainer.step(photos, [2, 3])
    assert str(caught.value) == (
        "the loss was not finite 6 times; use smaller weights or a smaller learning rate"
    )
    assert_is_at(trainer, good)


@GENERATORS
def test_a_state_depends_on_no_later_step(generator: dict[str, Any]) -> None:
    settings = preset(generator)
    trainer, photos = trainer_for(settings), photos_for(settings)
    trainer.step(photos, [0, 1])
    state = trainer.state()
    kept = copy.deepcopy(state)
    trainer.load_state(state)
    trainer.step(photos, [2, 3])
    assert state["step"] == kept["step"] == 1
    for network in ("generator", "average"):
        assert_same(state[network], kept[network])
    for number, moments in kept["optimizer"]["state"].items():
        assert_same(state["optimizer"]["state"][number], moments)


def test_setbacks_are_part_of_the_state() -> None:
    settings, photos = preset(), photos_for(preset())
    trainer, other = trainer_for(settings, failing_at(1)), trainer_for(settings)
    trainer.step(photos, [0, 1])
    other.load_state(trainer.state())
    other.step(photos, [0, 1])
    assert rate(other) == settings.training.learning_rate / 2
