from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleforge.images.geometry import resize
from styleforge.images.load import MIN_SIDE
from styleforge.optimize.scales import Scale, plan_scales, refine

SIDES = st.integers(MIN_SIDE, 3000)
PLANS = {
    "final": st.tuples(SIDES, SIDES),
    "start": st.integers(32, 600),
    "factor": st.floats(1.1, 8),
}


def plan(final: tuple[int, int], start: int, factor: float) -> list[Scale]:
    return plan_scales(final, steps=7, start=start, factor=factor, coarse_steps=3)


@given(**PLANS)
def test_last_scale_is_the_final_size_with_its_own_steps(**options: Any) -> None:
    *coarse, last = plan(**options)
    assert last == Scale(options["final"], 7)
    assert all(scale.steps == 3 for scale in coarse)


@given(**PLANS)
def test_scales_increase_by_about_the_factor(**options: Any) -> None:
    longest = [scale.longest for scale in plan(**options)]
    for smaller, larger in pairwise(longest):
        assert smaller < larger
        assert larger / smaller > 0.97 * options["factor"] ** 0.5


@given(**PLANS)
def test_scales_have_the_final_shape_to_rounding(**options: Any) -> None:
    final = options["final"]
    for scale in plan(**options):
        share = scale.longest / max(final)
        assert abs(scale.size[0] - final[0] * share) <= 0.5 + 1e-9
        assert abs(scale.size[1] - final[1] * share) <= 0.5 + 1e-9


@given(**PLANS)
def test_no_scale_is_too_small(**options: Any) -> None:
    assert all(min(scale.size) >= MIN_SIDE for scale in plan(**options))


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        ((512, 384), [(128, 96), (256, 192), (512, 384)]),
        ((384, 512), [(96, 128), (192, 256), (384, 512)]),
        ((160, 120), [(160, 120)]),  # 128 is too near
        ((200, 150), [(128, 96), (200, 150)]),
        ((100, 100), [(100, 100)]),
        ((512, 100), [(256, 50), (512, 100)]),  # 128 x 25 is too flat
    ],
)
def test_plans_by_example(final: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert [scale.size for scale in plan(final, 128, 2.0)] == expected


def test_unchanged_coarse_result_with_full_detail_is_the_content(photo: Tensor) -> None:
    coarse = resize(photo, (32, 22))
    torch.testing.assert_close(refine(coarse, coarse, photo, detail=1.0), photo)


def test_without_detail_it_is_an_enlargement(photo: Tensor) -> None:
    coarse = resize(photo, (32, 22)).flip(3)
    found = refine(coarse, resize(photo, (32, 22)), photo, detail=0.0)
    torch.testing.assert_close(found, resize(coarse, (64, 43)))


def test_refined_image_keeps_what_the_coarse_scale_changed(photo: Tensor) -> None:
    dim = 0.25 + 0.5 * photo
    coarse = resize(dim, (32, 22))
    found = refine(coarse + 0.1, coarse, dim, detail=1.0)
    torch.testing.assert_close(found, dim + 0.1, rtol=0, atol=1e-4)


def test_refined_image_stays_in_range(photo: Tensor) -> None:
    coarse = resize(photo, (32, 22))
    found = refine(torch.ones_like(coarse), coarse, photo, detail=1.0)
    assert found.min() >= 0
    assert found.max() <= 1
