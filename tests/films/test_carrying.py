from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from styleforge.films.carrying import carried
from tests.films.made import pan

INSIDE = (..., slice(12, -12), slice(12, -12))


@pytest.fixture(scope="module")
def frames() -> list[Tensor]:
    """Of a pan by three pixels, (1, 3, 80, 96) each."""
    arrays = [np.ascontiguousarray(one) for one in pan(2, size=(96, 80), step=3)]
    return [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in arrays]


def test_a_result_moves_with_its_scene(frames: list[Tensor]) -> None:
    before, now = frames
    start = carried(1 - before, before, now)
    assert start.shape == now.shape
    assert 0 <= start.min() <= start.max() <= 1
    left = (start - (1 - now))[INSIDE].abs().mean()
    assert left < 0.1 * (before - now)[INSIDE].abs().mean()


@pytest.mark.slow
def test_where_nothing_moved_the_result_stays(frames: list[Tensor]) -> None:
    before, result = frames
    torch.testing.assert_close(carried(result, before, before), result, atol=5e-3, rtol=0)
