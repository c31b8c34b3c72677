"""What carries tasks out: threads of this process, torchrun's processes, or Ray's actors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, get_args

import torch

from styleforge.core.errors import UsageError

EngineName = Literal["local", "torchrun", "ray"]

_MOST_THREADS = 4096
"""More than machines have cores; OpenMP crashes at some number."""

Task = TypeVar("Task", contravariant=True)
Outcome = TypeVar("Outcome", covariant=True)


@dataclass(frozen=True)
class Split:
    """So many tasks side by side, each on so many of the processor's threads."""

    workers: int
    threads: int


@dataclass(frozen=True)
class Engine:
    """Which one, and how many ``workers`` and ``threads`` of the processor for each.

    ``address`` is of a Ray cluster that runs already.
    """

    name: str = "local"
    address: str = ""
    workers: int | None = None
    threads: int | None = None

    def check(self) -> None:
        """Raise :class:`UsageError` for values that do not go together."""
        if self.name not in get_args(EngineName):
            raise UsageError(f"`engine` is {', '.join(get_args(EngineName))} (not {self.name!r})")
        threads = (self.workers or 1) * (self.threads or 1)
        if threads > _MOST_THREADS:
            raise UsageError(
                f"`workers` times `threads` is at most {_MOST_THREADS} (not {threads})"
            )
        if self.address and self.name != "ray":
            raise UsageError("`address` is of a Ray cluster; use it with `engine` ray")


class Work(Protocol[Task, Outcome]):
    """What the workers of an engine do, on this machine or another: it can be pickled."""

    def begin(self, device: torch.device, split: Split, /) -> Callable[[Task], Iterable[Outcome]]:
        """Load what one worker of the split needs; then it carries out task after task.

        A task that was given up half-way can be taken up again, by another worker, too.
        """

    def died(self, task: Task, times: int, /) -> Outcome:
        """What becomes of a task over which so many workers died, or an error that says so."""
