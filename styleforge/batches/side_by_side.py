"""Tasks on threads of this process: torch computes outside Python's lock."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def side_by_side(
    tasks: Iterable[Task],
    workers: Sequence[Callable[[Task], Iterable[Outcome]]],
    *,
    threads: int,
    is_stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    """What becomes of all tasks, as it comes; each worker takes the next one when it is free.

    Each computes on so many of the processor's ``threads``. Where ``is_stopped``, nothing new is
    begun, and a task with several outcomes is left after the next of them.
    """
    outcomes: queue.Queue[Outcome | BaseException | None] = queue.Queue()
    left = iter(tasks)
    lock = threading.Lock()
    abandoned = threading.Event()

    def is_over() -> bool:
        return abandoned.is_set() or is_stopped()

    def take() -> Iterator[Task]:
        while True:
            with lock:
                taken = [] if is_over() else [*islice(left, 1)]
            if not taken:
                return
            yield taken[0]

    def work(perform: Callable[[Task], Iterable[Outcome]]) -> None:
        torch.set_num_threads(threads)
        try:
            for task in take():
                for outcome in perform(task):
                    outcomes.put(outcome)
                    if is_over():
                        break
        except BaseException as error:  # the main thread shows it
            outcomes.put(error)
        finally:
            outcomes.put(None)

    running = [threading.Thread(target=work, args=(one,), daemon=True) for one in workers]
    own_threads = torch.get_num_threads()
    try:
        for thread in running:
            thread.start()
        yield from _until_all_end(outcomes, len(running))
    except (Exception, GeneratorExit):
        abandoned.set()
        for thread in running:  # Python cannot end in good order while they compute
            thread.join()
        raise
    finally:
        abandoned.set()
        torch.set_num_threads(own_threads)


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
