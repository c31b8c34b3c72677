"""A film's shots on the workers of an engine; one process puts the film together in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from styleforge.batches.engines import Engine, Split
from styleforge.batches.on_ray import run_on_ray
from styleforge.batches.side_by_side import side_by_side
from styleforge.batches.torchrun import gathered, joined, told
from styleforge.core.errors import StoppedError, WorkError
from styleforge.films.overlap import ahead
from styleforge.films.shots import Shot, cuts, fair_shares, shots_of
from styleforge.jobs.film_keyframes import shot_painter
from styleforge.jobs.keyframes import check_there
from styleforge.jobs.video import VideoJob, VideoRequest
from styleforge.jobs.video_run import Painted, Tally, Underway, VideoRun, put_together


@dataclass(frozen=True)
class FilmWork:
    """What workers do of a film, which brings its shots one by one."""

    request: VideoRequest

    def begin(
        self, device: torch.device, split: Split
    ) -> Callable[[Shot], Iterator[Underway | Painted]]:
        job = VideoJob.loaded(replace(self.request, device=str(device)))
        return shot_painter(job.on(job.device, workers=split.workers)).paint

    def died(self, shot: Shot, times: int) -> Underway | Painted:
        raise WorkError(
            f"a worker died {times} times over the frames from {shot.begin} on; "
            "what is finished is there when started again"
        )


class ShotsRun:
    """A job whose shots are painted by an engine: iterate over it to its end.

    Where ``is_stopped`` no frame is begun any more, and the frames from the first on that are
    finished without a gap become a film of their own.
    """

    def __init__(
        self,
        job: VideoJob,
        engine: Engine,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.job = job
        self.tally = Tally(job.frame_count)
        self.leads = True
        """Whether this process puts the film together."""
        self._engine = engine
        self._is_stopped = is_stopped

    def __iter__(self) -> Iterator[Underway | Painted]:
        if self._engine.name == "torchrun":
            with joined() as (rank, count):
                yield from self._carry_out(rank, count)
        else:
            yield from self._carry_out()

    def _carry_out(self, rank: int = 0, count: int = 1) -> Iterator[Underway | Painted]:
        """What falls to one of several processes; the first one has the folder and the film."""
        self.leads = rank == 0
        with ExitStack() as stack:
            shots: list[Shot] | None = None
            if self.leads:
                stack.enter_context(self.job.work.held())
                shots = yield from self._find_shots()
            if self._engine.name == "torchrun":
                shots = [Shot(*limits) for limits in told(shots)]
            yield from self._paint(fair_shares(shots or [], count)[rank], rank)
            if self._engine.name == "torchrun":
                gathered(())  # waits for the others
            if self.leads:
                self._put_together(shots or [])

    def _find_shots(self) -> Generator[Underway, None, list[Shot]]:
        """Those of a run before this one, where it had found them."""
        work = self.job.work
        shots = work.shots()
        if shots is None:
            begins = []
            frames = ahead(frame.levels for frame in self.job.frames())
            for number, begun in enumerate(cuts(frames)):
                if self._is_stopped():
                    raise StoppedError("nothing was painted")
                begins.append(begun)
                yield Underway(number, "looking for shots")
            shots = shots_of(begins)
            work.save_shots(shots)
        numbers = [number for shot in shots for number in shot.numbers]
        check_there(self.job.keyframes, len(numbers))
        self.tally.shots = len(shots)
        self.tally.kept = sum(map(work.has, numbers))
        return shots

    def _paint(self, shots: list[Shot], rank: int) -> Iterator[Underway | Painted]:
        self.tally.total = sum(len(shot.numbers) for shot in shots)
        if self._engine.name == "ray":
            yield from run_on_ray(
                FilmWork(self.job.request),
                shots,
                self.job.device,
                self._engine,
                is_stopped=self._is_stopped,
            )
            return
        devices = _devices(self.job, rank if self._engine.name == "torchrun" else None)
        split = _split(self._engine, len(devices), len(shots))
        jobs = [self.job.on(device, workers=split.workers) for device in devices]
        yield from side_by_side(
            shots,
            [shot_painter(job).paint for job in jobs for _ in range(split.workers)],
            threads=split.threads,
            is_stopped=self._is_stopped,
        )

    def _put_together(self, shots: list[Shot]) -> None:
        numbers = [number for shot in shots for number in shot.numbers]
        self.tally.count = self.job.work.count(numbers)
        if not self.tally.count:
            raise StoppedError("nothing was painted")
        self.tally.is_whole = self.tally.count == len(numbers)
        put_together(self.job, self.tally.count, is_whole=self.tally.is_whole)


def film_run(
    job: VideoJob, engine: Engine, is_stopped: Callable[[], bool] = lambda: False
) -> VideoRun | ShotsRun:
    """Frame by frame as the film is read, where one worker can; else shot by shot."""
    alone = engine.name == "local" and (engine.workers or 1) == 1 and len(_devices(job)) == 1
    if alone and not job.needs_shots:
        return VideoRun(job, is_stopped, threads=engine.threads)
    return ShotsRun(job, engine, is_stopped)


class VideoOutcome(NamedTuple):
    """A film that is there: so many frames, some of them from before; all, if ``skipped``."""

    output: Path
    frames: int
    kept: int
    skipped: bool


def carry_out(job: VideoJob, engine: Engine) -> VideoOutcome:
    """To its end, unless it is there already. Raises :class:`StyleforgeError`."""
    if job.is_finished:
        return VideoOutcome(job.output, job.frame_count, job.frame_count, skipped=True)
    run = film_run(job, engine)
    for _ in run:
        pass
    return VideoOutcome(job.output, run.tally.count, run.tally.kept, skipped=False)


def _devices(job: VideoJob, rank: int | None = None) -> list[torch.device]:
    """All GPUs, unless one was named; one of them for one of several processes."""
    if job.device.type != "cuda" or job.device.index is not None:
        return [job.device]
    count = torch.cuda.device_count()
    numbers = range(count) if rank is None else [rank % count]
    return [torch.device("cuda", number) for number in numbers]


def _split(engine: Engine, devices: int, shots: int) -> Split:
    """Of each device; no more workers than shots, but always as many threads for each.

    So that the number of shots does not change the result.
    """
    workers = engine.workers or 1
    threads = engine.threads or max(1, torch.get_num_threads() // (workers * devices))
    return Split(max(1, min(workers, shots)), threads)
