from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from styleforge.core.errors import UsageError
from styleforge.films.reading import Span, open_film, read_frames
from tests.films.made import SIZE, STEP, TIME_BASE, Array, pan, save


def test_frames_come_with_their_times(tmp_path: Path) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(5)))
    frames = list(read_frames(film))
    assert (film.size, film.time_base, film.rate) == (SIZE, TIME_BASE, 25)
    assert film.frame_count() == 5
    assert [(f.time, f.duration) for f in frames] == [(STEP * k, STEP) for k in range(5)]
    for frame, original in zip(frames, pan(5), strict=True):
        assert frame.levels.shape == (40, 48, 3)
        assert np.abs(frame.levels - original.astype(int)).mean() < 8


def test_a_rate_that_varies_is_kept(tmp_path: Path) -> None:
    times = [0, 100, 1000, 1001, 5000]
    film = open_film(save(tmp_path / "a.mp4", pan(5), times=times))
    found = [(frame.time, frame.duration) for frame in read_frames(film)]
    assert [time for time, _ in found] == times
    assert [duration for _, duration in found[:-1]] == [100, 900, 1, 3999]


@pytest.mark.parametrize(
    ("start", "stop", "kept"), [(0.0, 0.08, 2), (0.08, None, 18), (0.2, 0.4, 5)]
)
def test_only_the_span_is_read(tmp_path: Path, start: float, stop: float | None, kept: int) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(20), options={"crf": "10", "g": "6"}))
    frames = list(read_frames(film, Span(start, stop)))
    assert len(frames) == kept
    assert frames[0].time * film.time_base == Fraction(start).limit_denominator(1000)
    assert np.abs(frames[0].levels - pan(20)[round(start * 25)].astype(int)).mean() < 8


@pytest.mark.parametrize(("turned", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_convention_a_film_is_turned_upright(tmp_path: Path, turned: int, turns: int) -> None:
    """FFmpeg's degrees go against the clock, as numpy's quarter turns do."""
    film = open_film(save(tmp_path / "a.mp4", pan(2), turned=turned))
    (frame, _) = read_frames(film)
    expected = np.rot90(pan(1)[0], turns).astype(int)
    assert film.size == expected.shape[1::-1]
    assert np.abs(frame.levels - expected).mean() < 8


def test_pixels_become_square(tmp_path: Path) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(2), aspect=Fraction(3, 2)))
    assert film.size == (72, 40)
    assert next(read_frames(film)).levels.shape == (40, 72, 3)


FLAT = [(200, 50, 30), (10, 200, 90), (90, 90, 91), (0, 0, 0), (255, 255, 255)]


def _flat(color: tuple[int, int, int]) -> list[Array]:
    return [np.full((40, 48, 3), color, np.uint8)] * 2


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("levels", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("color", FLAT[:2])
def test_convention_matrix_and_range_are_the_films_own(
    tmp_path: Path, matrix: int, levels: int, color: tuple[int, int, int]
) -> None:
    """Numbers by the standards' formulas, put into a film that says so."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    r, g, b = (value / 255 for value in color)
    y = kr * r + (1 - kr - kb) * g + kb * b
    chroma = ((b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr))
    luma = 16 + 219 * y if levels == 1 else 255 * y
    scale = 224 if levels == 1 else 255
    numbers = [round(luma), *(round(128 + scale * c) for c in chroma)]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, levels
        frame = av.VideoFrame(48, 40, "yuv444p")
        frame.colorspace, frame.color_range = matrix, levels
        for plane, value in zip(frame.planes, numbers, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    film = open_film(path)
    assert (film.color.matrix, film.color.range) == (matrix, levels)
    (found,) = read_frames(film)
    assert np.abs(found.levels.astype(int) - color).max() <= 2


def test_a_film_of_one_frame(tmp_path: Path) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(1)))
    assert [frame.time for frame in read_frames(film)] == [0]


def test_frames_of_another_size_are_brought_to_the_first(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(48, 40), (64, 48)]):
        times = [STEP * (10 * number + k) for k in range(3)]
        part = save(tmp_path / f"{number}.ts", pan(3, size=size), times=times)
        parts.append(part.read_bytes())
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    shapes = [frame.levels.shape for frame in read_frames(open_film(both))]
    assert set(shapes) == {(40, 48, 3)}
    assert len(shapes) == 6


def test_a_film_that_is_cut_short_ends_earlier(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mkv", pan(20), options={"crf": "10", "g": "2"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames = list(read_frames(open_film(path)))
    assert 5 < len(frames) < 20


def _no_video(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        samples.sample_rate = 48000
        file.mux(stream.encode(samples))
        file.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "no such file: {}"),
        (lambda path: path.mkdir(), "{} is a folder, not a film"),
        (_no_video, "{} has no video stream"),
        (
            lambda path: path.write_bytes(b"nothing of the kind"),
            "{} is not a film that can be read (invalid data found when processing input)",
        ),
        (
            lambda path: path.write_bytes(save(path, pan(9)).read_bytes()[:900]),
            "{} is not a film that can be read (invalid data found when processing input)",
        ),
        (
            lambda path: save(path, pan(1), tags={"color_trc": 16}),
            "the film's colors are PQ (high dynamic range), which cannot be painted; "
            "convert it to SDR first",
        ),
    ],
    ids=["none", "folder", "sound only", "text", "cut short", "HDR"],
)
def test_a_mistake(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "a.mp4"
    make(path)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        open_film(path)
    assert str(caught.value) == message.format(path)
