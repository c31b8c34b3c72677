"""How outputs are named where nothing else is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

STDOUT = "-"

_LONGEST = 200
"""Bytes of a name without its ending; file systems take 255."""


def output_path(wanted: str | None, inputs: Sequence[Path]) -> Path | None:
    """Where the result goes: as wanted, or named after the inputs; None for standard output."""
    if wanted == STDOUT:
        return None
    if wanted:
        return Path(wanted)
    stems = "_".join(path.stem for path in inputs)
    return Path(f"{shortened(stems)}.png")


def shortened(name: str) -> str:
    """As much of a name as a file's name can hold."""
    return os.fsencode(name)[:_LONGEST].decode(errors="ignore")
