"""One heavy job at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from styleforge.core.errors import UsageError, WorkError
from styleforge.jobs.stylize import StylizeRequest
from styleforge.studio.live import Change, GoOn, Painted, Pause, Plan, Planned, Refused, Step, Stop
from styleforge.studio.queue import Entry, Queue, State
from tests.studio.conftest import Hands

STEP = Step(0.5, 3.0, (8, 6), 1, 2, 4, 1.5, b"jpeg")
PAINTED = Painted("a.png", 1.0)


@pytest.fixture
def queue(hands: Hands) -> Iterator[Queue]:
    made = Queue(hands, lambda: None)
    yield made
    made.close(patience=0)


def add(queue: Queue, title: str) -> Entry:
    place: Callable[[str], Path] = lambda name: Path(f"{name}.png")  # noqa: E731
    return queue.add(StylizeRequest(Path("c.png"), {}), title, place, {"kind": "quick"})


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came about")


def states(queue: Queue) -> list[str]:
    return [entry.state.value for entry in queue.entries]


def test_jobs_run_one_after_the_other(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    hands.at_work.acquire(timeout=5)
    add(queue, "b")
    assert states(queue) == ["running", "waiting"]
    assert [work.output for work in hands.begun] == ["a.png"]
    hands.finish(PAINTED)
    hands.at_work.acquire(timeout=5)
    assert states(queue) == ["done", "running"]
    assert [work.output for work in hands.begun] == ["a.png", "b.png"]
    hands.finish(Painted("b.png", 2.0, stopped=True))
    until(lambda: states(queue) == ["done", "stopped"])


def test_what_the_page_hears_of_a_job(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    hands.at_work.acquire(timeout=5)
    hands.heard(STEP)
    hands.heard(Refused("no such color"))
    shown = queue.entries[0].to_dict()
    assert shown["step"] == {k: v for k, v in vars(STEP).items() if k != "frame"}
    assert (shown["state"], shown["message"], shown["name"]) == ("running", "no such color", None)
    hands.finish(PAINTED)
    until(lambda: queue.entries[0].to_dict()["name"] == "a.png")


def test_commands_reach_the_job_that_runs(queue: Queue, hands: Hands) -> None:
    running = add(queue, "a")
    hands.at_work.acquire(timeout=5)
    queue.pause(running.number)
    assert states(queue) == ["paused"]
    queue.go_on(running.number)
    queue.turn(running.number, Change({"strength": 0.3}))
    queue.stop(running.number)
    assert hands.told == [Pause(), GoOn(), Change({"strength": 0.3}), Stop()]


def test_only_what_runs_can_be_told_something(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    hands.at_work.acquire(timeout=5)
    waiting = add(queue, "b")
    commands: list[Callable[[int], Any]] = [queue.pause, queue.go_on, queue.stop]
    for command in commands:
        with pytest.raises(UsageError, match="this job is not running"):
            command(waiting.number)
        with pytest.raises(UsageError, match="there is no such job"):
            command(99)


def test_a_cancelled_job_frees_what_it_took(queue: Queue, hands: Hands) -> None:
    running, waiting = add(queue, "a"), add(queue, "b")
    hands.at_work.acquire(timeout=5)
    queue.cancel(waiting.number)
    queue.cancel(running.number)
    assert states(queue) == ["cancelled", "cancelled"]
    add(queue, "c")
    hands.at_work.acquire(timeout=5)
    assert [work.output for work in hands.begun] == ["a.png", "c.png"]
    with pytest.raises(UsageError, match="this job is over"):
        queue.cancel(running.number)


def test_a_job_that_fails_says_why_and_the_next_runs(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    add(queue, "b")
    hands.at_work.acquire(timeout=5)
    hands.finish(WorkError("no space left"))
    hands.at_work.acquire(timeout=5)
    assert (queue.entries[0].state, queue.entries[0].message) == (State.FAILED, "no space left")
    assert queue.entries[1].state is State.RUNNING


def test_a_dry_run_goes_before_those_that_wait(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    hands.at_work.acquire(timeout=5)
    add(queue, "b")
    plan: Any = Plan(None)  # type: ignore[arg-type]
    entry = queue.add(plan, "plan", Path, {"kind": "plan"})
    assert [one.title for one in queue.entries] == ["a", "plan", "b"]
    hands.finish(PAINTED)
    hands.at_work.acquire(timeout=5)
    hands.finish(Planned((8, 6), 3.0, 2**20, 10, None))
    assert entry.ended.result(5).seconds == 3.0


def test_at_the_end_the_running_picture_is_kept(queue: Queue, hands: Hands) -> None:
    add(queue, "a")
    add(queue, "b")
    hands.at_work.acquire(timeout=5)
    queue.close(patience=0)
    assert hands.told == [Stop()]
    assert [work.output for work in hands.begun] == ["a.png"]
