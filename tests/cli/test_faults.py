from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.faults import COMMANDS, FAULTS, Workplace


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_after_a_fault_all_is_whole_or_absent_and_can_be_gone_on_from(
    tmp_path: Path, command: str
) -> None:
    """A small share of benchmarks/faults.py's."""
    workplace = Workplace(tmp_path / "workplace", command)
    chance = random.Random(0)
    for fault in [*FAULTS, *FAULTS]:
        found = workplace.disturb(fault, chance)
        assert not found.is_bug, found
