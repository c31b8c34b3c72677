"""Films to frames: (H, W, 3) of 8-bit levels, upright, with square pixels, each with its time."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.core.files import check_regular
from styleforge.films.animations import comment_of, is_animated, is_webp, webp_frames
from styleforge.films.color import BT709, FULL, LIMITED, Color, color_of
from styleforge.images.geometry import Size

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

Levels = np.ndarray[Any, np.dtype[np.uint8]]
"""A frame, (H, W, 3), RGB."""

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".gif")
"""What names of films mostly end in."""

_LATE = 0.5
"""Seconds by which a seek may miss: else the film's index is wrong."""

_MICROSECONDS = 10**6

_MOST_PIXELS = 2**26
"""Of a frame: more than 8K has."""


class Frame(NamedTuple):
    """``time`` and ``duration`` are in the film's time base; the film begins at 0."""

    time: int
    duration: int
    levels: Levels


class Span(NamedTuple):
    """From ``start`` on, before ``stop``, in seconds; no stop: to the end."""

    start: float = 0.0
    stop: float | None = None

    def check(self, seconds: float) -> None:
        """Raise :class:`UsageError` where there is nothing of a film of this length in it."""
        if self.start < 0:
            raise UsageError(f"`from` is a time in the film (not {self.start:g} s)")
        if self.stop is not None and self.stop <= self.start:
            raise UsageError(f"`to` ({self.stop:g} s) must be after `from` ({self.start:g} s)")
        if seconds and self.start >= seconds:
            raise UsageError(f"`from` is {self.start:g} s, and the film has {seconds:.2f} s")

    def has_begun(self, seconds: Fraction) -> bool:
        return seconds >= Fraction(self.start).limit_denominator(_MICROSECONDS)

    def is_over(self, seconds: Fraction) -> bool:
        stop = self.stop
        return stop is not None and seconds >= Fraction(stop).limit_denominator(_MICROSECONDS)

    def seconds(self, whole: float) -> float:
        """How much of a film it is."""
        return max(0.0, min(whole, whole if self.stop is None else self.stop) - self.start)


WHOLE = Span()


@dataclass(frozen=True)
class Film:
    """What a film's header and its first frame say.

    ``size`` is as it is shown. ``origin`` is the time, in seconds, that counts as 0. ``sounds``
    are the codecs of its sound streams. ``comment`` is what its maker wrote into it.
    """

    path: Path
    size: Size
    time_base: Fraction
    rate: Fraction
    seconds: float
    origin: Fraction
    color: Color
    sounds: tuple[str, ...] = ()
    comment: str = ""

    def frame_count(self, span: Span = WHOLE) -> int:
        """About how many there are."""
        return max(1, round(span.seconds(self.seconds) * self.rate))

    @property
    def usual_duration(self) -> int:
        """Of a frame, in units of the time base."""
        return max(1, round(1 / (self.rate * self.time_base)))

    @cached_property
    def zero(self) -> int:
        """The origin in units of the time base."""
        return round(self.origin / self.time_base)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A film's container. Raises :class:`UsageError` for what is none."""
    with _container(path) as container:
        yield container


