from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.film_kills import Studio
from tests.films.made import same

FRAMES, KILLS = 40, 4


@pytest.mark.slow
def test_a_film_that_is_killed_goes_on_and_is_the_same_at_its_end(tmp_path: Path) -> None:
    studio = Studio(tmp_path, FRAMES)
    delay = random.Random(0)
    counts = [studio.kill(delay) for _ in range(KILLS)]
    assert counts == sorted(counts), "nothing was lost"
    assert 0 < counts[-1] <= FRAMES
    studio.finish("killed.mp4")
    assert same(tmp_path / "killed.mp4", tmp_path / "undisturbed.mp4")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"clip.mp4", "m.safetensors", "killed.mp4", "undisturbed.mp4"}
