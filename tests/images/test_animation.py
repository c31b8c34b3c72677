from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.images.animation import (
    HOLD,
    LONGEST,
    MAX_FRAMES,
    RATE,
    Film,
    Frame,
    check_animation,
    encode_animation,
)


def frames(count: int = 3, *, width: int = 48, height: int = 33) -> list[Frame]:
    """From dark to light."""
    levels = np.linspace(30, 220, count).round().astype(np.uint8)
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


@pytest.mark.parametrize("records", [1, 5, 59, 60, 61, 300, 6001])
def test_a_film_has_at_most_60_frames_with_the_last(records: int) -> None:
    film = Film((64, 48), records)
    wanted = [record for record in range(records) if film.wants(record)]
    assert wanted[0] == 0
    assert len(wanted) + 1 <= MAX_FRAMES
    assert len(wanted) + 1 >= min(records, MAX_FRAMES // 2)


def test_frames_have_one_size_whatever_the_scale(photo: Tensor) -> None:
    film = Film((128, 86), 10)
    film.add(photo)
    film.add(torch.rand(1, 3, 86, 128))
    assert [frame.shape for frame in film.frames] == [(86, 128, 3)] * 2
    assert film.frames[0].dtype == np.uint8


def test_large_pictures_are_reduced() -> None:
    film = Film((1024, 512), 10)
    film.add(torch.rand(1, 3, 64, 128))
    assert film.frames[0].shape == (LONGEST // 2, LONGEST, 3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".WEBP"])
def test_an_animation_has_all_frames_repeats_and_holds_the_last(suffix: str) -> None:
    image = Image.open(io.BytesIO(encode_animation(frames(), suffix)))
    assert image.format == suffix[1:].upper()
    assert (image.size, image.n_frames, image.info["loop"]) == ((48, 33), 3, 0)  # type: ignore[attr-defined]
    durations, levels = [], []
    for index in range(3):
        image.seek(index)
        levels.append(np.asarray(image.convert("RGB")).mean())
        durations.append(image.info["duration"])
    assert levels == pytest.approx([30, 125, 220], abs=2)
    assert durations[:2] == pytest.approx([1000 / RATE] * 2, abs=10)
    assert durations[2] == pytest.approx(1000 / RATE * HOLD, rel=0.1)


def test_an_mp4_has_all_frames_and_even_sides() -> None:
    with av.open(io.BytesIO(encode_animation(frames(), ".mp4"))) as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(shown) == 2 + HOLD
    assert shown[0].shape == (32, 48, 3)
    assert [shown[index].mean() for index in (0, 1, -1)] == pytest.approx([30, 125, 220], abs=4)


def mistake(path: Path, *, force: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        check_animation(path, inputs=[], force=force)
    return str(caught.value)


def test_mistakes(tmp_path: Path) -> None:
    assert mistake(Path("out.avi")) == (
        "out.avi: an animation's name must end in one of .gif, .webp, .mp4"
    )
    there = tmp_path / "out.gif"
    there.write_bytes(b"mine")
    assert mistake(there) == f"{there} exists; use `force` to overwrite it"
    check_animation(there, inputs=[], force=True)
    assert mistake(tmp_path / "no" / "out.gif") == f"no such folder: {tmp_path / 'no'}"
