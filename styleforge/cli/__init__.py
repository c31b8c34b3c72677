"""The command line: one module per command. Nothing below this package prints."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from styleforge import __version__
from styleforge.cli.batch import batch
from styleforge.cli.calibrate import calibrate
from styleforge.cli.doctor import doctor
from styleforge.cli.dream import dream
from styleforge.cli.export import export
from styleforge.cli.info import info
from styleforge.cli.inspect import inspect
from styleforge.cli.models import models
from styleforge.cli.presets import presets
from styleforge.cli.reconstruct import reconstruct
from styleforge.cli.rerun import rerun
from styleforge.cli.score import score
from styleforge.cli.sheet import sheet
from styleforge.cli.stylize import stylize
from styleforge.cli.texture import texture
from styleforge.cli.train import train
from styleforge.cli.transfer import transfer
from styleforge.core.errors import INTERRUPTED, StyleforgeError

_HELP = """Repaint a photo in the style of a painting.

\b
styleforge transfer photo.jpg painting.jpg
styleforge transfer photo.jpg painting.jpg -p preview
styleforge transfer photo.jpg a.jpg:0.7 b.jpg:0.3 -s 1024 -o out.png
"""

app = typer.Typer(
    name="styleforge",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(transfer)
app.command()(stylize)
app.command()(batch)
app.command()(train)
app.command()(texture)
app.command()(export)
app.command()(rerun)
app.command()(info)
app.command()(inspect)
app.command()(dream)
app.command()(sheet)
app.command()(score)
app.add_typer(presets)
app.add_typer(models)
app.add_typer(reconstruct)
app.command()(calibrate)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"styleforge {__version__}")
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


def main() -> None:
    """Run the command line; a user's mistake becomes one line and an exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads would spin
    try:
        app()
    except StyleforgeError as error:
        print("Error:", " ".join(str(error).splitlines()), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
