"""The errors a user can cause, each with the exit code that the command line returns for it."""

from __future__ import annotations

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells use it: 128 and the number of SIGINT."""


class StyleforgeError(Exception):
    """Something the user can mend. The message says what, which value, and what to do next."""

    exit_code = 2


def reason_of(error: Exception) -> str:
    """Why one of many things failed, in a line: our own words, or what kind of bug it is."""
    if isinstance(error, StyleforgeError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror.lower()}"
    return f"{type(error).__name__}: {error}".strip(": ") + " (a bug; please report it)"


class WorkError(StyleforgeError):
    """The work was started and could not be finished or stored."""

    exit_code = 1


class UsageError(StyleforgeError):
    """Wrong options, presets or input files."""

    exit_code = 2


class StoppedError(StyleforgeError):
    """Asked to end before there was anything to save."""

    exit_code = INTERRUPTED


class OutOfMemoryError(StyleforgeError):
    """The device cannot hold the run."""

    exit_code = 3


class WeightsError(StyleforgeError):
    """The network's weights are missing, damaged or of the wrong kind."""

    exit_code = 4


class ModelError(StyleforgeError):
    """A trained network is missing, damaged, of another kind or from a newer version."""

    exit_code = 4
