"""A desk whose heavy jobs are carried out by a test, and its server in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from styleforge.core.errors import WorkError
from styleforge.studio.desk import Desk, Means
from styleforge.studio.live import Painted, Planned, Stop
from tests.pictures import noise


class Hands:
    """Carries out what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.told: list[object] = []
        self.heard: Callable[[Any], object] = lambda _: None
        self.outcome: Any = None
        self._may_end = threading.Event()
        self.at_work = threading.Semaphore(0)

    def do(self, work: Any, heard: Callable[[Any], object]) -> Painted | Planned:
        self.begun.append(work)
        self.heard = heard
        self.at_work.release()
        assert self._may_end.wait(10)
        self._may_end.clear()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        result: Painted | Planned = self.outcome
        return result

    def tell(self, command: object) -> None:
        self.told.append(command)
        if isinstance(command, Stop):
            self.finish(Painted("a.png", 1.0, stopped=True))

    def finish(self, outcome: Any) -> None:
        """End the job that is being carried out."""
        self.outcome = outcome
        self._may_end.set()

    def end(self) -> None:
        self.finish(WorkError("the painting process ended"))


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def desk(folder: Path, hands: Hands) -> Iterator[Desk]:
    made = Desk(folder, Means("cpu"), hands, lambda _, path: f"rerun {path.name}", lambda: None)
    yield made
    made.queue.close(patience=0)


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    """A PNG of 48 x 40 pixels."""
    noise(48, 40).save(tmp_path / "photo.png")
    return (tmp_path / "photo.png").read_bytes()
