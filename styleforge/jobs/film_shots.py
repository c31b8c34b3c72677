"""The shots of a film, each painted by itself into the work folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from styleforge.films.flow import Motion, motion
from styleforge.films.overlap import ahead
from styleforge.films.reading import FrameReader, Levels
from styleforge.films.shots import Shot
from styleforge.jobs.film_painters import Moved
from styleforge.jobs.video import VideoJob
from styleforge.jobs.video_run import Painted, Underway


class ShotPainter(Protocol):
    """Paints shots, in whatever order; what is there of one is kept."""

    def paint(self, shot: Shot, /) -> Iterator[Underway | Painted]:
        """Yields its frames as they are in the work folder; may be closed after each record."""


class ForwardShots:
    """Each frame from the one before it, as :class:`VideoRun` does it."""

    def __init__(self, job: VideoJob) -> None:
        self._work = job.work
        self._painter = job.film_painter()
        self._reader = FrameReader(job.film, job.request.span, job.size)

    def paint(self, shot: Shot) -> Iterator[Painted]:
        done = shot.begin + self._work.count(shot.numbers)
        yield from (Painted(number, kept=True) for number in range(shot.begin, done))
        if done == shot.end:
            return
        begin = max(shot.begin, done - 1)
        before: tuple[Levels, Levels] | None = None
        frames = moving(self._reader.read(begin, shot.end))
        for number, (frame, moved) in enumerate(ahead(frames), begin):
            if number < done:
                result = self._work.load(number)
            elif moved is None or before is None:
                result = self._painter.first(frame)
            else:
                result = self._painter.following(Moved(frame, moved, *before))
            before = (frame, result)
            if number >= done:
                self._work.save(number, result)
                yield Painted(number, kept=False)


def moving(frames: Iterator[Levels]) -> Iterator[tuple[Levels, Motion | None]]:
    """Frames with their motion since the last."""
    before: Levels | None = None
    for frame in frames:
        yield frame, None if before is None else motion(frame, before)
        before = frame
