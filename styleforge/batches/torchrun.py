"""A batch in the processes that ``torchrun`` starts, on one machine or on many that share a folder.

Every process takes its share of the tasks; no process waits for another before the end.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch.distributed

from styleforge.core.errors import UsageError, WorkError
from styleforge.core.processes import process_group, started_by_torchrun

Outcome = TypeVar("Outcome")
Value = TypeVar("Value")

_PATIENCE = datetime.timedelta(days=30)
"""How long the first to finish waits for the last."""


@contextlib.contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """The rank of this process and how many there are. Raises :class:`UsageError` if alone."""
    if not started_by_torchrun():
        raise UsageError(
            "`engine` torchrun is for processes that torchrun starts: "
            "torchrun --nproc-per-node 2 -m styleforge batch ... --engine torchrun"
        )
    with process_group("gloo", patience=_PATIENCE) as (rank, count):
        yield rank, count


def gathered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of all processes, in the first of them; in the others, their own.

    Raises :class:`WorkError` where one of them has ended before.
    """
    count = torch.distributed.get_world_size()
    everyones: list[list[Outcome]] | None = None
    if torch.distributed.get_rank() == 0:
        everyones = [[] for _ in range(count)]
    with _all_there():
        torch.distributed.gather_object(list(outcomes), everyones)
    return list(outcomes) if everyones is None else [o for part in everyones for o in part]


def told(value: Value | None) -> Value:
    """What the first process says, in all of them, which wait for it.

    Raises :class:`WorkError` where one of them has ended before.
    """
    said = [value]
    with _all_there():
        torch.distributed.broadcast_object_list(said)
    assert said[0] is not None
    return said[0]


@contextlib.contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise WorkError(
            "another process has ended; what it left is done when started again"
        ) from error
