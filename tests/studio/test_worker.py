"""The process that carries out heavy jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from styleforge.core.errors import WorkError
from styleforge.jobs.stylize import StylizeRequest
from styleforge.jobs.transfer import TransferRequest
from styleforge.presets.transfer import load_preset
from styleforge.studio.live import Painted, Step
from styleforge.studio.worker import Worker, serve
from tests.jobs.test_turns import QUICK, request_
from tests.pictures import noise

assert request_, "the fixture"


class Ended:
    """A line with jobs on it, whose other end is closed after them."""

    def __init__(self, *works: Any) -> None:
        self.sent: list[Any] = []
        self._works = [*works]

    def send(self, record: Any) -> None:
        self.sent.append(record)

    def recv(self) -> Any:
        if not self._works:
            raise EOFError
        return self._works.pop(0)

    def poll(self) -> bool:
        return False


def test_what_goes_wrong_is_sent_back_and_the_next_is_carried_out(tmp_path: Path) -> None:
    noise(48, 40).save(tmp_path / "c.png")
    good = StylizeRequest(
        tmp_path / "c.png", {"mosaic": 1.0}, output=str(tmp_path / "out.png"), device="cpu"
    )
    line = Ended(replace(good, photo=tmp_path / "none.png"), "a late command", good)
    with pytest.raises(EOFError):
        serve(line)
    failed, painted = line.sent
    assert isinstance(failed, WorkError)
    assert str(failed) == f"no such file: {tmp_path / 'none.png'}"
    assert isinstance(painted, Painted)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.end()


@pytest.mark.slow
def test_to_end_it_frees_all_and_the_next_job_starts_it_again(
    worker: Worker, request_: TransferRequest
) -> None:
    endless = load_preset("gram", {**QUICK, "optimizer.steps": 100_000, "style.beta": 1e6})
    begun, failed = threading.Event(), []

    def paint() -> None:
        try:
            worker.do(replace(request_, preset=endless), lambda _: begun.set())
        except WorkError as error:
            failed.append(str(error))

    thread = threading.Thread(target=paint)
    thread.start()
    assert begun.wait(120)
    (process,) = [c for c in psutil.Process().children() if c.pid == worker._process.pid]
    worker.end()
    thread.join(30)
    assert not process.is_running()
    assert failed == ["the painting process ended; there may be too little memory"]
    steps: list[Any] = []
    done = worker.do(request_, steps.append)
    assert isinstance(done, Painted)
    assert all(isinstance(step, Step) for step in steps)
    assert len(steps) == 5


@pytest.mark.slow
def test_a_command_after_the_end_does_nothing(worker: Worker, request_: TransferRequest) -> None:
    worker.tell("nobody is there")
    worker.do(request_, lambda _: None)
    worker.tell("too late")
    with pytest.raises(WorkError, match=r"out.png exists"):
        worker.do(request_, lambda _: None)
