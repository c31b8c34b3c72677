"""``styleforge video``: a film in a painting's style, with its sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import SAVED, SETTINGS, examples
from styleforge.cli.parsing import keyframe, memory_size, moment
from styleforge.cli.report import Manner
from styleforge.core.errors import UsageError

PREVIEW_SIZE, PREVIEW_PRESET = 256, "preview"
"""What ``--preview`` chooses."""


@examples(
    "video clip.mp4 painting.jpg -o painted.mp4",
    "video clip.mp4 --style mosaic -o painted.mp4",
    "video clip.mp4 painting.jpg --from 0:10 --to 0:15 --preview",
    "video clip.mp4 painting.jpg --keyframe 0=a.png --keyframe 120=b.png",
)
def video(
    film: Annotated[
        Path,
        typer.Argument(
            metavar="FILM", help="A film, a GIF or an animated WebP.", show_default=False
        ),
    ],
    paintings: options.Paintings = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="NAME[:W]",
            help="Instead of paintings: a style that a network carries; mix several.",
            autocompletion=completion.styles,
            show_default=False,
        ),
    ] = None,
    model: options.ModelName = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where it goes: .mp4, .mov, .mkv, .webm, .gif or .webp.",
            show_default="named after the inputs, here",
            rich_help_panel=SAVED,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Begin there: seconds, or 1:02.5."),
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End there, likewise.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Small and quick, to see how it will look.")
    ] = False,
    preset: options.PresetName = "painterly",
    size: options.Size = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    colors: options.Colors = None,
    settings: options.Set = None,
    steady: Annotated[
        float,
        typer.Option(
            "--steady",
            metavar="0..1",
            help="Of a network: how much of a frame is the one before it, moved.",
            rich_help_panel=SETTINGS,
        ),
    ] = 0.8,
    keyframes: Annotated[
        list[str] | None,
        typer.Option(
            "--keyframe",
            metavar="N=PICTURE",
            help="Frame N (0: the first painted), or a time, as painted by hand; repeatable.",
            show_default=False,
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    codec: Annotated[
        str,
        typer.Option(
            "--codec",
            metavar="NAME",
            help="h264, hevc, vp9, av1 or another that FFmpeg writes.",
            show_default="h264",
            rich_help_panel=SAVED,
        ),
    ] = "",
    crf: Annotated[
        int | None,
        typer.Option(
            "--crf",
            metavar="N",
            help="Quality: the smaller the better, and the larger the file.",
            show_default="18",
            rich_help_panel=SAVED,
        ),
    ] = None,
    no_sound: Annotated[
        bool, typer.Option("--no-sound", help="Leave the sound out.", rich_help_panel=SAVED)
    ] = False,
    engine: options.Engine = "local",
    address: options.Address = "",
    workers: Annotated[
        int | None,
        options.run_option(
            "--workers", min=1, metavar="N", help="Shots side by side.", show_default="1"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        options.run_option(
            "--threads",
            min=1,
            metavar="N",
            help="Processor threads a shot.",
            show_default="all, shared",
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    memory: options.Memory = "",
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Repaint a film without flicker, with its sound.

    After paintings it is optimised, each frame from the last; by a network it is painted in one
    pass, held still along the scene's motion. A run that was stopped goes on where it was. With
    several GPUs or machines: torchrun --nproc-per-node 2 -m styleforge video ... --engine torchrun
    """
    manner = Manner("video", quiet, as_json, time.perf_counter(), shown=opened)
    manner.begin(f"{film} after {_named(paintings, style, model)}")
    from styleforge.batches.engines import Engine
    from styleforge.films.reading import Span
    from styleforge.jobs.look import Look
    from styleforge.jobs.spelling import painting, with_weight
    from styleforge.jobs.video import VideoJob, VideoRequest
    from styleforge.presets.grid import settings_of
    from styleforge.presets.transfer import load_preset, settings_by_key

    manner.loaded()

    size = PREVIEW_SIZE if preview and size is None else size
    preset = PREVIEW_PRESET if preview and preset == "painterly" else preset
    given = settings_by_key({"size": size, "steps": steps, "strength": strength, "colors": colors})
    if not paintings:
        _check_for_networks(steps=steps, set=settings)
    request = VideoRequest(
        film=film,
        paintings=[painting(text) for text in paintings or ()],
        styles=dict(with_weight(text) for text in style or ()),
        model=model,
        preset_name=preset,
        preset=load_preset(preset, options.merged(given, settings_of(settings or ()))),
        look=Look(size or 0, 1.0 if strength is None else strength, colors or "style"),
        output=output,
        span=Span(moment(start, "from") or 0.0, moment(stop, "to")),
        codec=codec,
        crf=crf,
        sound=not no_sound,
        keyframes=[keyframe(text) for text in keyframes or ()],
        steadiness=steady,
        device=device,
        precision=precision,
        memory=memory_size(memory),
        force=force or dry_run,
    )
    by = Engine(engine, address, workers, threads)
    by.check()
    job = VideoJob.prepare(request)
    from styleforge.cli.video_run import print_plan, run

    if dry_run:
        print_plan(job, manner, by)
    else:
        run(job, manner, by)


def _named(paintings: list[str] | None, style: list[str] | None, model: str | None) -> str:
    """What the film is painted after. Raises :class:`UsageError` for nothing at all."""
    named = [*(paintings or ()), *(style or ()), *([model] if model else [])]
    if not named:
        raise UsageError(
            "say in which style: styleforge video FILM PAINTING, or --style NAME of a network"
        )
    return " and ".join(named)


def _check_for_networks(**given: Any) -> None:
    """Raise :class:`UsageError` for options that a network would ignore."""
    for option, value in given.items():
        if value:
            raise UsageError(f"`{option}` is for paintings, and a network takes none; leave it out")
