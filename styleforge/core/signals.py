"""Ctrl-C, and other polite requests to end, which are treated alike: SIGTERM, SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def _requests() -> list[signal.Signals]:
    """Those that are not ignored, as SIGHUP is under nohup; Windows has no SIGHUP."""
    known = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return [number for number in known if signal.getsignal(number) != signal.SIG_IGN]


def hear_requests() -> None:
    """Each raises KeyboardInterrupt from now on, unless the process was started deaf to it."""
    for number in (signal.SIGINT, *_requests()):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


class StopRequest:
    """Within it, the first signal only sets ``made``, to finish what is in flight.

    It also calls ``heard``. The second raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.made = False
        self.heard: Callable[[], None] = lambda: None

    def __enter__(self) -> StopRequest:
        self._previous = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, *_requests())
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        self.heard()
