"""A batch on this machine: pictures side by side, reading and writing while others are painted.

Workers are threads: torch computes outside Python's lock, and the network is there once for all.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from styleforge.batches.plan import Batch, Painters
from styleforge.batches.sources import Task
from styleforge.batches.work import Outcome, perform
from styleforge.core.errors import StyleforgeError, reason_of
from styleforge.images.load import Picture, load_image
from styleforge.jobs.painters import Painter

_READERS = 2
"""More threads than painters: while one paints, one reads the next and one writes the last."""

_WORTH_MEASURING = 4
"""Tasks per core from which on the measurement of the fastest split pays."""


@dataclass(frozen=True)
class Split:
    """So many pictures side by side, each on so many of the processor's threads."""

    workers: int
    threads: int


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
    outcomes: queue.Queue[Outcome | BaseException | None] = queue.Queue()
    tasks = iter(enumerate(batch.tasks))
    lock = threading.Lock()
    abandoned = threading.Event()

    def take() -> tuple[int, Task] | None:
        with lock:
            return None if abandoned.is_set() or is_stopped() else next(tasks, None)

    def work(own: Painters, turn: _Turn) -> None:
        torch.set_num_threads(split.threads)
        try:
            while (taken := take()) is not None:
                outcomes.put(_perform(batch, *taken, own, turn))
        except _Stopped:
            pass
        except BaseException as error:  # the main thread shows it
            outcomes.put(error)
        finally:
            outcomes.put(None)

    threads = []
    for own in painters:
        turn = _Turn(split.workers, is_stopped)
        for _ in range(1 if batch.sequence else split.workers + _READERS):
            threads.append(threading.Thread(target=work, args=(own, turn), daemon=True))
    own_threads = torch.get_num_threads()
    try:
        for thread in threads:
            thread.start()
        yield from _until_all_end(outcomes, len(threads))
    except (Exception, GeneratorExit):
        abandoned.set()
        for thread in threads:  # Python cannot end in good order while they compute
            thread.join()
        raise
    finally:
        abandoned.set()
        torch.set_num_threads(own_threads)


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


def _perform(batch: Batch, index: int, task: Task, painters: Painters, turn: _Turn) -> Outcome:
    try:
        painter = painters.of(task)
    except Exception as error:
        return Outcome(task, "failed", 0.0, reason_of(error))
    return perform(
        task,
        painter,
        force=batch.force,
        kept=batch.kept,
        before=batch.before(index),
        turn=turn,
    )


def _until_all_end(
    outcomes: queue.Queue[Outcome | BaseException | None], threads: int
) -> Iterator[Outcome]:
    while threads:
        outcome = outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            threads -= 1
        else:
            yield outcome


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
