from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from styleforge.core.settings import validate
from styleforge.films.flow import motion
from styleforge.films.optimized import Followed, OptimizedFrames, following, unframed
from styleforge.images.geometry import size_of
from styleforge.jobs.film_painters import Moved, OptimizedFilm, pixels_of
from styleforge.presets.transfer import Preset, load_preset
from styleforge.transfers.studio import Studio
from styleforge.transfers.styles import StyleImage
from styleforge.vgg.weights import Weights
from tests.films.made import pan

BIG = (80, 64)
PRESET = {
    "size": 0,
    "content": {"layers": {"conv2_1": 1.0}},
    "style": {"beta": 1.0, "layers": {"conv1_1": 1.0}},
    "neighbors": {
        "weight": 10.0,
        "layers": {"conv1_2": 0.5, "conv2_1": 0.5},
        "hypercolumns": 64,
        "rounds": 1,
        "rotations": False,
    },
    "optimizer": {"steps": 3},
    "scales": {"start": 48, "steps": 3},
}
"""Of shallow layers, which are quick."""


@pytest.fixture
def studio(painting: Tensor, weights: Weights) -> Studio:
    return Studio([(painting, 1.0)], validate(Preset, PRESET, "test"), weights=weights)


def test_few_steps_after_some_at_half_the_size() -> None:
    preset = validate(Preset, PRESET, "test")
    found = following(preset, (256, 144))
    assert found.scales is not None
    assert (found.scales.start, found.scales.steps) == (128, 3)
    assert (found.neighbors.rounds, found.neighbors.hypercolumns) == (1, 128)
    assert found.sketch == 0
    assert found.optimizer.steps == 1


@pytest.mark.parametrize(("steps", "coarse", "expected"), [(0, 15, (0, 6)), (16, 4, (1, 4))])
def test_no_more_steps_than_the_first(steps: int, coarse: int, expected: tuple[int, int]) -> None:
    settings = {**PRESET, "optimizer": {"steps": steps}, "scales": {"start": 48, "steps": coarse}}
    found = following(validate(Preset, settings, "test"), (256, 144))
    assert found.scales is not None
    assert (found.optimizer.steps, found.scales.steps) == expected


def test_nothing_is_taken_from_the_rim_of_a_painting(painting: Tensor) -> None:
    width, height = size_of(painting)
    mask = unframed(StyleImage(painting)).mask
    assert mask is not None
    assert mask[0, 0, :, width // 2].nonzero().aminmax() == (
        round(0.05 * height),
        height - round(0.05 * height) - 1,
    )
    left = painting[:, :1].gt(0.5).float()
    both = unframed(StyleImage(painting, mask=left)).mask
    assert both is not None
    assert both.equal(mask * left)
    rim = 1 - mask
    assert unframed(StyleImage(painting, mask=rim)).mask is rim


def test_any_statistic_goes_with_films(studio: Studio, painting: Tensor) -> None:
    """A painting's rim is left out of the neighbors alone: this statistic knows no masks."""
    style = {**PRESET["style"], "statistic": "sliced-wasserstein"}
    preset = validate(Preset, {**PRESET, "style": style}, "test")
    frames = OptimizedFrames(studio.with_styles([(painting, 1.0)], preset), BIG)
    nothing = torch.zeros(1, 1, 64, 80)
    followed = Followed(torch.zeros(1, 3, 64, 80), start=nothing, share=nothing)
    assert frames.following(pixels_of(pan(1, size=BIG)[0]), followed).isfinite().all()


def test_a_later_frame_takes_a_small_part_of_the_first_ones_time(
    painting: Tensor, weights: Weights
) -> None:
    preset = load_preset("painterly").model_copy(update={"size": 0})
    frames = OptimizedFrames(Studio([(painting, 1.0)], preset, weights=weights), BIG)
    first, both = frames.seconds(1, 0, BIG), frames.seconds(1, 10, BIG)
    assert 0 < both - first < 5 * first


def test_a_still_stays_still(studio: Studio) -> None:
    (frame,) = pan(1, size=BIG)
    painter = OptimizedFilm(OptimizedFrames(studio, BIG))
    painted = [painter.first(frame)]
    for _ in range(2):
        painted.append(painter.following(Moved(frame, motion(frame, frame), frame, painted[-1])))
    assert max(np.abs(b.astype(int) - a).mean() for a, b in pairwise(painted)) < 1


def test_a_pan_takes_its_strokes_along(studio: Studio) -> None:
    """Where the scene is known a frame is the last one, moved; where it is new, it is another."""
    before, now = pan(2, size=BIG, step=8)
    painter = OptimizedFilm(OptimizedFrames(studio, BIG))
    first = painter.first(before)
    second = painter.following(Moved(now, motion(now, before), before, first))
    moved = np.abs(second[:, 4:64].astype(int) - first[:, 12:72]).mean()
    assert moved < 0.5 * np.abs(second[:, 4:64].astype(int) - first[:, 4:64]).mean()


def test_what_is_new_starts_from_the_painting(
    studio: Studio, painting: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any steps nothing but patches is left where all is new."""
    monkeypatch.setattr("styleforge.films.optimized.STEPS", 0)
    monkeypatch.setattr("styleforge.films.optimized.COARSE_STEPS", 0)
    (frame,) = pan(1, size=BIG)
    nothing = torch.zeros(1, 1, 64, 80)
    followed = Followed(torch.zeros(1, 3, 64, 80), start=nothing, share=nothing)
    red = painting * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    frames = OptimizedFrames(studio.with_styles([(red, 1.0)]), BIG)
    found = frames.following(pixels_of(frame), followed)
    assert size_of(found) == BIG
    assert found[:, 1:].max() < 0.05
    assert found[:, 0].mean() > 0.1
