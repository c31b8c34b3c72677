"""A batch on Ray: actors that load the painters once, on this machine or on a cluster.

An actor that dies is started again and takes up its task again; a task whose result is there is
skipped, so nothing is lost and nothing is done twice. A picture that kills its actor every time,
such as one that does not fit into the memory, has failed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from styleforge.batches.local import Split, cores
from styleforge.batches.plan import Batch, Painters
from styleforge.batches.sources import Task
from styleforge.batches.work import Outcome, perform
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import StyleforgeError, UsageError, WorkError

_RETRIES = 2

_STORE_BYTES = 80 * 2**20
"""Ray's object store: pictures go through files, and only their names through Ray."""


class Worker:
    """What an actor does."""

    def __init__(self, batch: Batch, folder: str, device: str, split: Split) -> None:
        os.chdir(folder)  # where the batch's paths begin
        keep_freed_memory()
        torch.set_num_threads(split.threads)
        self._batch = batch
        self._painters = Painters(batch, torch.device(device), workers=split.workers)

    def perform(self, task: Task) -> Outcome:
        try:
            return perform(
                task, self._painters.of(task), force=self._batch.force, kept=self._batch.kept
            )
        except StyleforgeError as error:
            return Outcome(task, "failed", 0.0, str(error))


def run_on_ray(
    batch: Batch,
    device: torch.device,
    *,
    threads: int,
    workers: int | None = None,
    address: str = "",
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Carry out all tasks on so many actors, or as many as there is room for; yields outcomes.

    ``address`` is of a cluster that runs already and sees the same files; empty: one is started
    here. Raises :class:`UsageError` where Ray is not installed or the cluster is not there.
    """
    ray = _ray()
    _connect(ray, address, cpus=threads * (workers or max(1, cores() // threads)))
    try:
        resource = "GPU" if device.type == "cuda" else "CPU"
        needed = 1 if device.type == "cuda" else threads
        room = int(ray.cluster_resources().get(resource, 0)) // needed
        if not room:
            raise UsageError(f"the Ray cluster has no node with {needed} {resource} for a worker")
        split = Split(min(workers or room, room, len(batch.tasks)), threads)
        yield from _run(ray, _actors(ray, batch, device, split), batch.tasks, is_stopped)
    finally:
        ray.shutdown()


def _actors(ray: Any, batch: Batch, device: torch.device, split: Split) -> list[Any]:
    resources = {"num_gpus": 1} if device.type == "cuda" else {"num_cpus": split.threads}
    actor = ray.remote(max_restarts=-1, max_task_retries=_RETRIES, **resources)(Worker)
    small = replace(batch, tasks=())  # what goes through Ray's store is gone when an actor restarts
    folder = str(Path.cwd())
    return [actor.remote(small, folder, device.type, split) for _ in range(split.workers)]


def _run(
    ray: Any, actors: Sequence[Any], tasks: Sequence[Task], is_stopped: Callable[[], bool]
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
        idle.append(worker)
        yield _outcome(ray, finished, task)


def _outcome(ray: Any, finished: Any, task: Task) -> Outcome:
    try:
        outcome: Outcome = ray.get(finished)
    except ray.exceptions.ActorDiedError as error:  # it could not even be made
        raise WorkError(f"Ray's workers cannot start: {_first_line(error)}") from error
    except ray.exceptions.RayActorError:
        times = f"{_RETRIES + 1} times"
        return Outcome(task, "failed", 0.0, f"{task.source}: its worker died {times} over it")
    return outcome


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
