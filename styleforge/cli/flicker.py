"""``styleforge flicker``: how much a painted film flickers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import moment
from styleforge.cli.progress import bar, print_json, print_lines, say
from styleforge.cli.report import elapsed
from styleforge.core.errors import UsageError

if TYPE_CHECKING:
    from styleforge.films.flicker import Flicker


@examples(
    "flicker clip.mp4 painted.mp4",
    "flicker clip.mp4 painted.mp4 --from 0:10 --json",
)
def flicker(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", help="The film.", show_default=False)
    ],
    painted: Annotated[
        Path,
        typer.Argument(
            metavar="PAINTED", help="What became of it, by any tool.", show_default=False
        ),
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Where in the original the painted film begins.",
            show_default="as its recipe says, else 0",
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            "-s", "--size", min=64, max=2048, metavar="PIXELS", help="Longest side to measure at."
        ),
    ] = 512,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how much a film flickers beyond what its original does.

    The warping error of Lai et al. (2018): how far each frame is from the next one, moved back
    along the original's motion, where that is known. 0 where nothing flickers.
    """
    started = time.perf_counter()
    from styleforge.jobs.flicker import FlickerJob

    job = FlickerJob.prepare(original, painted, start=moment(start, "from"), size=size)
    found = None
    with bar(job.frame_count, quiet=quiet, unit="frame") as shown:
        for step in job:
            found = step
            shown.update()
    if found is None or not found.pairs:
        raise UsageError(f"{painted} has no two frames of one shot to compare")
    if as_json:
        print_json(_report(found))
        return
    print_lines(
        f"original  {_in_words(found.original)}",
        f"painted   {_in_words(found.painted)}",
        f"ratio     {_ratio(found):.2f}",
    )
    if not quiet:
        cuts = f", {found.cuts} cuts" if found.cuts else ""
        say(f"Measured {found.pairs} pairs of frames{cuts} in {elapsed(started)}")


def _in_words(error: float) -> str:
    return f"{error:.6f}, {255 * error**0.5:.2f} levels"


def _ratio(found: Flicker) -> float:
    """How many times the original's error; a still has none."""
    return found.painted / found.original if found.original else float("inf")


def _report(found: Flicker) -> dict[str, float | int | None]:
    """What ``--json`` prints."""
    return {
        "pairs": found.pairs,
        "cuts": found.cuts,
        "original": found.original,
        "painted": found.painted,
        "ratio": _ratio(found) if found.original else None,
    }
