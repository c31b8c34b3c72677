"""Frames to films: encoded with their exact times, beside the original's sound."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import cv2
import numpy as np
from PIL import Image

from styleforge.core.errors import UsageError, WorkError
from styleforge.films.animations import write_comment
from styleforge.films.color import FULL, Color
from styleforge.films.reading import Film, Frame, Levels, opened
from styleforge.films.sound import Voices, copied_streams
from styleforge.images.geometry import Size, fit_size

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

_CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".gif": "gif",
    ".webp": "webp",
}
SUFFIXES = tuple(_CONTAINERS)

_USUAL = {".webm": "vp9", ".gif": "gif", ".webp": "webp"}
"""What is in these; in others it is H.264."""

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "webp": "libwebp_anim",
}
_CRF = {"libx264": (18, 51), "libx265": (22, 51), "libvpx-vp9": (30, 63), "libsvtav1": (30, 63)}
"""The usual one, and the largest."""

_OWN_OPTIONS = {
    "libsvtav1": {"preset": "8"},
    "libvpx-vp9": {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "libwebp_anim": {"quality": "75", "compression_level": "4"},
    "libx265": {"x265-params": "log-level=none"},
}
_X264 = ("libx264", "libx264rgb")
_AVX_512 = 13
"""OpenCV's number for such a processor, which its Python names nowhere."""

_REPEATABLE = "asm=MMX2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"
"""Of x264 on a processor with AVX-512.

Its code for that reads memory that nothing was written to (in `mbtree`, with B-frames), so that
the same frames now and then became other bytes, and pictures.
"""

_LEAST_X265 = 64
"""Pixels. Of frames 40 and 48 pixels wide it writes beyond its memory, and the process dies."""

_WHOLE_FILES = (".gif", ".webp")
"""Loop for ever, have no sound, and may have odd sides."""

_EXACT = {"fflags": "+bitexact"}
"""No version of FFmpeg is written into a film."""


@dataclass(frozen=True)
class Encoding:
    """How a film is written into a file whose name ends in ``suffix``.

    ``codec`` is by its usual name, or an encoder of FFmpeg's; empty: the suffix's own. ``crf`` is
    its quality, the smaller the better; None: the codec's usual.
    """

    suffix: str
    codec: str = ""
    crf: int | None = None

    @property
    def encoder(self) -> str:
        """FFmpeg's name."""
        codec = self.codec or _USUAL.get(self.suffix, "h264")
        return _ENCODERS.get(codec, codec)

    @property
    def container(self) -> str:
        """FFmpeg's name."""
        return _CONTAINERS[self.suffix]

    @property
    def is_silent(self) -> bool:
        """Whether it can hold no sound."""
        return self.suffix in _WHOLE_FILES

    def size(self, size: Size, longest: int = 0) -> Size:
        """The nearest (width, height) that can be encoded: halved colors need even sides.

        Scaled to the longest side; 0 keeps it. Raises :class:`UsageError` for what is too narrow.
        """
        if self.is_silent:
            return fit_size(size, longest)
        factor = longest / max(size) if longest else 1.0
        width, height = (max(2, round(side * factor / 2) * 2) for side in size)
        if self.encoder == "libx265" and width < _LEAST_X265:
            raise UsageError(
                f"libx265 needs frames at least {_LEAST_X265} pixels wide (not {width}); "
                "use another `codec`"
            )
        return width, height

    def check(self, path: Path, film: Film, *, sound: bool = True) -> None:
        """Raise :class:`UsageError` where the encoder, or the film's sound, does not go in."""
        import av

        self._check_options()
        voiced = sound and film.sounds and not self.is_silent
        try:
            with opened(film.path) as original, _trial(self.container) as trial:
                _new_stream(trial, self, _Look.of(film, (64, 64)))
                if voiced:
                    copied_streams(trial, original)
                trial.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            held = f" with sound ({', '.join(film.sounds)})" if voiced else ""
            advice = ", or leave the sound out with `no_sound`" if voiced else ""
            raise UsageError(
                f"{path}: a {self.suffix} file cannot hold {self.encoder}{held}; "
                f"name a .mkv file or another `codec`{advice}"
            ) from error

    def _check_options(self) -> None:
        """Raise :class:`UsageError` for an encoder that is not there, and for what it lacks."""
        import av

        try:
            found = av.Codec(self.encoder, "w")
        except (av.FFmpegError, ValueError):
            found = None
        if found is None or found.type != "video":
            raise UsageError(
                f"`codec` is {', '.join(_ENCODERS)} or an encoder of FFmpeg's (not {self.codec!r})"
            )
        if self.crf is None:
            return
        if self.encoder not in _CRF:
            raise UsageError(f"`crf` is not of {self.encoder}; leave it out")
        worst = _CRF[self.encoder][1]
        if not 0 <= self.crf <= worst:
            raise UsageError(f"`crf` of {self.encoder} is from 0 to {worst} (not {self.crf})")

    @property
    def options(self) -> dict[str, str]:
        """Of the encoder."""
        options = dict(_OWN_OPTIONS.get(self.encoder, {}))
        if self.encoder in _X264 and cv2.checkHardwareSupport(_AVX_512):
            options["x264-params"] = _REPEATABLE
        if self.encoder in _CRF:
            options["crf"] = str(_CRF[self.encoder][0] if self.crf is None else self.crf)
        return options


