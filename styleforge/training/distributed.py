"""One training in several processes, as ``torchrun`` starts them, on one machine or many."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.processes import process_group, started_by_torchrun

_PATIENCE = datetime.timedelta(minutes=30)
"""How long a process waits for the others: the first also saves and validates."""


@dataclass(frozen=True)
class Processes:
    """How many processes train together, and which of them this is."""

    count: int = 1
    rank: int = 0

    @property
    def is_first(self) -> bool:
        """The one that prints and writes files."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Of all processes' values."""
        if self.count == 1:
            return values
        torch.distributed.all_reduce(values)
        return values / self.count

    def agree(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.count == 1:
            return value
        largest = torch.tensor(value, device=_device())
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
        return int(largest)


@contextlib.contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun, there is only this one."""
    if not started_by_torchrun():
        yield Processes()
        return
    on_gpus = torch.cuda.is_available() and device != "cpu"
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with process_group("nccl" if on_gpus else "gloo", patience=_PATIENCE) as (rank, count):
        yield Processes(count, rank)


def own_device(name: str, processes: Processes) -> str:
    """Each process takes its own GPU."""
    local = os.environ.get("LOCAL_RANK")
    if processes.count == 1 or local is None or not torch.cuda.is_available():
        return name
    return f"cuda:{local}" if name in ("auto", "cuda") else name


def check_batch(batch: int, processes: Processes) -> None:
    """Raise :class:`UsageError` unless every process gets the same share of a batch."""
    if batch % processes.count:
        raise UsageError(f"a batch of {batch} cannot be shared by {processes.count} processes")


def _device() -> torch.device:
    return torch.device("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
