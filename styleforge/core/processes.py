"""The processes that ``torchrun`` starts together, on one machine or on many."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator

import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous


def started_by_torchrun() -> bool:
    """Whether this process is one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process is alone, or the one of several that tells how it goes."""
    return not started_by_torchrun() or os.environ.get("RANK") == "0"


def restarts() -> int:
    """How often torchrun has started the processes again because one of them had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextlib.contextmanager
def process_group(backend: str, *, patience: datetime.timedelta) -> Iterator[tuple[int, int]]:
    """Join the others: the rank of this process, and how many there are.

    ``patience`` is how long one waits for another.
    """
    store, rank, count = next(rendezvous("env://", timeout=patience))
    torch.distributed.init_process_group(
        backend,
        # torchrun keeps its store when it restarts, with the addresses of processes that are gone
        store=PrefixStore(f"attempt {restarts()}", store),
        rank=rank,
        world_size=count,
        timeout=patience,
    )
    try:
        yield rank, count
    finally:
        torch.distributed.destroy_process_group()
