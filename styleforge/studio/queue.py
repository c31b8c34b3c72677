"""One heavy job at a time: who waits, who runs, and what becomes of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.studio.live import (
    Change,
    GoOn,
    Painted,
    Pause,
    Plan,
    Planned,
    Refused,
    Step,
    Stop,
    Work,
)


class State(Enum):
    """Of a job. Those of the second line are its end."""

    WAITING, RUNNING, PAUSED = "waiting", "running", "paused"
    DONE, STOPPED, CANCELLED, FAILED = "done", "stopped", "cancelled", "failed"


OVER = (State.DONE, State.STOPPED, State.CANCELLED, State.FAILED)

_KEPT = 20
"""Jobs that are over and still shown."""


@dataclass
class Entry:
    """A job in the queue. ``message`` is why it failed, or what was refused; ``task`` the page's.

    ``place`` names the result's file once the job begins.
    """

    number: int
    title: str
    work: Work
    place: Callable[[str], Path]
    task: dict[str, Any]
    state: State = State.WAITING
    message: str = ""
    step: Step | None = None
    result: Painted | Planned | None = None
    ended: Future[Planned] = field(default_factory=Future)

    def to_dict(self) -> dict[str, Any]:
        """For the page, without the picture."""
        step = self.step
        shown = {k: v for k, v in vars(step).items() if k != "frame"} if step else None
        painted = self.result if isinstance(self.result, Painted) else None
        return {
            "number": self.number,
            "title": self.title,
            "task": self.task,
            "state": self.state.value,
            "message": self.message,
            "step": shown,
            "name": painted.name if painted else None,
            "seconds": painted.seconds if painted else None,
        }


class Hands(Protocol):
    """What carries jobs out: a :class:`~styleforge.studio.worker.Worker`."""

    def do(self, work: Work, heard: Callable[[Step | Refused], object], /) -> Painted | Planned:
        """Carry a job out. Raises :class:`StyleforgeError`."""

    def tell(self, command: object, /) -> None:
        """Send a command to it."""

    def end(self) -> None:
        """Free all that it took."""


class Queue:
    """Jobs in the order in which they came; ``changed`` is called whenever there is news.

    A thread carries them out, one after the other, until :meth:`close`.
    """

    def __init__(self, hands: Hands, changed: Callable[[], object]) -> None:
        self._hands = hands
        self._changed = changed
        self._numbers = itertools.count(1)
        self._entries: list[Entry] = []
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def entries(self) -> list[Entry]:
        """Copies, in order; those that ended long ago are left out."""
        with self._news:
            return [replace(entry) for entry in self._entries]

    @property
    def running(self) -> Entry | None:
        """The job that is being carried out, or paused."""
        at_work = (State.RUNNING, State.PAUSED)
        return next((one for one in self.entries if one.state in at_work), None)

    def add(
        self, work: Work, title: str, place: Callable[[str], Path], task: dict[str, Any]
    ) -> Entry:
        """Put a job at the end of the queue, and a plan, which takes seconds, at its beginning."""
        entry = Entry(next(self._numbers), title, work, place, task)
        with self._news:
            waiting = [n for n, one in enumerate(self._entries) if one.state is State.WAITING]
            first = waiting[0] if waiting and isinstance(work, Plan) else len(self._entries)
            self._entries.insert(first, entry)
            self._news.notify_all()
        self._changed()
        return entry

    def pause(self, number: int) -> None:
        """Raises :class:`UsageError` for a job that is not running, as the next three do."""
        self._running(number).state = State.PAUSED
        self._tell(Pause())

    def go_on(self, number: int) -> None:
        """After a pause."""
        self._running(number).state = State.RUNNING
        self._tell(GoOn())

    def stop(self, number: int) -> None:
        """End the job where it is, and keep its picture."""
        self._running(number)
        self._tell(Stop())

    def turn(self, number: int, change: Change) -> None:
        """Let the job go on with other settings."""
        self._running(number).message = ""
        self._tell(change)

    def cancel(self, number: int) -> None:
        """Take a job away, and free the memory that it took. Raises :class:`UsageError`."""
        with self._news:
            entry = self._find(number)
            was_running = entry.state in (State.RUNNING, State.PAUSED)
            if entry.state in OVER:
                raise UsageError("this job is over")
            entry.state = State.CANCELLED
            if was_running:
                self._hands.end()
        entry.ended.cancel()
        self._changed()

    def close(self, patience: float = 20.0) -> None:
        """Stop and keep what is running, and end, after so many seconds at most."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            if any(entry.state in (State.RUNNING, State.PAUSED) for entry in self._entries):
                self._hands.tell(Stop())
        self._thread.join(patience)
        self._hands.end()

    def _tell(self, command: object) -> None:
        self._hands.tell(command)
        self._changed()

    def _find(self, number: int) -> Entry:
        for entry in self._entries:
            if entry.number == number:
                return entry
        raise UsageError("there is no such job")

    def _running(self, number: int) -> Entry:
        with self._news:
            entry = self._find(number)
        if entry.state not in (State.RUNNING, State.PAUSED):
            raise UsageError("this job is not running")
        return entry

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            self._changed()
            self._carry_out(entry)
            self._changed()

    def _next(self) -> Entry | None:
        """Waits for one; None once the studio is closed."""
        with self._news:
            while not self._closed:
                for entry in self._entries:
                    if entry.state is State.WAITING:
                        entry.state = State.RUNNING
                        return entry
                self._forget()
                self._news.wait()
        return None

    def _forget(self) -> None:
        over = [entry for entry in self._entries if entry.state in OVER]
        for entry in over[:-_KEPT]:
            self._entries.remove(entry)

    def _carry_out(self, entry: Entry) -> None:
        try:
            result = self._hands.do(_placed(entry), lambda record: self._heard(entry, record))
        except StyleforgeError as error:
            if entry.state is not State.CANCELLED:
                entry.state, entry.message = State.FAILED, str(error)
                entry.ended.set_exception(error)
            return
        if entry.state is State.CANCELLED:  # it ended by itself in the same moment
            return
        stopped = isinstance(result, Painted) and result.stopped
        entry.result = result
        entry.state = State.STOPPED if stopped else State.DONE
        if isinstance(result, Planned):
            entry.ended.set_result(result)

    def _heard(self, entry: Entry, record: Step | Refused) -> None:
        if isinstance(record, Refused):
            entry.message = record.message
        else:
            entry.step = record
        self._changed()


def _placed(entry: Entry) -> Work:
    """The job with a place for its picture, which is free now."""
    if isinstance(entry.work, Plan):
        return entry.work
    return replace(entry.work, output=str(entry.place(entry.title)))
