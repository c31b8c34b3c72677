"""The process that carries out heavy jobs: to end it frees all that they took, at any moment."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from styleforge.core.errors import WorkError, reason_of
from styleforge.studio.live import Artist, Line, Painted, Planned, Refused, Step, Work

Report = Step | Refused
"""What is said of a job while it runs."""


class Worker:
    """One process, started when it is needed, that does one job at a time."""

    def __init__(self) -> None:
        self._process: Any = None
        self._line: Connection | None = None

    def do(self, work: Work, heard: Callable[[Report], object]) -> Painted | Planned:
        """Carry a job out, telling how it goes on. Raises :class:`WorkError` where it fails."""
        line = self.start()
        try:
            line.send(work)
            while True:
                record = line.recv()
                if isinstance(record, WorkError):
                    raise record
                if isinstance(record, Painted | Planned):
                    return record
                heard(record)
        except (EOFError, OSError):
            self.end()
            raise WorkError("the painting process ended; there may be too little memory") from None

    def tell(self, command: object) -> None:
        """Send a command to the job that is running."""
        with contextlib.suppress(OSError):  # it has just ended
            if self._line is not None:
                self._line.send(command)

    def start(self) -> Connection:
        """Have the process ready: loading takes seconds."""
        if self._line is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._line, other = context.Pipe()
            self._process = context.Process(target=_work, args=(other,), daemon=True)
            self._process.start()
            other.close()
        return self._line

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process, self._line = self._process, None, None
        if process is not None:
            process.kill()
            process.join()


def _work(line: Connection) -> None:
    """What the process does until the studio ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the studio's to hear
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(line)


def serve(line: Line) -> None:
    """Carry out jobs as they come, until the other end is closed."""
    artist = Artist(line)
    while True:
        work = line.recv()
        if not isinstance(work, Work):
            continue  # a command that came after the end of its job
        try:
            line.send(artist.do(work))
        except Exception as error:
            line.send(WorkError(reason_of(error)))
