"""Frames that were painted or corrected by hand: which they are, checked before the work."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from styleforge.core.errors import UsageError
from styleforge.films.reading import Film, Levels, Span, frame_times
from styleforge.images.geometry import Size, resize
from styleforge.images.load import load_image
from styleforge.images.save import to_levels
from styleforge.jobs.recipe import Input, Keyframe

_ROUNDED = 2
"""Pixels by which a picture of the frames' shape may be wider or narrower at their height."""


def placed(
    wanted: Sequence[tuple[int | float, Path]], film: Film, span: Span, size: Size
) -> list[Keyframe]:
    """Pictures by number of a frame, or by second (a float), of what is painted, in order.

    Raises :class:`UsageError` for a frame that is not there or has two, and for a picture that
    cannot be read or is of another shape than frames of this (width, height).
    """
    if not wanted:
        return []
    times = frame_times(film, span)
    found = [Keyframe(_number(at, times, film), _input(path, size)) for at, path in wanted]
    check_there(found, len(times))
    twice = [number for number, n in Counter(one.number for one in found).items() if n > 1]
    if twice:
        raise UsageError(f"`keyframe` {twice[0]} is there twice; name one picture for a frame")
    return sorted(found, key=lambda one: one.number)


def check_there(keyframes: Sequence[Keyframe], frames: int) -> None:
    """Raise :class:`UsageError` for one beyond so many frames: a damaged film has fewer."""
    for one in keyframes:
        if not 0 <= one.number < frames:
            raise UsageError(
                f"`keyframe` {one.number} is not a frame of the film; they are 0 to {frames - 1}"
            )


def levels_of(keyframe: Keyframe, size: Size) -> Levels:
    """(H, W, 3), at a (width, height)."""
    return to_levels(resize(load_image(keyframe.picture.path, min_side=1).pixels, size))


def _number(at: int | float, times: Sequence[int], film: Film) -> int:
    """Of the frame that is shown then."""
    if isinstance(at, int) or not times:
        return int(at)
    seconds = [float((time - times[0]) * film.time_base) for time in times]
    end = seconds[-1] + float(film.usual_duration * film.time_base)
    if at >= end:
        raise UsageError(f"`keyframe` {at:g} s is beyond the film, which ends at {end:.2f} s")
    return bisect_right(seconds, at) - 1


def _input(path: Path, size: Size) -> Input:
    picture = load_image(path, min_side=1)
    (width, height), (wanted, high) = picture.size, size
    if abs(width / height * high - wanted) > _ROUNDED:
        raise UsageError(
            f"{path} is {width} x {height} pixels, and frames are {wanted} x {high}; "
            "a `keyframe` has their shape"
        )
    return Input(str(path), picture.sha256)
