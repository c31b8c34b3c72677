"""A batch: its styles, its tasks, and the painters that carry them out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from styleforge.batches.engines import Split
from styleforge.batches.sources import Task
from styleforge.batches.work import Outcome, perform
from styleforge.core.errors import StyleforgeError
from styleforge.jobs.painters import Painter
from styleforge.jobs.result import EVERYTHING, Kept
from styleforge.jobs.styles import Style
from styleforge.transfers.estimate import available_memory


@dataclass(frozen=True)
class Batch:
    """Everything to do, and how. Can be pickled, for other processes and machines.

    ``memory`` is what all pictures in work may take together; None: what is free. In a
    ``sequence`` each picture starts from the result of the one before it. ``kept`` is what the
    files tell.
    """

    styles: Sequence[Style]
    tasks: Sequence[Task]
    force: bool = False
    memory: int | None = None
    sequence: bool = False
    kept: Kept = EVERYTHING

    def share(self, rank: int, count: int) -> Batch:
        """Every so-manieth task, for one of several processes."""
        return replace(self, tasks=self.tasks[rank::count])

    def before(self, index: int) -> Task | None:
        """The task whose result one starts from: the last in its style that is there."""
        if not self.sequence:
            return None
        style = self.tasks[index].style
        earlier = (self.tasks[k] for k in range(index - 1, -1, -1))
        return next((t for t in earlier if t.style == style and t.is_there), None)


class Painters:
    """The painters of a batch on one device, each made when its first task comes.

    Tasks come one style after the other, so only the last painter is kept; the next shares its
    network.
    """

    def __init__(self, batch: Batch, device: torch.device, *, workers: int = 1) -> None:
        self.device = device
        self._batch = batch
        self._workers = workers
        self._lock = threading.Lock()
        self._memory = batch.memory or available_memory(device)
        self._made: tuple[int, Painter] | None = None

    def of(self, task: Task) -> Painter:
        """Raises :class:`StyleforgeError` where its style cannot be read."""
        with self._lock:
            if self._made is None or self._made[0] != task.style:
                last = self._made[1] if self._made else None
                style = self._batch.styles[task.style]
                painter = style.painter(self.device, self._memory // self._workers, last)
                self._made = (task.style, painter)
            return self._made[1]


@dataclass(frozen=True)
class BatchWork:
    """What workers elsewhere do of a batch, which brings its tasks one by one."""

    batch: Batch

    def begin(self, device: torch.device, split: Split) -> Callable[[Task], list[Outcome]]:
        painters = Painters(self.batch, device, workers=split.workers)

        def carry_out(task: Task) -> list[Outcome]:
            try:
                painter = painters.of(task)
            except StyleforgeError as error:
                return [Outcome(task, "failed", 0.0, str(error))]
            return [perform(task, painter, force=self.batch.force, kept=self.batch.kept)]

        return carry_out

    def died(self, task: Task, times: int) -> Outcome:
        return Outcome(task, "failed", 0.0, f"{task.source}: its worker died {times} times over it")
