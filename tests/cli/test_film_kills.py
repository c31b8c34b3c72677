from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.film_kills import Studio

FRAMES, KILLS = 40, 4


@pytest.mark.slow
def test_a_film_that_is_killed_goes_on_and_is_the_same_at_its_end(tmp_path: Path) -> None:
    studio = Studio(tmp_path, FRAMES)
    delay = random.Random(0)
    counts = [studio.kill(delay) for _ in range(KILLS)]
    assert counts == sorted(counts), "nothing was lost"
    assert 0 < counts[-1] <= FRAMES
    studio.finish("killed.mp4")
    assert (tmp_path / "killed.mp4").read_bytes() == (tmp_path / "undisturbed.mp4").read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"clip.mp4", "m.safetensors", "killed.mp4", "undisturbed.mp4"}
