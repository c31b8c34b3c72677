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

_LINE = "{desc} {percentage:3.0f}%, {elapsed}, {remaining} left{postfix}"
_LINE_OF_UNITS = "{n_fmt} of {total_fmt} {unit}s, {elapsed}, {remaining} left{postfix}"
_OF_WORK = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"

_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class _Lines(tqdm):  # type: ignore[type-arg]
    """Where there is no terminal: a line now and then."""

    _told = 0.0

    def display(self, msg: str | None = None, *_: object, **__: object) -> None:
        if msg is None and self._told + _EVERY <= self.format_dict["elapsed"] and self.n:
            self._told = self.format_dict["elapsed"]
            self.fp.write(f"{str(self).strip()}\n")
            self.fp.flush()

    def clear(self, *_: object, **__: object) -> None:
        """Lines stay."""


def bar(total: int, *, quiet: bool, initial: int = 0, unit: str = "") -> tqdm[NoReturn]:
    """A bar on stderr, or lines where that is no terminal; without a unit it counts pixels.

    Pixels evaluated, so that the time left is right at every scale.
    """
    terminal = sys.stderr.isatty()
    form = None if unit else _OF_WORK
    line = _LINE_OF_UNITS if unit else _LINE
    return (tqdm if terminal else _Lines)(
        total=total,
        initial=initial,
        unit=unit,
        bar_format=form if terminal else line,
        disable=quiet,
        file=sys.stderr,
        leave=False,
        miniters=1,
    )


def suggest(line: str) -> None:
    """What one may do next, on stderr."""
    say(f"next: {line}")


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
