"""A batch on this machine: pictures side by side, reading and writing while others are painted.

Workers are threads: torch computes outside Python's lock, and the network is there once for all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from styleforge.batches.engines import Split
from styleforge.batches.plan import Batch, Painters
from styleforge.batches.side_by_side import side_by_side
from styleforge.batches.sources import Task
from styleforge.batches.work import Outcome, perform
from styleforge.core.errors import StyleforgeError, reason_of
from styleforge.images.load import Picture, load_image
from styleforge.jobs.painters import Painter

_READERS = 2
"""More threads than painters: while one paints, one reads the next and one writes the last."""

_WORTH_MEASURING = 4
"""Tasks per core from which on the measurement of the fastest split pays."""


def run_local(
    batch: Batch,
    painters: Sequence[Painters],
    split: Split,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Carry out all tasks; yields outcomes as they come.

    ``painters`` are of one device each, which ``split.workers`` share. Where ``is_stopped``, what
    is being painted is finished and nothing new begun.
    """
    turns = [(own, _Turn(split.workers, is_stopped)) for own in painters]
    count = 1 if batch.sequence else split.workers + _READERS
    yield from side_by_side(
        [*enumerate(batch.tasks)],
        [partial(_perform, batch, *turn) for turn in turns for _ in range(count)],
        threads=split.threads,
        is_stopped=is_stopped,
    )


def fastest_split(painter: Painter, picture: Picture, tasks: int) -> Split:
    """The split that gets most pictures done, measured on a part of the work where that pays."""
    cores = torch.get_num_threads()
    whole = Split(1, cores)
    if painter.device.type != "cpu" or cores == 1 or tasks < _WORTH_MEASURING * cores:
        return whole
    workers = [n for n in range(1, cores + 1) if cores % n == 0]
    splits = [Split(n, cores // n) for n in workers]
    return max(splits, key=lambda split: _speed(painter, picture, split))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def first_paintable(tasks: Sequence[Task], painter: Painter) -> Picture | None:
    """A picture to measure with."""
    for task in tasks:
        try:
            photo = load_image(task.source, min_side=painter.min_side)
            painter.size(photo.size)
        except StyleforgeError:
            continue
        return photo
    return None


class _Stopped(BaseException):
    """A task is given up before it is painted; no error of the task's."""


class _Turn:
    """To paint beside so many others; raises :class:`_Stopped` where it is too late."""

    def __init__(self, workers: int, is_stopped: Callable[[], bool]) -> None:
        self._places = threading.Semaphore(workers)
        self._is_stopped = is_stopped

    def __enter__(self) -> None:
        self._places.acquire()
        if self._is_stopped():
            self._places.release()
            raise _Stopped

    def __exit__(self, *_: object) -> None:
        self._places.release()


def _perform(
    batch: Batch, painters: Painters, turn: _Turn, numbered: tuple[int, Task]
) -> Iterator[Outcome]:
    """None where it is stopped before it is painted."""
    index, task = numbered
    try:
        painter = painters.of(task)
    except Exception as error:
        yield Outcome(task, "failed", 0.0, reason_of(error))
        return
    with contextlib.suppress(_Stopped):
        yield perform(
            task,
            painter,
            force=batch.force,
            kept=batch.kept,
            before=batch.before(index),
            turn=turn,
        )


def _speed(painter: Painter, picture: Picture, split: Split) -> float:
    """Pictures a second, in units of the painter's probe."""
    probe = painter.probe(picture)

    def work() -> None:
        torch.set_num_threads(split.threads)
        probe()

    def together() -> None:
        threads = [threading.Thread(target=work) for _ in range(split.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together()  # warms up
    started = time.perf_counter()
    together()
    return split.workers / (time.perf_counter() - started)
