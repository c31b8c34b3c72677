"""``styleforge export``: a trained network as an ONNX file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.progress import say, suggest
from styleforge.cli.report import elapsed
from styleforge.core.errors import UsageError
from styleforge.core.signals import hear_requests


@examples("export cafe-terrace -o cafe.onnx", "export mine.safetensors -o mine.onnx")
def export(
    model: options.KnownModel,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="An .onnx file.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="NAME[:W]",
            help="A style of the model; mix several.",
            autocompletion=completion.styles,
        ),
    ] = None,
    force: options.Force = False,
) -> None:
    """Write one style, or a mixture, of a trained network as ONNX, for pictures of any size.

    It takes and gives (1, 3, height, width), RGB in [0, 1]. Needs: pip install 'styleforge[onnx]'
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: the name must end in .onnx")
    started = time.perf_counter()
    from styleforge.core.files import check_place, write_atomically
    from styleforge.jobs.spelling import with_weight
    from styleforge.networks.model_file import load_model
    from styleforge.networks.onnx import to_onnx
    from styleforge.networks.registry import find_model

    hear_requests()

    path, named = find_model(model)
    loaded = load_model(path)
    check_place(output, inputs=[path], force=force, needed=path.stat().st_size)
    styles = dict(with_weight(text) for text in style or []) or {
        named or loaded.style_names[0]: 1.0
    }
    write_atomically(output, to_onnx(loaded, loaded.mixture(styles)))
    say(f"Saved {output} in {elapsed(started)}")
    suggest("onnxruntime runs it, wherever there is no torch")
