"""The errors a user can cause, each with the exit code that the command line returns for it."""

from __future__ import annotations

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells use it: 128 and the number of SIGINT."""


class StyleforgeError(Exception):
    """Something the user can mend. The message says what, which value, and what to do next."""

    exit_code = 2


class WorkError(StyleforgeError):
    """The work was started and could not be finished or stored."""

    exit_code = 1


class UsageError(StyleforgeError):
    """Wrong options, presets or input files."""

    exit_code = 2


class OutOfMemoryError(StyleforgeError):
    """The device cannot hold the run."""

    exit_code = 3


class WeightsError(StyleforgeError):
    """The network's weights are missing, damaged or of the wrong kind."""

    exit_code = 4


class ModelError(StyleforgeError):
    """A trained network is missing, damaged, of another kind or from a newer version."""

    exit_code = 4
