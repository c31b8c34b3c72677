"""Carry out syntheses under the user's eyes: progress, Ctrl-C, the file, and the last word."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
import typer
from torch import Tensor
from tqdm import tqdm

from styleforge.cli.signals import interruptible
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import INTERRUPTED, OutOfMemoryError, UsageError
from styleforge.images.load import MIN_SIDE, Picture, fit_size
from styleforge.images.save import Depth, save_image
from styleforge.jobs.recipe import SynthesisRecipe
from styleforge.synthesis.dream import Dream
from styleforge.synthesis.run import Size, Synthesis
from styleforge.transfer.estimate import available_memory, peak_memory
from styleforge.vgg.network import VGG19

Run = Synthesis | Dream


def carry_out(runs: Sequence[Run], *, quiet: bool) -> bool:
    """Run one after the other; false after Ctrl-C, which raises where nothing was started yet."""
    keep_freed_memory()
    with (
        interruptible(),
        progress_bar(sum(map(_work, runs)), quiet=quiet) as bar,
    ):
        try:
            before = 0
            for run in runs:
                for progress in run:
                    width, height = progress.scale.size
                    bar.set_description_str(f"{width} x {height}", refresh=False)
                    bar.set_postfix_str(f"{run.measure} {progress.value:.4g}", refresh=False)
                    done = _work(run, progress.scale_index) + width * height * (progress.step + 1)
                    bar.update(before + done - bar.n)
                before += _work(run)
        except KeyboardInterrupt:
            if not runs[0].started:
                raise
            return False
    return True


def progress_bar(total: int, *, quiet: bool) -> tqdm[NoReturn]:
    """A bar on stderr where that is a terminal."""
    return tqdm(
        total=total,
        disable=quiet or not sys.stderr.isatty(),
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
        file=sys.stderr,
        leave=False,
    )


@dataclass(frozen=True)
class Destination:
    """Where a picture goes, and what is said of it."""

    output: Path
    force: bool
    quiet: bool
    as_json: bool
    started: float = field(default_factory=time.perf_counter)


def save(
    to: Destination, image: Tensor, recipe: SynthesisRecipe, *, finished: bool, depth: Depth = 8
) -> None:
    """Save the picture (1, 3, H, W), and say where it is; exits with 130 after an interruption."""
    save_image(to.output, image, recipe=recipe.to_json(), depth=depth)
    seconds = time.perf_counter() - to.started
    height, width = image.shape[2:]
    if to.as_json:
        report = {
            "output": str(to.output),
            "width": width,
            "height": height,
            "device": recipe.device,
            "interrupted": not finished,
            "seconds": round(seconds, 2),
        }
        print(json.dumps(report))
    if not to.quiet:
        verb = "Saved" if finished else "Interrupted: saved what there is as"
        print(f"{verb} {to.output} ({width} x {height}) in {seconds:.1f} s", file=sys.stderr)
    if not finished:
        raise typer.Exit(INTERRUPTED)


def fitting_size(picture: Picture, longest: int) -> Size:
    """(width, height) at this longest side. Raises :class:`UsageError` where that is too small."""
    size = fit_size(picture.size, longest)
    if min(size) < MIN_SIDE:
        raise UsageError(
            f"{picture.path} is {picture.size[0]} x {picture.size[1]} pixels: at size {longest} "
            f"its shorter side would have {min(size)}; both sides must have at least {MIN_SIDE}"
        )
    return size


def check_memory(network: VGG19, size: Size, device: torch.device) -> None:
    """Raise :class:`OutOfMemoryError` where an image of this size would not fit."""
    needed = peak_memory(network, size[0] * size[1], device=device)
    there = available_memory(device)
    if needed > there:
        raise OutOfMemoryError(
            f"{size[0]} x {size[1]} pixels need about {needed / 2**30:.1f} GiB of memory and "
            f"{there / 2**30:.1f} GiB are there; use a smaller --size"
        )


def _work(run: Run, scales: int | None = None) -> int:
    """Pixels evaluated in a run, or in so many of its scales."""
    return sum(s.size[0] * s.size[1] * (s.steps + 1) for s in run.scales[:scales])
