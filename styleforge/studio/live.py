"""A job under the eyes of the page: each step is reported, and what is asked meanwhile is done.

It runs in a process of its own (worker.py), at the other end of a :class:`Line`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from styleforge.core.errors import UsageError
from styleforge.jobs.painters import TransferPainter
from styleforge.jobs.stylize import StylizeJob, StylizeRequest
from styleforge.jobs.transfer import TransferJob, TransferRequest, TransferRun
from styleforge.optimize.coarse_to_fine import Progress
from styleforge.optimize.scales import Scale
from styleforge.studio.frames import jpeg
from styleforge.studio.shelf import put

FRAME_SIDE = 1024
"""Longest side of the pictures that show how far a run is."""


@dataclass(frozen=True)
class Pause:
    """Wait until told to go on."""


@dataclass(frozen=True)
class GoOn:
    """After a pause."""


@dataclass(frozen=True)
class Stop:
    """End here, and keep the picture."""


@dataclass(frozen=True)
class Change:
    """Go on from here with other settings, by dotted name, and paintings' weights."""

    settings: Mapping[str, str | float]
    weights: Sequence[float] = ()


@dataclass(frozen=True)
class Step:
    """Where a run stands. ``left`` is seconds; ``frame`` a JPEG, which may be the last one's."""

    share: float
    left: float | None
    size: tuple[int, int]
    scale: int
    scales: int
    evaluations: int
    loss: float
    frame: bytes = field(repr=False)


@dataclass(frozen=True)
class Painted:
    """The job is done, or was stopped, and its picture is in its place."""

    name: str
    seconds: float
    stopped: bool = False


@dataclass(frozen=True)
class Planned:
    """What a transfer would take: (width, height), seconds, bytes; a tile's side if it is cut."""

    size: tuple[int, int]
    seconds: float
    memory: int
    evaluations: int
    tile: int | None


@dataclass(frozen=True)
class Plan:
    """Wanted: what a request would take."""

    request: TransferRequest


@dataclass(frozen=True)
class Refused:
    """Something could not be done, and why; the run goes on."""

    message: str


Work = TransferRequest | StylizeRequest | Plan


class Line(Protocol):
    """One end of a connection to the studio."""

    def send(self, record: Any, /) -> None:
        """Report."""

    def recv(self) -> Any:
        """The next command; waits for it."""

    def poll(self) -> bool:
        """Whether a command is there."""


class Artist:
    """Carries out jobs one after the other; what it loaded for one serves the next."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last: TransferPainter | None = None

    def do(self, work: Work) -> Painted | Planned:
        """Raises :class:`StyleforgeError`."""
        if isinstance(work, Plan):
            return self._plan(work.request)
        if isinstance(work, StylizeRequest):
            return _stylize(work)
        return self._paint(work)

    def _plan(self, request: TransferRequest) -> Planned:
        job = TransferJob.prepare(request, planning=True)
        self._last = painter = job.painter(self._last, None)
        expected = job.estimate(painter)
        tiling = painter.studio.tiling(job.size)
        return Planned(
            job.size,
            expected.seconds,
            expected.memory,
            expected.evaluations,
            tiling.side if tiling else None,
        )

    def _paint(self, request: TransferRequest) -> Painted:
        started = time.perf_counter()
        job = TransferJob.prepare(request)
        run = job.start(last=self._last)
        stopped = self._follow(run)
        self._last = _network_of(run.painter)
        assert job.output is not None
        put(run.result(), job.output)
        return Painted(job.output.name, time.perf_counter() - started, stopped)

    def _follow(self, run: TransferRun) -> bool:
        """Whether it was stopped before its end."""
        clock = Clock()
        for progress in run:
            self._line.send(_step(run, progress, clock))
            while self._line.poll() or clock.paused:
                command = self._line.recv()
                if isinstance(command, Stop):
                    return True
                if isinstance(command, Change):
                    self._turn(run, command)
                    clock = clock.anew()
                elif isinstance(command, Pause):
                    clock.pause()
                else:
                    clock.go_on()
        return False

    def _turn(self, run: TransferRun, change: Change) -> None:
        try:
            run.turn(change.settings, change.weights)
        except UsageError as error:
            self._line.send(Refused(str(error)))


def _network_of(painter: TransferPainter) -> TransferPainter:
    """The painter without what it knows of paintings, which may take gigabytes after a print."""
    studio = painter.studio
    return replace(painter, studio=studio.with_styles(studio.styles))


class Clock:
    """Seconds of work, without pauses."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = time.perf_counter()

    @property
    def paused(self) -> bool:
        return self._since is None

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.perf_counter() - self._since)

    def pause(self) -> None:
        self._before, self._since = self.seconds, None

    def go_on(self) -> None:
        self._since = self._since or time.perf_counter()

    def anew(self) -> Clock:
        """One that begins now, paused if this one is."""
        clock = Clock()
        if self.paused:
            clock.pause()
        return clock


def _stylize(request: StylizeRequest) -> Painted:
    started = time.perf_counter()
    job = StylizeJob.prepare(request)
    assert job.output is not None
    put(job.result(), job.output)
    return Painted(job.output.name, time.perf_counter() - started)


def _step(run: TransferRun, progress: Progress, clock: Clock) -> Step:
    share = share_done(run.scales, progress.scale, progress.step)
    left = clock.seconds / share * (1 - share) if share else None
    return Step(
        share=share,
        left=left,
        size=progress.scale.size,
        scale=next(n for n, scale in enumerate(run.scales, 1) if scale is progress.scale),
        scales=len(run.scales),
        evaluations=progress.evaluations,
        loss=progress.loss.total,
        frame=jpeg(run.so_far(), FRAME_SIDE),
    )


def share_done(scales: Sequence[Scale], scale: Scale, step: int) -> float:
    """The share of a run's work that is done, which goes with the pixels evaluated."""
    work = [s.size[0] * s.size[1] * (s.steps + 1) for s in scales]
    number = next(n for n, one in enumerate(scales) if one is scale)
    width, height = scale.size
    return (sum(work[:number]) + width * height * (step + 1)) / sum(work)
