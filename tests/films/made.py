"""Small films made by the tests: a photograph that moves, with known times and sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.conftest import CHELSEA

SIZE = (48, 40)
TIME_BASE = Fraction(1, 12800)
STEP = 512
"""Of the time base: 25 frames a second."""

Array = np.ndarray[Any, Any]


def pan(count: int, *, size: tuple[int, int] = SIZE, step: int = 1) -> list[Array]:
    """Frames (H, W, 3) of a window that goes over a photograph, ``step`` pixels a frame."""
    width, height = size
    photo = np.asarray(Image.open(CHELSEA).convert("RGB").resize((300, 200)))
    return [photo[60 : 60 + height, 90 + k * step : 90 + k * step + width] for k in range(count)]


def cut_together(*lengths: int, size: tuple[int, int] = (96, 80)) -> list[Array]:
    """Shots of so many frames: pans over the photograph, over its negative, and so on."""
    frames: list[Array] = []
    for number, length in enumerate(lengths):
        shot = pan(length, size=size)
        frames += [np.ascontiguousarray(255 - f[::-1]) if number % 2 else f for f in shot]
    return frames


def save(
    path: Path,
    frames: Sequence[Array],
    *,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: str = "",
    turned: int = 0,
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
) -> Path:
    """Write frames, at 25 a second or at their times, in units of :data:`TIME_BASE`.

    ``sound`` is a codec; ``turned`` is by how many degrees players turn it; ``tags`` are of its
    colors.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=25, options=options or {"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.thread_type = "FRAME"  # slices differ from run to run
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(turned)
        voice = file.add_stream(sound, rate=48000, layout="mono") if sound else None
        for time, levels in zip(times or range(0, STEP * len(frames), STEP), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(levels), format="rgb24")
            frame.pts, frame.time_base = time, TIME_BASE
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if voice is not None:
            last = (times or [STEP * (len(frames) - 1)])[-1] + STEP
            _sing(file, voice, float(last * TIME_BASE))
    return path


def _sing(file: Any, voice: Any, seconds: float) -> None:
    """A tone."""
    wave = np.sin(np.arange(int(48000 * seconds)) / 20).astype(np.float32)[None]
    for start in range(0, wave.shape[1], 1024):
        samples = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[:, start : start + 1024]), format="fltp", layout="mono"
        )
        samples.pts, samples.sample_rate = start, 48000
        samples.time_base = Fraction(1, 48000)
        file.mux(voice.encode(samples))
    file.mux(voice.encode(None))


def times_of(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(file.streams.video[0])]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """The packets of the first sound stream, with their times in seconds."""
    with av.open(str(path)) as file:
        packets = file.demux(file.streams.audio[0])
        return [(one.pts * one.time_base, bytes(one)) for one in packets if one.pts is not None]


def frames_of(path: Path) -> list[Array]:
    """(H, W, 3) each, as they are stored."""
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(file.streams.video[0])]
