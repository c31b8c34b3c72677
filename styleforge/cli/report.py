"""The last word of a command: the picture's place, its size, and how long it took."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from styleforge.cli.progress import print_json, say, suggest
from styleforge.core.errors import INTERRUPTED, UsageError, WorkError
from styleforge.core.files import STDOUT, check_is_free, remove_remains
from styleforge.core.signals import StopRequest, hear_requests

if TYPE_CHECKING:
    from styleforge.jobs.result import Result


_HINT = "styleforge info {0} shows how it was made, styleforge rerun {0} -o FILE repeats it"


@dataclass(frozen=True)
class Manner:
    """How much a command says, and since when it has been running (``time.perf_counter``)."""

    command: str
    quiet: bool
    as_json: bool
    started: float
    verbose: bool = False
    shown: bool = False
    """Whether the picture is opened in the system's viewer at the end."""

    def check(self, output: str | Path | None, *, force: bool) -> None:
        """Raise :class:`UsageError` where a file is in the output's place.

        And where two things want standard output.
        """
        if self.as_json and str(output) == STDOUT:
            raise UsageError("--json and -o - both want standard output; name an output file")
        if str(output) == STDOUT and getattr(sys.stdout, "error", None):
            raise UsageError("standard output is closed; name an output file")
        if str(output) == STDOUT and self.shown:
            raise UsageError("--open needs a file to open, not standard output")
        if output and str(output) != STDOUT:
            check_is_free(Path(output), force=force)

    def begin(self, line: str) -> None:
        """Say what will be done, before anything is loaded."""
        if not self.quiet:
            say(f"{self.command}: {line}")

    def loaded(self) -> None:
        """From now on Ctrl-C, SIGTERM and SIGHUP keep what there is."""
        hear_requests()

    def place(self, output: Path | None, device: str) -> None:
        """Say where the picture goes and what makes it, before the long work."""
        self.begin(f"to {output or 'standard output'}, on {device}")


def deliver(result: Result, output: Path | None) -> None:
    """Save the picture, or write it to standard output, even if asked to end meanwhile."""
    with StopRequest():
        if output is not None:
            result.save(output)
            remove_remains([output])
        else:
            _write(result)


def _write(result: Result) -> None:
    from styleforge.images.save import rescue

    content = result.png()
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # who reads has seen enough
        raise
    except OSError as error:
        raise WorkError(rescue("standard output", "picture.png", content, error)) from error


def conclude(
    manner: Manner,
    report: dict[str, Any],
    *,
    seconds: float,
    details: str = "",
    finished: bool = True,
    recipe: bool = True,
) -> None:
    """Print the report as JSON or in words; exits with 130 after an interruption.

    ``report`` has an output, a width and a height; ``recipe``: the file tells how it was made.
    """
    if manner.as_json:
        print_json(report)
    if not manner.quiet:
        verb = "Saved" if finished else "Interrupted: saved what there is as"
        size = f"{report['width']} x {report['height']}"
        say(f"{verb} {report['output']} ({size}) in {_seconds(seconds)}")
        if details:
            say(details)
        if recipe and str(report["output"]) != STDOUT:
            suggest(_HINT.format(shlex.quote(report["output"])))
    if manner.shown:
        show(report["output"])
    if not finished:
        raise typer.Exit(INTERRUPTED)


def show(output: str) -> None:
    """Open a file in the system's viewer; where there is none, it only says so."""
    if typer.launch(output) != 0:
        say(f"Warning: there is no viewer to open {output} with")


def elapsed(started: float) -> str:
    """Since a moment of ``time.perf_counter``."""
    return _seconds(time.perf_counter() - started)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
