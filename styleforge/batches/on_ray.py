"""Tasks on Ray: actors that load everything once, on this machine or on a cluster.

An actor that dies is started again and takes up its task again; a task whose result is there is
skipped, so nothing is lost and nothing is done twice. A task that kills its actor every time, such
as a picture that does not fit into the memory, has failed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from styleforge.batches.engines import Engine, Split, Work
from styleforge.batches.local import cores
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import StyleforgeError, UsageError, WorkError

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_RETRIES = 2

_AT_A_TIME = 2.0
"""Seconds after which an actor tells what it has done, and may be told to stop."""

_STORE_BYTES = 80 * 2**20
"""Ray's object store: pictures go through files, and only their names through Ray."""


class Worker(Generic[Task, Outcome]):
    """What an actor does."""

    def __init__(self, work: Work[Task, Outcome], folder: str, device: str, split: Split) -> None:
        os.chdir(folder)  # where the paths begin
        keep_freed_memory()
        torch.set_num_threads(split.threads)
        self._perform = work.begin(torch.device(device), split)
        self._task: Task | None = None
        self._outcomes: Iterator[Outcome] = iter(())

    def perform(self, task: Task) -> tuple[list[Outcome], bool]:
        """What becomes of a task within some seconds, and whether that is all.

        Asked again, it goes on; so does another actor, where this one died.
        """
        if task != self._task:
            self._task, self._outcomes = task, iter(self._perform(task))
        found: list[Outcome] = []
        until = time.monotonic() + _AT_A_TIME
        for outcome in self._outcomes:
            found.append(outcome)
            if time.monotonic() >= until and length_hint(self._outcomes, 1):
                return found, False
        self._task = None
        return found, True


def run_on_ray(
    work: Work[Task, Outcome],
    tasks: Sequence[Task],
    device: torch.device,
    engine: Engine,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Carry out all tasks on so many actors, or as many as there is room for; yields outcomes.

    The engine's ``address`` is of a cluster that runs already and sees the same files; empty: one
    is started here. Raises :class:`UsageError` where Ray is not installed or the cluster is not
    there.
    """
    ray, threads, workers = _ray(), engine.threads or 1, engine.workers
    _connect(ray, engine.address, cpus=threads * (workers or max(1, cores() // threads)))
    try:
        resource = "GPU" if device.type == "cuda" else "CPU"
        needed = 1 if device.type == "cuda" else threads
        room = int(ray.cluster_resources().get(resource, 0)) // needed
        if not room:
            raise UsageError(f"the Ray cluster has no node with {needed} {resource} for a worker")
        split = Split(min(workers or room, room, len(tasks)), threads)
        actors = _actors(ray, work, device, split)
        yield from _run(ray, actors, tasks, work=work, is_stopped=is_stopped)
    finally:
        ray.shutdown()


def _actors(ray: Any, work: Work[Any, Any], device: torch.device, split: Split) -> list[Any]:
    resources = {"num_gpus": 1} if device.type == "cuda" else {"num_cpus": split.threads}
    actor = ray.remote(max_restarts=-1, max_task_retries=_RETRIES, **resources)(Worker)
    folder = str(Path.cwd())
    return [actor.remote(work, folder, device.type, split) for _ in range(split.workers)]


def _run(
    ray: Any,
    actors: Sequence[Any],
    tasks: Sequence[Task],
    *,
    work: Work[Task, Outcome],
    is_stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    """Each actor gets its next task when it has finished the last."""
    idle, left = list(actors), iter(tasks)
    running: dict[Any, tuple[Any, Task]] = {}
    while True:
        while idle and not is_stopped() and (task := next(left, None)) is not None:
            worker = idle.pop()
            running[worker.perform.remote(task)] = worker, task
        if not running:
            return
        (finished,), _ = ray.wait(list(running), num_returns=1)
        worker, task = running.pop(finished)
        outcomes, is_done = _outcomes(ray, finished, work, task)
        yield from outcomes
        if is_done:
            idle.append(worker)
        elif not is_stopped():
            running[worker.perform.remote(task)] = worker, task


def _outcomes(
    ray: Any, finished: Any, work: Work[Task, Outcome], task: Task
) -> tuple[list[Outcome], bool]:
    try:
        outcomes: tuple[list[Outcome], bool] = ray.get(finished)
    except ray.exceptions.ActorDiedError as error:  # it could not even be made
        raise WorkError(f"Ray's workers cannot start: {_first_line(error)}") from error
    except ray.exceptions.RayActorError:
        return [work.died(task, _RETRIES + 1)], True
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from error
    return outcomes


def _cause(error: Any) -> Exception:
    """What went wrong in an actor, so that a user's mistake is told as one."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, StyleforgeError | MemoryError) else error


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("`engine` ray needs Ray: pip install 'styleforge[ray]'") from None
    return ray


def _connect(ray: Any, address: str, *, cpus: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address:
        options["address"] = address
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {
            "address": "local",
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "could be started here"
        raise UsageError(f"no Ray cluster {where} ({_first_line(error)})") from error
    signal.signal(signal.SIGTERM, terminate)  # which Ray replaces by an end in mid-picture


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
