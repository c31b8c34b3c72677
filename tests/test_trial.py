from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge import trial
from styleforge.trial import Trial, trials

COMMANDS = [
    "transfer",
    "transfer -p gram",
    "transfer --optimizer adam",
    "stylize",
    "batch",
    "texture",
    "dream",
    "reconstruct",
    "inspect",
    "train",
]


@pytest.mark.slow
def test_every_command_on_the_cpu_is_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_STEPS", 1)
    monkeypatch.setattr(trial, "_SIDE", 48)
    found = list(trials("cpu"))
    assert [one.command for one in found] == COMMANDS
    assert [(one.error, one.difference) for one in found] == [("", 0.0)] * len(COMMANDS)
    assert all(one.passed for one in found)


def test_a_command_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_device: str) -> Tensor:
        raise RuntimeError("CUDA error:\nno kernel image is available")

    works = {"texture": failing, "stylize": lambda _device: torch.ones(1)}
    monkeypatch.setattr(trial, "_works", lambda *_: works)
    failed, other = trials("cpu")
    why = "RuntimeError: CUDA error: no kernel image is available"
    assert failed == Trial("texture", error=why)
    assert not failed.passed
    assert other.passed
