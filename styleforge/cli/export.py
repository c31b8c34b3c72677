"""``styleforge export``: a trained network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import with_weight
from styleforge.core.errors import UsageError


def export(
    model: Annotated[str, typer.Argument(help="A file, or the name of a model or a style.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="An .onnx file.")],
    style: Annotated[
        list[str] | None,
        typer.Option("--style", metavar="NAME[:W]", help="A style of the model; mix several."),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
) -> None:
    """Write one style, or a mixture, of a trained network as ONNX, for pictures of any size.

    It takes and gives (1, 3, height, width), RGB in [0, 1]. Needs: pip install 'styleforge[onnx]'
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: the name must end in .onnx")
    if not output.parent.is_dir():
        raise UsageError(f"no such folder: {output.parent}")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; use --force to overwrite it")
    from styleforge.core.files import write_atomically
    from styleforge.networks.models import find_model, load_model
    from styleforge.networks.onnx import to_onnx

    path, named = find_model(model)
    loaded = load_model(path)
    styles = dict(with_weight(text) for text in style or []) or {
        named or loaded.style_names[0]: 1.0
    }
    write_atomically(output, to_onnx(loaded, loaded.mixture(styles)))
    typer.echo(f"Saved {output}", err=True)
