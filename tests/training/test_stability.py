from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.settings import validate
from styleforge.presets.training import TrainingPreset
from styleforge.training.stability import FARTHEST, instability, windows
from styleforge.training.trainer import Trainer
from tests.training.conftest import (
    TEXTURE,
    assert_same,
    brightness,
    generator_for,
    preset,
    weights_of,
)

STABLE = preset(crop=64, stability=10.0)


def photos(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 72, 72, generator=torch.Generator().manual_seed(1))


def trained(settings: TrainingPreset, steps: int) -> Trainer:
    trainer = Trainer(generator_for(settings), brightness, settings, styles=1)
    for step in range(steps):
        trainer.step(photos(), [2 * step, 2 * step + 1])
    return trainer


def test_both_windows_see_the_same_places() -> None:
    still, moved, shift = windows(photos(), 3)
    assert still.shape == moved.shape == (2, 3, 64, 64)
    assert all(1 <= pixels <= FARTHEST for pixels in shift)
    assert 0 < instability(still, moved, shift) < 0.0002  # no more than the noise
    assert instability(still, moved, (shift[0] % FARTHEST + 1, shift[1])) > 0.1


def test_windows_follow_from_the_seed() -> None:
    (one, again, other) = (windows(photos(), seed) for seed in (3, 3, 4))
    assert one.moved.equal(again.moved)
    assert one.shift == again.shift
    assert not one.moved.equal(other.moved)


def test_only_the_total_has_the_loss_of_stability() -> None:
    network = generator_for(STABLE)
    values = Trainer(network, brightness, STABLE, styles=1).step(photos(), [0, 1])
    assert values.total > values.content + values.style + values.tv


def test_a_stable_training_goes_on_bit_for_bit() -> None:
    whole = trained(STABLE, 3)
    half = trained(STABLE, 2)
    again = Trainer(generator_for(STABLE), brightness, STABLE, styles=1)
    again.load_state(half.state())
    again.step(photos(), [4, 5])
    assert_same(weights_of(again.generator), weights_of(whole.generator))


def test_a_moved_photo_is_painted_more_alike() -> None:
    def apart(settings: TrainingPreset) -> float:
        network = trained(settings, 20).average
        still, moved, shift = windows(photos(), 99)
        style = torch.ones(2, 1)
        return float(instability(network(still, style), network(moved, style), shift))

    without, stable = (preset(crop=64, steps=20, stability=weight) for weight in (0.0, 100.0))
    assert apart(stable) < 0.8 * apart(without)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"training": {"crop": 48, "stability": 1.0}},
            "training.crop: 64 or more, with training.stability",
        ),
        (
            {"generator": TEXTURE, "training": {"stability": 1.0}},
            "training.stability: is of transformer networks; leave it out",
        ),
    ],
)
def test_a_mistake(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(TrainingPreset, changed, "mine")
    assert message in str(caught.value)
