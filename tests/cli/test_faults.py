from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.faults import COMMANDS, FAULTS, Fault, Workplace


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_everything_is_whole_or_absent(tmp_path: Path, fault: Fault) -> None:
    """A small share of benchmarks/faults.py's."""
    workplace = Workplace(tmp_path / "workplace", "stylize")
    found = workplace.disturb(fault, random.Random(0))
    assert not found.is_bug, found


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_after_faults_every_command_goes_on(tmp_path: Path, command: str) -> None:
    workplace = Workplace(tmp_path / "workplace", command)
    chance = random.Random(1)
    for fault in FAULTS:
        found = workplace.disturb(fault, chance)
        assert not found.is_bug, found
    workplace.finish()
