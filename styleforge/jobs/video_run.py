"""A film being painted from its first frame to its last, while it is read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch

from styleforge.core.errors import StoppedError
from styleforge.core.files import replaced
from styleforge.films.cuts import begins_shot
from styleforge.films.flow import Motion, motion
from styleforge.films.overlap import Behind, ahead
from styleforge.films.reading import Frame, Levels
from styleforge.films.writing import FilmWriter
from styleforge.jobs.film_painters import Moved
from styleforge.jobs.video import VideoJob


class Painted(NamedTuple):
    """A frame that is done: its number; ``kept`` from a run before this one."""

    number: int
    kept: bool


class Underway(NamedTuple):
    """Something that must be done before a frame can be painted."""

    number: int
    doing: str


@dataclass
class Tally:
    """How far a run has come.

    About ``total`` frames will be told of, exactly so many once they are painted; ``count`` are in
    the film, ``kept`` of them from runs before this one, and ``is_whole``: these are all.
    """

    total: int
    count: int = 0
    kept: int = 0
    shots: int = 0
    is_whole: bool = False


class _Seen(NamedTuple):
    """A frame before it is painted.

    ``motion`` since the last; none where it begins a shot or is ``kept``.
    """

    frame: Frame
    motion: Motion | None
    begins: bool
    kept: bool


class VideoRun:
    """A job being carried out: iterate over it to its end.

    Where ``is_stopped`` nothing new is begun, and what is finished becomes a film of its own.
    """

    def __init__(
        self,
        job: VideoJob,
        is_stopped: Callable[[], bool] = lambda: False,
        *,
        threads: int | None = None,
    ) -> None:
        self.job = job
        self.tally = Tally(job.frame_count)
        self._is_stopped = is_stopped
        self._painter = job.film_painter()
        self._threads = threads

    def __iter__(self) -> Iterator[Painted]:
        job = self.job
        with job.work.held(), _threads(self._threads):
            with ExitStack() as stack:
                writer = stack.enter_context(film_file(job))
                sink = stack.enter_context(Behind[tuple[Frame, int | None]](self._keep(writer)))
                yield from self._paint(sink)
                if not self.tally.count:
                    raise StoppedError("nothing was painted")
                writer.to_the_end = self.tally.is_whole and job.request.span.stop is None
            if self.tally.is_whole:
                job.work.clear()

    def _keep(self, writer: FilmWriter) -> Callable[[tuple[Frame, int | None]], None]:
        """Writes a frame into the film, and, where it has a number, into the work folder."""

        def keep(item: tuple[Frame, int | None]) -> None:
            frame, number = item
            if number is not None:
                self.job.work.save(number, frame.levels)
            writer.add(frame)

        return keep

    def _paint(self, sink: Behind[tuple[Frame, int | None]]) -> Iterator[Painted]:
        before: tuple[Levels, Levels] | None = None
        for number, seen in enumerate(ahead(self._seen())):
            if self._is_stopped():
                return
            result = self._result(number, seen, before)
            before = (seen.frame.levels, result)
            sink.put((seen.frame._replace(levels=result), None if seen.kept else number))
            self.tally.count += 1
            self.tally.kept += seen.kept
            self.tally.shots += seen.begins
            self.tally.total = max(self.tally.total, self.tally.count)
            yield Painted(number, seen.kept)
        self.tally.is_whole = True

    def _result(self, number: int, seen: _Seen, before: tuple[Levels, Levels] | None) -> Levels:
        if seen.kept:
            return self.job.work.load(number)
        if seen.motion is None or before is None:
            return self._painter.first(seen.frame.levels)
        return self._painter.following(Moved(seen.frame.levels, seen.motion, *before))

    def _seen(self) -> Iterator[_Seen]:
        """What is kept, by workers that painted other shots too, is not only at the beginning."""
        done = self.job.work.count(count())
        before: Levels | None = None
        for number, frame in enumerate(self.job.frames()):
            kept = number < done or (number > done and self.job.work.has(number))
            begins = before is None or (not kept and begins_shot(frame.levels, before))
            moved = None
            if before is not None and not begins and not kept:
                moved = motion(frame.levels, before)
            yield _Seen(frame, moved, begins, kept)
            before = frame.levels


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Of the processor, to compute with; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def film_file(job: VideoJob) -> Iterator[FilmWriter]:
    """To be written; at the end it takes the output's place."""
    with (
        replaced(job.output) as path,
        FilmWriter(
            path, job.film, job.encoding, sound=job.request.sound, comment=job.recipe.to_json()
        ) as writer,
    ):
        yield writer


def put_together(job: VideoJob, frames: int, *, is_whole: bool) -> None:
    """The film of so many frames that are finished; ``is_whole``: these are all.

    The work folder is cleared then.
    """
    with film_file(job) as writer:
        for frame in ahead(_finished(job, frames)):
            writer.add(frame)
        writer.to_the_end = is_whole and job.request.span.stop is None
    if is_whole:
        job.work.clear()


def _finished(job: VideoJob, frames: int) -> Iterator[Frame]:
    for number, shown in zip(range(frames), job.shown(), strict=False):
        yield Frame(shown.time, shown.duration, job.work.load(number))