class _Look(NamedTuple):
    """What a stream's header says of its frames."""

    size: Size
    time_base: Fraction
    rate: Fraction
    color: Color

    @classmethod
    def of(cls, film: Film, size: Size) -> _Look:
        return cls(size, film.time_base, film.rate, film.color)


class FilmWriter:
    """Encodes frames (H, W, 3) of one size, with their times, beside the original's sound.

    The first frame's time becomes 0. Sound packets are copied as they are: those that begin
    while frames are shown; of a film that is written ``to_the_end`` also what comes after.
    Memory does not grow with the film's length. Raises :class:`WorkError` where it cannot go on.
    """

    def __init__(
        self,
        path: Path,
        film: Film,
        encoding: Encoding,
        *,
        sound: bool = True,
        comment: str = "",
    ) -> None:
        self.path = path
        self.count = 0
        self.to_the_end = False
        self._encoding = encoding
        self._film = film
        self._sound = sound and bool(film.sounds) and not encoding.is_silent
        self._comment = comment
        self._open = ExitStack()
        self._begin = self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        with self._open:
            if kind is None and self.count:
                self._mux(None)
                self._voices.take(None if self.to_the_end else self._end * self._film.time_base)
        if kind is None and self.count and self._comment and self._encoding.is_silent:
            write_comment(self.path, self._comment)

    def add(self, frame: Frame) -> None:
        """Append a frame; its time is in the film's time base."""
        if not self.count:
            self._start(frame)
        picture = self._picture(frame.levels)
        picture.pts, picture.duration = frame.time - self._begin, frame.duration
        picture.time_base = self._film.time_base
        self._end = frame.time + frame.duration - self._begin
        self._mux(picture)
        self.count += 1

    def _start(self, first: Frame) -> None:
        """Write the header."""
        import av

        film, encoding = self._film, self._encoding
        height, width = first.levels.shape[:2]
        loop = {"loop": "0"} if encoding.is_silent else {}
        self._begin = first.time
        self._container = self._open.enter_context(
            av.open(str(self.path), "w", format=encoding.container, options={**_EXACT, **loop})
        )
        self._stream = _new_stream(self._container, encoding, _Look.of(film, (width, height)))
        original = self._open.enter_context(opened(film.path))
        self._container.metadata.update(_tags(original.metadata, self._comment))
        begin = film.origin + first.time * film.time_base
        self._voices = Voices(self._container, original if self._sound else None, begin)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        """Encode a frame, or what is left, and write it after the sound that comes before it."""
        import av

        try:
            for packet in self._stream.encode(picture):
                if packet.dts is not None:
                    self._voices.take(max(Fraction(0), packet.dts * packet.time_base))
                self._container.mux(packet)
        except (av.FFmpegError, ValueError) as error:
            raise WorkError(f"the film could not be encoded ({error})") from error

    def _picture(self, levels: Levels) -> av.VideoFrame:
        import av

        color, pixels = self._film.color, self._stream.codec_context.pix_fmt
        if pixels == "pal8":
            return av.VideoFrame.from_ndarray(*_palette(levels))
        frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
        if "yuv" not in pixels:
            return frame.reformat(format=pixels)
        encoded = frame.reformat(
            format=pixels,
            src_color_range=FULL,
            dst_colorspace=color.swscale,
            dst_color_range=color.range,
        )
        encoded.colorspace, encoded.color_range = color.matrix, color.range
        encoded.color_primaries, encoded.color_trc = color.primaries, color.transfer
        return encoded


@contextmanager
def _trial(container: str) -> Iterator[OutputContainer]:
    """One in memory, whose end is of no interest: some do not end without a frame."""
    import av

    trial = av.open(io.BytesIO(), "w", format=container)
    try:
        yield trial
    finally:
        with suppress(av.FFmpegError):
            trial.close()


def _tags(original: Mapping[str, str], comment: str) -> dict[str, str]:
    """What the film says of itself beside pictures and sound."""
    kept = {key: original[key] for key in ("title", "artist", "copyright") if key in original}
    return {**kept, **({"comment": comment} if comment else {})}


def _new_stream(container: OutputContainer, encoding: Encoding, look: _Look) -> Any:
    stream: Any = container.add_stream(
        encoding.encoder, rate=look.rate.limit_denominator(10**6), options=encoding.options
    )
    context = stream.codec_context
    context.width, context.height = look.size
    context.pix_fmt = _pixel_format(context.codec)
    context.thread_type = "FRAME"  # slices, PyAV's usual, make files larger
    context.time_base = look.time_base
    if context.pix_fmt.startswith("yuv"):
        color = look.color
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
    return stream


def _pixel_format(codec: Any) -> str:
    """Halved colors, which every player shows, where the encoder takes them."""
    formats = [one.name for one in codec.video_formats or ()]
    wanted = {"gif": "pal8", "libwebp_anim": "bgra"}.get(codec.name, "yuv420p")
    return wanted if wanted in formats else formats[0]


def _palette(levels: Levels) -> tuple[Any, str]:
    """A frame in its own 256 colors, for PyAV: ((indices, palette), format)."""
    image = Image.fromarray(levels).quantize(256, Image.Quantize.MEDIANCUT)
    colors = np.frombuffer(bytes(image.getpalette() or b""), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colors), 1:] = colors
    return (np.asarray(image), palette), "pal8"
