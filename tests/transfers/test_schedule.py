from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from styleforge.core.errors import UsageError
from styleforge.core.settings import validate
from styleforge.images.load import MIN_SIDE
from styleforge.optimize.scales import Scale, Stage
from styleforge.presets.transfer import Preset, load_preset
from styleforge.transfers.schedule import MAX_ASPECT, OFFSETS, SKETCH_SIZES, check_shape, plan

STATISTICS, HYPERCOLUMNS, LAYERS = Stage.STATISTICS, Stage.HYPERCOLUMNS, Stage.LAYERS


def preset(**settings: Any) -> Preset:
    return validate(Preset, {"optimizer": {"steps": 4}, "scales": None, **settings}, "test")


def with_neighbors(**settings: Any) -> Preset:
    """Four rounds of a step each, unless said otherwise."""
    return preset(**{"neighbors": {"weight": 1, "rounds": 4}, **settings})


def stages(scales: list[Scale]) -> list[tuple[Stage, int, int]]:
    """(stage, longest side, steps) of each scale."""
    return [(scale.stage, scale.longest, scale.steps) for scale in scales]


@pytest.mark.parametrize(
    ("content_size", "size", "shorter", "needed"),
    [((320, 40), 64, 8, 256), ((40, 320), 200, 25, 256), ((1000, 333), 93, 31, 97)],
)
def test_image_too_flat_for_the_size(
    content_size: tuple[int, int], size: int, shorter: int, needed: int
) -> None:
    with pytest.raises(UsageError) as caught:
        plan(content_size, preset(size=size))
    assert str(caught.value) == (
        f"the content image is {content_size[0]} x {content_size[1]} pixels: at size {size} its "
        f"shorter side would have {shorter}; use `size` {needed} or more"
    )
    assert min(plan(content_size, preset(size=needed))[-1].size) == MIN_SIDE


def test_a_strip_is_refused() -> None:
    check_shape("a style image", (32 * MAX_ASPECT, 32))
    with pytest.raises(UsageError) as caught:
        plan((32 * MAX_ASPECT + 1, 32), preset())
    assert str(caught.value) == (
        "the content image is 513 x 32 pixels: its longer side may be at most 16 times its "
        "shorter; crop it"
    )


def test_size_0_keeps_the_photos_own() -> None:
    assert plan((77, 55), preset(size=0)) == [Scale((77, 55), 4)]
    assert plan((200, 150), preset(size=0, scales={"start": 64, "steps": 9})) == [
        Scale((64, 48), 9),
        Scale((128, 96), 9),
        Scale((200, 150), 4),
    ]


@pytest.mark.parametrize(
    ("size", "together", "alone"),
    [
        (64, [64], [64]),
        (128, [64, 128], [128]),
        (256, [64, 128, 256], [256]),
        (512, [64, 128, 256], [512]),
        (600, [64, 128, 256], [600]),  # 512 is too near
        (1024, [64, 128, 256], [512, 1024]),
        (2048, [64, 128, 256], [512, 1024, 2048]),
    ],
)
def test_the_defaults_stages_by_size(size: int, together: list[int], alone: list[int]) -> None:
    """All layers together up to 256 pixels, then three rounds of each by itself."""
    found = plan((3000, 2000), load_preset("painterly", {"size": size}))
    assert stages(found) == [
        *((HYPERCOLUMNS, longest, 20) for longest in together),
        *((LAYERS, longest, 7) for longest in alone for _ in range(3)),
    ]
    assert found[-1].size == (size, round(size * 2 / 3))


def test_one_scale_has_both_stages_unless_it_is_too_large() -> None:
    alone = [(LAYERS, 1)] * 4
    for size, together in ((48, [(HYPERCOLUMNS, 4)]), (256, [(HYPERCOLUMNS, 4)]), (257, [])):
        found = plan((400, 300), with_neighbors(size=size))
        assert stages(found) == [(stage, size, steps) for stage, steps in together + alone]


def test_scales_that_are_all_too_large_have_each_layer_by_itself() -> None:
    scales = {"start": 96, "steps": 9}
    neighbors = {"weight": 1, "hypercolumns": 32, "rounds": 1}
    found = plan((400, 400), with_neighbors(size=200, scales=scales, neighbors=neighbors))
    assert stages(found) == [(LAYERS, 96, 4), (LAYERS, 200, 4)]


