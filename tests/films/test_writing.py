from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.films.reading import WHOLE, Film, Span, open_film, read_comment, read_frames
from styleforge.films.writing import Encoding, FilmWriter
from tests.films.made import SIZE, frames_of, pan, save, sound_of, times_of

TIMES = [0, 512, 900, 2000, 2100, 4000, 5000, 9000]
"""Of a rate that varies; Matroska's are whole milliseconds."""


def copied(film: Film, path: Path, span: Span = WHOLE, *, codec: str = "", text: str = "") -> Path:
    """A film written anew, frame by frame."""
    encoding = Encoding(path.suffix, codec, 5 if path.suffix == ".mp4" else None)
    with FilmWriter(path, film, encoding, comment=text) as writer:
        for frame in read_frames(film, span, encoding.size(film.size)):
            writer.add(frame)
        writer.to_the_end = span.stop is None
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_times_and_sound_are_as_they_were(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / f"a{suffix}", pan(8), times=TIMES, sound="aac")
    made = copied(open_film(source), tmp_path / f"b{suffix}")
    assert times_of(made) == times_of(source)
    assert sound_of(made) == sound_of(source)


def test_sound_is_cut_with_the_frames(tmp_path: Path) -> None:
    source = save(tmp_path / "a.mp4", pan(20), sound="aac")
    made = copied(open_film(source), tmp_path / "b.mp4", Span(0.2, 0.6))
    before, after = sound_of(source), sound_of(made)
    kept = [(time, packet) for time, packet in before if 0.2 <= time < 0.6]
    assert [packet for _, packet in after] == [packet for _, packet in kept]
    assert float(after[0][0]) == pytest.approx(float(kept[0][0]) - 0.2, abs=1e-3)
    assert [float(time) for time in times_of(made)] == pytest.approx([k / 25 for k in range(10)])


def test_the_same_film_twice_is_the_same(tmp_path: Path) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(9), sound="aac"))
    one, other = (copied(film, tmp_path / f"{name}.mp4") for name in "bc")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_the_same_frames_are_the_same_bytes_whatever_memory_held_before(
    tmp_path: Path, codec: str
) -> None:
    """x264 for AVX-512 reads what it has not written; glibc fills new memory with a byte."""
    made = set()
    for number, fill in enumerate(("1", "170")):
        path = tmp_path / f"{number}.mkv"
        subprocess.run(
            [sys.executable, "-m", "tests.films.grainy", str(path), codec],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            check=True,
            timeout=120,
        )
        made.add(path.read_bytes())
    assert len(made) == 1


def test_colors_look_as_before(tmp_path: Path) -> None:
    for color, tags in (
        ((200, 50, 30), {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}),
        ((10, 200, 90), {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 2}),
    ):
        film = open_film(
            save(tmp_path / "a.mp4", [np.full((40, 48, 3), color, np.uint8)] * 2, tags=tags)
        )
        made = open_film(copied(film, tmp_path / "b.mp4"))
        assert made.color == film.color
        before, after = (next(read_frames(one)).levels.astype(int) for one in (film, made))
        assert np.abs(before - after).max() <= 2


def test_odd_sides_become_even() -> None:
    assert Encoding(".mp4").size((49, 40)) == (48, 40)
    assert Encoding(".mp4").size((51, 1)) == (52, 2)
    assert Encoding(".gif").size((49, 41)) == (49, 41)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_there_and_back(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "a.mp4", pan(5), times=[0, 512, 1536, 2048, 2560])
    made = copied(open_film(source), tmp_path / f"b{suffix}", text='{"a":1}')
    film = open_film(made)
    frames = list(read_frames(film))
    assert film.size == SIZE
    assert [float(f.time * film.time_base) for f in frames] == [0, 0.04, 0.12, 0.16, 0.2]
    assert read_comment(made) == '{"a":1}'
    with Image.open(made) as image:
        assert image.info["loop"] == 0
        assert getattr(image, "n_frames", 1) == 5
    for frame, original in zip(frames, pan(5), strict=True):
        assert np.abs(frame.levels - original.astype(int)).mean() < 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_comment_is_kept(tmp_path: Path, suffix: str) -> None:
    made = copied(
        open_film(save(tmp_path / "a.mp4", pan(2))), tmp_path / f"b{suffix}", text="how é"
    )
    assert read_comment(made) == "how é"


@pytest.mark.parametrize(
    ("suffix", "codec", "crf", "message"),
    [
        (
            ".mp4",
            "nonsense",
            None,
            "`codec` is h264, hevc, h265, vp9, av1, webp or an encoder of FFmpeg's "
            "(not 'nonsense')",
        ),
        (".mp4", "hevc", 52, "`crf` of libx265 is from 0 to 51 (not 52)"),
        (".gif", "", 20, "`crf` is not of gif; leave it out"),
        (
            ".webm",
            "",
            None,
            "b.webm: a .webm file cannot hold libvpx-vp9 with sound (aac); name a .mkv file or "
            "another `codec`, or leave the sound out with `no_sound`",
        ),
        (
            ".gif",
            "h264",
            None,
            "b.gif: a .gif file cannot hold libx264; name a .mkv file or another `codec`",
        ),
    ],
)
def test_a_mistake(tmp_path: Path, suffix: str, codec: str, crf: int | None, message: str) -> None:
    film = open_film(save(tmp_path / "a.mp4", pan(2), sound="aac"))
    with pytest.raises(UsageError) as caught, warnings.catch_warnings():
        Encoding(suffix, codec, crf).check(Path(f"b{suffix}"), film)
    assert str(caught.value) == message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "hevc"), (".webm", "vp9"), (".mp4", "av1"), (".mov", "mpeg4")]
)
def test_other_codecs(tmp_path: Path, suffix: str, codec: str) -> None:
    frames = pan(4, size=(96, 80))
    film = open_film(save(tmp_path / "a.mp4", frames))
    made = copied(film, tmp_path / f"b{suffix}", codec=codec)
    assert len(frames_of(made)) == 4
    assert np.abs(frames_of(made)[0] - frames[0].astype(int)).mean() < 12


def test_frames_that_are_too_narrow_for_an_encoder() -> None:
    assert Encoding(".mp4", "hevc").size((64, 40)) == (64, 40)
    with pytest.raises(UsageError, match="libx265 needs frames at least 64 pixels wide"):
        Encoding(".mp4", "hevc").size((640, 400), 48)
