"""Decoding, painting and encoding at the same time, with a few frames between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

ROOM = 4
"""Frames that wait between two stages, at most: memory does not grow with the film."""

_PATIENCE = 0.1
"""Seconds between looks whether anyone still waits."""


class _End:
    """No more items; with what went wrong, if anything did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterator[T], room: int = ROOM) -> Iterator[T]:
    """The same items, made by a thread of their own while earlier ones are worked on.

    What is raised there is raised here. Closed early, the thread ends after its current item.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(room)
    closed = threading.Event()

    def make() -> None:
        end = _End()
        try:
            for item in items:
                if not _put(waiting, item, closed):
                    return
        except BaseException as error:  # shown by who waits
            end = _End(error)
        _put(waiting, end, closed)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        closed.set()
        thread.join()


def _put(waiting: queue.Queue[T | _End], item: T | _End, closed: threading.Event) -> bool:
    """False where nobody waits any more."""
    while not closed.is_set():
        try:
            waiting.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return True
    return False


class Behind(Generic[T]):
    """Hands items, in order, to a function that works on them in a thread of its own.

    What it raises is raised at the next item or at the end; leaving waits for what is on its way.
    """

    def __init__(self, work: Callable[[T], None], room: int = ROOM) -> None:
        self._work = work
        self._waiting: queue.Queue[T | _End] = queue.Queue(room)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._waiting.put(_End())
        self._thread.join()
        if kind is None:
            self._raise()

    def put(self, item: T) -> None:
        """Wait for room."""
        self._raise()
        self._waiting.put(item)

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:  # else only make room
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
