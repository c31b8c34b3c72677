"""The command line: one module per command. Nothing below this package prints."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from styleforge import __version__
from styleforge.cli.batch import batch
from styleforge.cli.calibrate import calibrate
from styleforge.cli.doctor import doctor
from styleforge.cli.dream import dream
from styleforge.cli.export import export
from styleforge.cli.flicker import flicker
from styleforge.cli.help import Command, Commands
from styleforge.cli.info import info
from styleforge.cli.inspect import inspect
from styleforge.cli.models import models
from styleforge.cli.parsing import spelled
from styleforge.cli.presets import presets
from styleforge.cli.progress import print_json, print_lines, say, warnings_said
from styleforge.cli.reconstruct import reconstruct
from styleforge.cli.rerun import rerun
from styleforge.cli.score import score
from styleforge.cli.sheet import sheet
from styleforge.cli.streams import lasting_streams
from styleforge.cli.studio import studio
from styleforge.cli.styles import styles
from styleforge.cli.stylize import stylize
from styleforge.cli.texture import texture
from styleforge.cli.train import train
from styleforge.cli.transfer import transfer
from styleforge.cli.video import video
from styleforge.core.errors import (
    INTERRUPTED,
    OutOfMemoryError,
    StyleforgeError,
    UsageError,
    WorkError,
    reason_of,
)

_HELP = """Repaint a photo in the style of a painting.

\b
styleforge photo.jpg painting.jpg
styleforge transfer photo.jpg painting.jpg -p preview
styleforge transfer photo.jpg a.jpg:0.7 b.jpg:0.3 -s 1024 -o out.png
"""

PAINT, TRAIN, LOOK = "Make pictures", "Trained networks", "Look inside"
"""Groups of commands in the help."""

app = typer.Typer(
    name="styleforge",
    cls=Commands,
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, list[Callable[..., None]]] = {
    PAINT: [transfer, stylize, styles, video, batch, sheet, texture, rerun, studio],
    TRAIN: [train, export, calibrate],
    LOOK: [info, score, flicker, inspect, dream, doctor],
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(cls=Command, rich_help_panel=_panel)(_command)
app.add_typer(models, rich_help_panel=TRAIN)
app.add_typer(presets, rich_help_panel=LOOK)
app.add_typer(reconstruct, rich_help_panel=LOOK)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_lines(f"styleforge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


_Refusal: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""What typer raises for arguments that it does not understand; it has no public name."""


def main() -> None:
    """Run the command line; a user's mistake becomes one line and an exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads would spin
    with lasting_streams() as out, warnings_said():
        code = _run()
        out.flush()
        code = code or _code_of(out.error)
    sys.exit(code)


def _run() -> int:
    """Carry out a command; returns its exit code."""
    try:
        code = app(prog_name="styleforge", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except _Refusal as error:
        return _refused(error.format_message(), error.exit_code)
    except StyleforgeError as error:
        return _refused(spelled(str(error)), error.exit_code)
    except BrokenPipeError:
        return 1
    except OSError as error:  # full disks, folders that are gone
        wrong = UsageError if error.errno == errno.ENAMETOOLONG else WorkError
        return _refused(reason_of(error), wrong.exit_code)
    except MemoryError:
        return _refused("out of memory; use smaller pictures", OutOfMemoryError.exit_code)


def _code_of(error: OSError | None) -> int:
    """The exit code for what happened to standard output; closed on purpose is no mistake."""
    if error is None or error.errno == errno.EBADF:
        return 0
    if error.errno == errno.EPIPE:  # who reads has seen enough
        return 1
    return _refused(f"standard output could not be written ({reason_of(error)})", 1)


def _refused(message: str, code: int) -> int:
    """Say what went wrong, in one line on stderr and where JSON is expected there, too."""
    line = " ".join(message.splitlines())
    if "--json" in sys.argv:
        print_json({"error": line, "exit_code": code})
    say("Interrupted." if code == INTERRUPTED else f"Error: {line}")
    return code
