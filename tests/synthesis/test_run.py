from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import OutOfMemoryError
from styleforge.images.geometry import Size
from styleforge.losses.objective import Loss
from styleforge.optimize.coarse_to_fine import CoarseToFine
from styleforge.optimize.scales import Scale
from styleforge.synthesis.run import resize_periodic, synthesis
from tests.objectives import distance_to


def checked(size: Size) -> Tensor:
    """Left half dark, right half light: not periodic, and the same at every size."""
    width, height = size
    columns = torch.linspace(0.2, 0.8, width).view(1, 1, 1, width)
    return columns.expand(1, 3, height, width)


def run_towards_it(scales: list[Scale], *, periodic: bool = False) -> CoarseToFine:
    return synthesis(lambda size: distance_to(checked(size)), scales, periodic=periodic)


@pytest.mark.parametrize("periodic", [False, True])
def test_it_finds_the_minimum_coarse_to_fine(periodic: bool) -> None:
    scales = [Scale((16, 8), 8), Scale((32, 16), 12)]
    run = run_towards_it(scales, periodic=periodic)
    assert not run.reached
    records = list(run)
    assert run.reached
    assert [r.scale_index for r in records] == sorted(r.scale_index for r in records)
    assert {r.scale for r in records} == set(scales)
    assert run.image().shape == (1, 3, 16, 32)
    assert (run.image() - checked((32, 16))).abs().max() < 0.05


def test_what_there_is_has_the_final_size_at_any_time() -> None:
    run = run_towards_it([Scale((16, 8), 8), Scale((32, 16), 8)])
    assert run.image().shape == (1, 3, 16, 32)
    next(iter(run))
    assert run.image().shape == (1, 3, 16, 32)


def test_a_finer_scale_starts_from_the_coarser_result() -> None:
    records = list(run_towards_it([Scale((16, 8), 10), Scale((32, 16), 0)]))
    assert records[-1].loss.total < 0.1 * records[0].loss.total


def test_a_periodic_picture_is_enlarged_over_its_edges(photo: Tensor) -> None:
    size = (2 * photo.shape[3], 2 * photo.shape[2])
    enlarged = resize_periodic(photo, size)
    moved = resize_periodic(photo.roll((5, 7), (2, 3)), size)
    assert enlarged.shape == (1, 3, size[1], size[0])
    torch.testing.assert_close(moved, enlarged.roll((10, 14), (2, 3)), rtol=0, atol=1e-5)


def test_out_of_memory_is_an_error_of_its_own() -> None:
    def failing(_: Tensor) -> Loss:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError, match="out of memory at 16 x 8 pixels; try `size` 8"):
        list(synthesis(lambda _: failing, [Scale((16, 8), 1)]))
