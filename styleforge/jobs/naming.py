"""How outputs are named where nothing else is said."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from styleforge.core.files import STDOUT
from styleforge.images.geometry import Size
from styleforge.images.load import ImageSource, stem_of
from styleforge.images.save import Depth, check_output

_LONGEST = 200
"""Bytes of a name without its ending; file systems take 255."""


def output_path(
    wanted: str | None,
    inputs: Sequence[ImageSource],
    *,
    force: bool,
    folder: Path = Path(),
) -> Path | None:
    """Where the result goes: as wanted, or named after the inputs; None for standard output.

    The name that is found is of no other file in the ``folder``, unless that may be replaced.
    """
    if wanted == STDOUT:
        return None
    if wanted:
        return Path(wanted)
    stems = "_".join(map(stem_of, inputs))
    return free_path(folder / f"{shortened(stems)}.png", force=force)


def free_path(path: Path, *, force: bool) -> Path:
    """The path, or the first of ``a_2.png``, ``a_3.png``, ... where no file may be replaced."""
    if force:
        return path
    numbered = (path.with_stem(f"{path.stem}_{n}") for n in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


def checked_output(
    wanted: Path | None,
    default: str,
    *,
    inputs: Sequence[Path],
    force: bool,
    size: Size,
    depth: Depth = 8,
) -> Path | None:
    """Where a result goes, as wanted or by a default name; None for standard output.

    Raises :class:`UsageError` where it cannot be written.
    """
    output = output_path(None if wanted is None else str(wanted), [Path(default)], force=force)
    if output is not None:
        check_output(output, inputs=inputs, force=force, depth=depth, size=size)
    return output


def shortened(name: str) -> str:
    """As much of a name as a file's name can hold."""
    return os.fsencode(name)[:_LONGEST].decode(errors="ignore")
