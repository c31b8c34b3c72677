from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from styleforge.films.reading import WHOLE, FrameReader, open_film, read_frames
from styleforge.films.shots import Shot, cuts, fair_shares, shots_of
from tests.films.made import cut_together, pan, save


def test_shots_begin_where_nothing_is_found_again() -> None:
    begins = list(cuts(cut_together(3, 2, 4)))
    assert begins == [True, False, False, True, False, True, False, False, False]
    assert shots_of(begins) == [Shot(0, 3), Shot(3, 5), Shot(5, 9)]


def test_large_frames_are_looked_at_small() -> None:
    frames = pan(2, size=(200, 140), step=2)
    noise = np.random.default_rng(0).integers(0, 255, (140, 200, 3), np.uint8)
    assert list(cuts([*frames, noise])) == [True, False, True]


def test_a_film_without_frames_has_no_shots() -> None:
    assert shots_of(list(cuts([]))) == []


@pytest.mark.parametrize(
    ("lengths", "count", "expected"),
    [
        ([5, 5, 5, 5], 2, [[0, 2], [1, 3]]),
        ([9, 2, 3, 4, 1], 2, [[0, 4], [1, 2, 3]]),
        ([4], 3, [[0], [], []]),
    ],
)
def test_workers_get_about_as_many_frames(
    lengths: Sequence[int], count: int, expected: list[list[int]]
) -> None:
    ends = np.cumsum(lengths).tolist()
    shots = [Shot(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    shares = fair_shares(shots, count)
    assert [[shots.index(shot) for shot in share] for share in shares] == expected


def test_a_reader_finds_frames_by_their_numbers(tmp_path: Path) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(8)))
    expected = [frame.levels for frame in read_frames(film)]
    reader = FrameReader(film, WHOLE, film.size)
    for begin, end in ((2, 4), (6, 8), (1, 3), (3, 99)):  # also backwards, and beyond the end
        found = list(reader.read(begin, end))
        assert np.array_equal(found, expected[begin:end])
