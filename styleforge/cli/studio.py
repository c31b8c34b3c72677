"""``styleforge studio``: the same engine in a browser window."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import memory_size
from styleforge.cli.progress import print_lines, say
from styleforge.core.signals import hear_requests


@examples("studio", "studio -o pictures --no-open", "studio --host 192.168.1.20 --port 8000")
def studio(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where results are kept.",
            rich_help_panel=options.SAVED,
        ),
    ] = Path("studio"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Of the page; 0: any that is free.")
    ] = 7860,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let other machines in, who have to say the token that is printed.",
            show_default="this machine alone",
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open the page in a browser.")
    ] = False,
    device: options.Device = "auto",
    memory: options.Memory = "",
) -> None:
    """Open a page in the browser: photos, paintings and styles to try, and a shelf of results.

    It runs on this machine alone and needs no network. Ctrl-C ends it; a picture that is being
    painted is kept as it is then. (pip install 'styleforge[studio]')
    """
    from styleforge.studio.packages import check_installed
    from styleforge.studio.safety import Door

    check_installed()
    door, usable = Door.at(host), memory_size(memory)
    say("studio: loading")
    from styleforge.cli.command_line import command_line
    from styleforge.studio.desk import Means
    from styleforge.studio.run import check_folder, run

    check_folder(output)
    hear_requests()

    def begun(address: str) -> None:
        print_lines(address)
        sys.stdout.flush()
        say(f"studio: results in {output}; Ctrl-C ends it")
        if door.token:
            say(f"studio: token {door.token}")
        if not no_open:
            typer.launch(address)

    run(output, Means(device, usable), door, port, command_of=command_line, begun=begun)
