"""A batch in the processes that ``torchrun`` starts, on one machine or on many that share a folder.

Every process takes its share of the tasks; no process waits for another before the end.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence

import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from styleforge.batch.work import Outcome
from styleforge.errors import UsageError, WorkError

_PATIENCE = datetime.timedelta(days=30)
"""How long the first to finish waits for the last."""


@contextlib.contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """The rank of this process and how many there are. Raises :class:`UsageError` if alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        raise UsageError(
            "--engine torchrun is for processes that torchrun starts: "
            "torchrun --nproc-per-node 2 -m styleforge batch ... --engine torchrun"
        )
    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    torch.distributed.init_process_group(
        "gloo",
        # torchrun keeps its store when it restarts, with the addresses of processes that are gone
        store=PrefixStore(f"attempt {attempt}", store),
        rank=rank,
        world_size=count,
        timeout=_PATIENCE,
    )
    try:
        yield rank, count
    finally:
        torch.distributed.destroy_process_group()


def gathered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of all processes, in the first of them; in the others, their own.

    Raises :class:`WorkError` where one of them has ended before.
    """
    count = torch.distributed.get_world_size()
    everyones: list[list[Outcome]] | None = None
    if torch.distributed.get_rank() == 0:
        everyones = [[] for _ in range(count)]
    try:
        torch.distributed.gather_object(list(outcomes), everyones)
    except RuntimeError as error:
        raise WorkError(
            "another process has ended; what it left is done when started again"
        ) from error
    return list(outcomes) if everyones is None else [o for part in everyones for o in part]
