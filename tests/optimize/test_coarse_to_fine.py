from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import OutOfMemoryError
from styleforge.images.geometry import Size, resize, size_of
from styleforge.optimize.coarse_to_fine import CoarseToFine, white_noise
from styleforge.optimize.minimize import Iterate
from styleforge.optimize.scales import Scale

SCALES = [Scale((16, 8), 2), Scale((32, 16), 1)]


def ramp(size: Size) -> Tensor:
    """(1, 3, H, W) from 0.2 on the left to 0.6 on the right."""
    width, height = size
    return torch.linspace(0.2, 0.6, width).expand(1, 3, height, width)


def brighter(scale: Scale, start: Tensor) -> Iterator[Iterate]:
    """Adds a tenth at each step."""
    for step in range(scale.steps + 1):
        yield Iterate.of(step, start + 0.1 * step, torch.tensor(1.0 - step))


def run(**options: float) -> CoarseToFine:
    return CoarseToFine(SCALES, lambda scale: ramp(scale.size), brighter, **options)  # type: ignore[arg-type]


def test_it_reports_every_step_of_every_scale() -> None:
    records = list(run())
    assert [(r.scale_index, r.step, r.evaluations) for r in records] == [
        *((0, 0, 1), (0, 1, 2), (0, 2, 3)),
        *((1, 0, 4), (1, 1, 5)),
    ]
    assert {(r.scale_count, r.scale.size) for r in records} == {(2, s.size) for s in SCALES}
    assert [r.loss.total for r in records] == [1, 0, -1, 1, 0]
    assert not any(r.note for r in records)


def test_what_there_is_has_the_final_size_at_any_time() -> None:
    one = run()
    assert one.reached is None
    assert one.image().equal(ramp((32, 16)))
    for _ in one:
        assert size_of(one.image()) == (32, 16)
    assert one.reached is not None
    assert one.reached.scale is SCALES[-1]


def test_a_finer_scale_starts_from_the_enlarged_result() -> None:
    one = run()
    list(one)
    torch.testing.assert_close(one.image(), resize(ramp((16, 8)) + 0.2, (32, 16)) + 0.1)


def test_with_its_detail_the_initial_image_is_moved_by_what_has_changed() -> None:
    one = run(detail=1.0)
    list(one)
    torch.testing.assert_close(one.image(), ramp((32, 16)) + 0.3)


def test_out_of_memory_goes_on_from_where_it_was_if_a_way_is_found() -> None:
    failures = [torch.OutOfMemoryError("CUDA out of memory")]
    asked = []

    def failing(scale: Scale, start: Tensor) -> Iterator[Iterate]:
        for iterate in brighter(scale, start):
            if iterate.step == 1 and failures:
                raise failures.pop()
            yield iterate

    def save_memory(size: Size) -> bool:
        asked.append(size)
        return True

    records = list(CoarseToFine(SCALES, lambda s: ramp(s.size), failing, save_memory=save_memory))
    assert asked == [(16, 8)]
    notes = [record.note for record in records]
    assert notes == ["", "out of memory: goes on in smaller tiles", "", "", "", ""]


def test_out_of_memory_is_an_error_of_its_own_where_there_is_no_way() -> None:
    def failing(*_: object) -> Iterator[Iterate]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError, match="out of memory at 16 x 8 pixels; try `size` 8"):
        list(CoarseToFine(SCALES, lambda s: ramp(s.size), failing))


def test_white_noise_is_faint_around_grey_and_follows_its_seed() -> None:
    noise = white_noise((64, 48), 3)
    assert noise.shape == (1, 3, 48, 64)
    assert noise.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert noise.std().item() == pytest.approx(0.02, rel=0.05)
    assert noise.equal(white_noise((64, 48), 3))
    assert not noise.equal(white_noise((64, 48), 4))
