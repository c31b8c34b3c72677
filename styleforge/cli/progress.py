"""What the screen shows while something runs: bars and lines, all in one form."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from tqdm import tqdm

from styleforge.core.text import printable

_OF_WORK = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"


def bar(total: int, *, quiet: bool, initial: int = 0, unit: str = "") -> tqdm[NoReturn]:
    """A bar on stderr where that is a terminal; without a unit it counts pixels evaluated.

    Pixels, so that the time left is right at every scale.
    """
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        bar_format=None if unit else _OF_WORK,
        disable=quiet or not sys.stderr.isatty(),
        file=sys.stderr,
        leave=False,
    )


def say(line: str) -> None:
    """A line on stderr, above the bar if there is one."""
    tqdm.write(printable(line), file=sys.stderr)


@contextlib.contextmanager
def warnings_said() -> Iterator[None]:
    """Warnings are one line each, without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"Warning: {message}")
        yield


def print_lines(*lines: str) -> None:
    """Lines on standard output."""
    for line in lines:
        print(printable(line))


def print_json(value: Mapping[str, Any]) -> None:
    """One line on standard output, at once."""
    print(json.dumps(value), flush=True)