def _container(path: Path) -> InputContainer:
    import av

    try:
        check_regular(path)
        return av.open(str(path))
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not a film") from None
    except PermissionError:
        raise UsageError(f"{path} may not be read (permission denied)") from None
    except (av.FFmpegError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise UsageError(f"{path} is not a film that can be read ({reason})") from error


def open_film(path: Path) -> Film:
    """Raises :class:`UsageError` for what has no frame that can be shown."""
    if is_webp(path):
        return _open_webp(path)
    with opened(path) as container:
        stream = _video_stream(container, path)
        first = next(_decoded(container, stream), None)
        if first is None:
            raise UsageError(f"{path} has a video stream with no frame in it")
        stored = (first.width, first.height)
        if stored[0] * stored[1] > _MOST_PIXELS:
            raise UsageError(f"{path} is {stored[0]} x {stored[1]} pixels, which is too large")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Film(
            path=path,
            size=_shown(first, stream),
            time_base=stream.time_base,
            rate=rate,
            seconds=_seconds(container, stream, rate),
            origin=Fraction(max(0, container.start_time or 0), _MICROSECONDS),
            color=color_of(first, stored),
            sounds=tuple(one.codec_context.name for one in container.streams.audio),
            comment=comment_of(path) if container.format.name == "gif" else _comment(container),
        )


def _open_webp(path: Path) -> Film:
    """Its own times are in milliseconds."""
    times, size = [], (0, 0)
    for levels, duration in webp_frames(path):
        times.append(duration)
        size = size if times[1:] else (levels.shape[1], levels.shape[0])
    seconds, color = sum(times) / 1000, Color(BT709, BT709, BT709, LIMITED)
    rate = Fraction(1000 * len(times), sum(times)).limit_denominator(1000)
    comment = comment_of(path)
    return Film(path, size, Fraction(1, 1000), rate, seconds, Fraction(0), color, (), comment)


def is_film(path: Path) -> bool:
    """Whether a file's name says that it is a film, or a picture that moves."""
    if path.suffix.lower() == ".webp" and is_webp(path):
        return is_animated(path)
    return path.suffix.lower() in FILMS


def read_comment(path: Path) -> str:
    """What the maker of a film wrote into it. Raises :class:`UsageError` for what is none."""
    if is_webp(path):
        return comment_of(path)
    with opened(path) as container:
        if container.format.name == "gif":
            return comment_of(path)
        return _comment(container)


class Shown(NamedTuple):
    """A frame of which no picture was made yet; its times are a :class:`Frame`'s."""

    time: int
    duration: int
    levels: Callable[[], Levels]

    def frame(self) -> Frame:
        return Frame(self.time, self.duration, self.levels())


def read_frames(film: Film, span: Span = WHOLE, size: Size | None = None) -> Iterator[Frame]:
    """The frames whose time is in the span, at a (width, height), else as they are shown.

    Frames of other sizes, of which a stream may change to, are brought to that size, too. A film
    that is damaged ends, with a warning, where it cannot be read any more.
    """
    return (shown.frame() for shown in shown_frames(film, span, size))


def shown_frames(film: Film, span: Span = WHOLE, size: Size | None = None) -> Iterator[Shown]:
    """The same, decoded, but each made a picture of only where that is asked for."""
    if is_webp(film.path):
        yield from _webp_frames(film, span, size or film.size)
        return
    with opened(film.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        shown = _timed(_from(container, stream, film, span.start), film)
        for (frame, time), following in _with_next(shown):
            if span.is_over(time * film.time_base):
                return
            if span.has_begun(time * film.time_base):
                usual = frame.duration or film.usual_duration
                duration = usual if following is None else following[1] - time
                made = partial(levels_of, frame, size or film.size, film.color)
                yield Shown(time, duration, made)


def _webp_frames(film: Film, span: Span, size: Size) -> Iterator[Shown]:
    time = 0
    for levels, duration in webp_frames(film.path):
        if span.is_over(time * film.time_base):
            return
        if span.has_begun(time * film.time_base):
            yield Shown(time, duration, partial(_resized, levels, size))
        time += duration


def _resized(levels: Levels, size: Size) -> Levels:
    return np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))


def frame_times(film: Film, span: Span = WHOLE) -> list[int]:
    """When frames of the span are shown, as the file's packets say: nothing is decoded.

    In units of the time base. A damaged film may have fewer frames than this.
    """
    if is_webp(film.path):
        return [shown.time for shown in shown_frames(film, span)]
    with opened(film.path) as container:
        packets = container.demux(container.streams.video[0])
        found = {one.pts - film.zero for one in packets if one.pts is not None and one.size}
    base = film.time_base
    return sorted(t for t in found if span.has_begun(t * base) and not span.is_over(t * base))


class FrameReader:
    """Frames by their numbers, forwards: of what lies between no picture is made.

    It never seeks, so that what it reads does not depend on where others begin to read.
    """

    def __init__(self, film: Film, span: Span, size: Size) -> None:
        self._film = (film, span, size)
        self._shown: Iterator[Shown] = iter(())
        self._next: int | None = None

    def read(self, begin: int, end: int) -> Iterator[Levels]:
        """Frames from ``begin`` on, before ``end``; from the film's first one again, if need be."""
        if self._next is None or begin < self._next:
            self._shown, self._next = shown_frames(*self._film), 0
        while self._next < end and (shown := next(self._shown, None)) is not None:
            self._next += 1
            if self._next > begin:
                yield shown.levels()