def test_rounds_differ_in_where_their_cells_begin() -> None:
    neighbors = {"weight": 1, "rounds": 6}
    together, *rounds = plan((64, 64), with_neighbors(neighbors=neighbors, size=64))
    assert together.offset == (0, 0)
    assert [scale.offset for scale in rounds] == [*OFFSETS, *OFFSETS[:2]]
    for cell in (4, 8):
        assert len({(x % cell, y % cell) for x, y in OFFSETS}) == len(OFFSETS)


@pytest.mark.parametrize(
    ("steps", "rounds", "expected"),
    [(8, 4, [2, 2, 2, 2]), (10, 4, [3, 3, 2, 2]), (2, 3, [1, 1, 0]), (5, 1, [5]), (0, 2, [0, 0])],
)
def test_rounds_share_the_steps(steps: int, rounds: int, expected: list[int]) -> None:
    neighbors = {"weight": 1, "rounds": rounds}
    found = plan((64, 64), with_neighbors(neighbors=neighbors, optimizer={"steps": steps}, size=64))
    assert [scale.steps for scale in found if scale.stage is LAYERS] == expected


@pytest.mark.parametrize(
    ("size", "sketched"),
    [
        (64, [(64, 40)]),  # none suits: the last
        (128, [(128, 40)]),
        (256, [(128, 40), (256, 40)]),
        (1024, [(128, 40), (256, 40)]),
    ],
)
def test_a_sketch_comes_first_at_the_sizes_that_suit_it(
    size: int, sketched: list[tuple[int, int]]
) -> None:
    settings = {"size": size, "strength": 0.75}
    found = plan((1024, 768), load_preset("painterly", settings))
    count = len(sketched)
    assert stages(found[:count]) == [(STATISTICS, *own) for own in sketched]
    assert found[count:] == plan((1024, 768), load_preset("painterly", {"size": size}))
    assert all(96 <= longest <= 256 for longest, _ in sketched if size > 96)
    assert SKETCH_SIZES == (96, 256)


@pytest.mark.parametrize(("strength", "sketched"), [(0.1, False), (0.5, False), (0.51, True)])
def test_only_a_strength_above_a_half_has_a_sketch(strength: float, sketched: bool) -> None:
    found = plan((256, 256), load_preset("painterly", {"strength": strength}))
    assert (found[0].stage is STATISTICS) == sketched


@pytest.mark.parametrize("settings", [{"strength": 0}, {"neighbors.weight": 0}])
def test_without_neighbors_there_are_statistics_alone(settings: dict[str, Any]) -> None:
    found = plan((512, 384), load_preset("painterly", settings))
    assert stages(found) == [(STATISTICS, size, 20) for size in (64, 128, 256)] + [
        (STATISTICS, 512, 21)
    ]


@given(
    content_size=st.tuples(st.integers(200, 3000), st.integers(200, 3000)),
    size=st.integers(512, 3000),
    strength=st.floats(0.01, 1),
    hypercolumns=st.integers(32, 3000),
    rounds=st.integers(1, 6),
)
def test_any_run_has_its_stages_in_order_and_ends_at_its_size(
    content_size: tuple[int, int], size: int, strength: float, hypercolumns: int, rounds: int
) -> None:
    neighbors = {"weight": 1, "sketch": 1, "hypercolumns": hypercolumns, "rounds": rounds}
    found = plan(
        content_size,
        with_neighbors(
            neighbors=neighbors, size=size, strength=strength, scales={"start": 64, "steps": 3}
        ),
    )
    order = [list(Stage).index(scale.stage) for scale in found]
    assert order == sorted(order)
    for stage in Stage:
        longest = [scale.longest for scale in found if scale.stage is stage]
        assert longest == sorted(longest)
        assert stage is LAYERS or max(longest, default=0) <= hypercolumns
    assert [scale.longest for scale in found[-rounds:]] == [size] * rounds
    assert sum(scale.steps for scale in found[-rounds:]) == 4
