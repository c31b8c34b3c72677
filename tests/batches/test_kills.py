from __future__ import annotations

from pathlib import Path

import pytest

from tests.batches.kills import Workplace, killed

PHOTOS, KILLS = 60, 5


@pytest.mark.slow
def test_a_batch_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path, PHOTOS)
    found = list(killed(workplace, KILLS))
    assert [(f.wrong, f.again) for f in found] == [(0, 0)] * KILLS
    assert 0 < found[-1].results < PHOTOS, "the kills hit it on the way"
    said = workplace.finish("killed")
    last = workplace.look("killed")
    assert (last.results, last.wrong, last.again, last.remains) == (PHOTOS, 0, 0, 0)
    done, skipped = PHOTOS - found[-1].results, found[-1].results
    assert f"{done} done, 0 failed, {skipped} skipped; " in said
