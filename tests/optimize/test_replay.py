"""Recording needs CUDA; here torch.cuda is replaced by something that records calls."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from styleforge.optimize.minimize import OptimizerName, minimize
from styleforge.optimize.replay import Replayed
from tests.objectives import distance_to

REASON = "operation not permitted when stream is capturing"
WARNING = f"steps could not be recorded ({REASON}); each is launched anew, and slower"


class FakeGraph:
    """Replays what was called while it recorded."""

    def __init__(self) -> None:
        self.recorded: Callable[[], None] = lambda: None
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.recorded()


class Machine:
    """A step that counts how often it ran, which it does not while it is recorded."""

    def __init__(self) -> None:
        self.ran = 0
        self.recording: FakeGraph | None = None
        self.graphs: list[FakeGraph] = []
        self.broken = False

    def step(self) -> None:
        if self.recording is None:
            self.ran += 1
        elif self.broken:
            raise RuntimeError(f"{REASON}\nCompile with `TORCH_USE_CUDA_DSA`")
        else:
            self.recording.recorded = self._run

    def _run(self) -> None:
        self.ran += 1

    @contextlib.contextmanager
    def graph(self, graph: FakeGraph) -> Iterator[None]:
        self.recording = graph
        self.graphs.append(graph)
        try:
            yield
        finally:
            self.recording = None


class Stream:
    def wait_stream(self, other: Any) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", machine.graph)
    return machine


def test_every_call_is_one_step(machine: Machine) -> None:
    replayed = Replayed(machine.step)
    for count in range(1, 9):
        replayed()
        assert machine.ran == count
    (graph,) = machine.graphs
    assert graph.replays == 5  # after three warm-ups


def test_a_step_that_cannot_be_recorded_is_called(machine: Machine) -> None:
    machine.broken = True
    replayed = Replayed(machine.step)
    for _ in range(3):
        replayed()
    with pytest.warns(UserWarning, match=f"^{re.escape(WARNING)}$"):
        replayed()
    replayed()
    assert machine.ran == 5
    assert len(machine.graphs) == 1


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_run_whose_steps_cannot_be_recorded_is_the_same(
    optimizer: OptimizerName, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_graph: FakeGraph) -> None:
        raise RuntimeError(REASON)

    start, target = torch.rand(2, 1, 3, 20, 24)
    run = partial(minimize, distance_to(target), start, optimizer=optimizer, steps=8)
    *_, expected = run()
    monkeypatch.setattr(torch.cuda, "graph", failing)
    with pytest.warns(UserWarning, match=f"^{re.escape(WARNING)}$"):
        *_, found = run(replay=True)
    assert found.image().equal(expected.image())
    assert machine.graphs == []
