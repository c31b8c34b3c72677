"""News from the threads to the tabs: each gets the newest, none can hold up another."""

from __future__ import annotations

import asyncio


class Tab:
    """What wakes one tab up; ``seen`` is the last step that it was sent."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.seen: object = None


class News:
    """All open tabs. :meth:`spread` may be called from any thread, before there is a loop too."""

    def __init__(self) -> None:
        self.tabs: set[Tab] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """From now on the running loop brings the news."""
        self._loop = asyncio.get_running_loop()

    def spread(self) -> None:
        """Wake all tabs up."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for tab in self.tabs:
            tab.woken.set()