def levels_of(frame: av.VideoFrame, size: Size, color: Color) -> Levels:
    """A frame upright, at a (width, height), in full-range RGB."""
    turns, mirrored = _orientation(frame)
    width, height = size if turns % 2 == 0 else size[::-1]
    if not frame.format.is_rgb:
        frame.colorspace, frame.color_range = color.matrix, color.range
    rgb = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=color.swscale,
        src_color_range=FULL if frame.format.is_rgb else color.range,
        dst_color_range=FULL,
        interpolation=_exact_bicubic(),
    )
    levels = np.rot90(rgb.to_ndarray(), turns)
    return np.ascontiguousarray(levels[:, ::-1] if mirrored else levels)


def _comment(container: InputContainer) -> str:
    """Matroska writes names of tags in capitals."""
    tags = {name.lower(): text for name, text in container.metadata.items()}
    return str(tags.get("comment", ""))


def _exact_bicubic() -> Any:
    """Rounded, and with colors at every pixel: by default swscale is a level or two too dark."""
    from av.video.reformatter import Interpolation as Flag

    return Flag.BICUBIC | Flag.ACCURATE_RND | Flag.FULL_CHR_H_INT | Flag.FULL_CHR_H_INP


def _video_stream(container: InputContainer, path: Path) -> Any:
    """The first one that is no cover picture of a piece of music."""
    import av

    if not container.streams.video:
        raise UsageError(f"{path} has no video stream")
    stream = container.streams.video[0]
    if stream.disposition & av.stream.Disposition.attached_pic:
        raise UsageError(f"{path} has no video stream, only a cover picture")
    return stream


def _shown(frame: av.VideoFrame, stream: Any) -> Size:
    """(width, height) upright and with square pixels."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width = max(1, round(frame.width * aspect)) if aspect > 0 else frame.width
    turns, _ = _orientation(frame)
    return (width, frame.height) if turns % 2 == 0 else (frame.height, width)


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Quarter turns to the left that bring a frame upright, and whether it is mirrored then."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return 0, False
    a, b, c, d = (int(np.sign(value)) for value in matrix)
    if abs(a * d - b * c) != 1:  # skewed, which no camera does
        return 0, False
    turns = {(1, 0): 0, (0, -1): 1, (-1, 0): 2, (0, 1): 3}
    mirrored = a * d - b * c < 0
    return (turns[(-a, -b)] if mirrored else turns[(a, b)]), mirrored


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    """a, b, c, d of (x, y) -> (a x + c y, b x + d y), in no unit."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    rows = np.frombuffer(bytes(cast(Any, found)), np.int32)[:9].reshape(3, 3)
    a, b, c, d = rows[0, 0], rows[0, 1], rows[1, 0], rows[1, 1]
    return int(a), int(b), int(c), int(d)


def _seconds(container: InputContainer, stream: Any, rate: Fraction) -> float:
    """How long the film is, as far as it is known; else 0."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration / _MICROSECONDS)
    return float(stream.frames / rate)


def _from(container: InputContainer, stream: Any, film: Film, start: float) -> Any:
    """Decoded frames from the last keyframe before the start on."""
    if not start:
        return _decoded(container, stream)
    target = round((Fraction(start) + film.origin) / film.time_base)
    container.seek(target, stream=stream)
    frames = _decoded(container, stream)
    first = next(frames, None)
    late = first is None or first.pts is None or (first.pts - target) * film.time_base > _LATE
    if first is None or late:  # a film whose index is wrong, or that has none
        container.seek(film.zero, stream=stream)
        return _decoded(container, stream)
    return _chained(first, frames)


def _chained(first: av.VideoFrame, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from frames


def _decoded(container: InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    """Frames in the order that they are shown; damaged packets are left out, with one warning."""
    import av

    damaged = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError as error:
            if not damaged:
                reason = str(error.strerror or error).lower()
                warnings.warn(
                    f"{container.name} is damaged or cut short ({reason}); "
                    "what can be read of it is painted",
                    stacklevel=2,
                )
            damaged = True


def _timed(frames: Iterator[av.VideoFrame], film: Film) -> Iterator[tuple[av.VideoFrame, int]]:
    """Frames with times that increase; those without one follow at the film's rate."""
    step = film.usual_duration
    last: int | None = None
    for frame in frames:
        time = frame.pts - film.zero if frame.pts is not None else (last or -step) + step
        if last is None or time > last:
            yield frame, time
            last = time


def _with_next(items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Each item with the one that follows; None after the last."""
    before = next(items, None)
    while before is not None:
        following = next(items, None)
        yield before, following
        before = following
