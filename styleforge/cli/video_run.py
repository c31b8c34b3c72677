"""A film under the user's eyes: progress, Ctrl-C, and the last word."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import typer

from styleforge.batches.engines import Engine
from styleforge.batches.film import ShotsRun, film_run
from styleforge.cli.parsing import duration
from styleforge.cli.progress import bar, print_json, print_lines, say, suggest
from styleforge.cli.report import Manner, conclude
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import describe
from styleforge.core.errors import INTERRUPTED
from styleforge.core.processes import is_first
from styleforge.core.signals import StopRequest
from styleforge.jobs.video import VideoJob
from styleforge.jobs.video_run import Underway, VideoRun

ALONE = Engine()


def run(job: VideoJob, manner: Manner, engine: Engine = ALONE) -> None:
    """Carry a job out to its film; after Ctrl-C it is a film of what is finished, and exits 130."""
    if not is_first():
        manner = replace(manner, quiet=True, as_json=False, shown=False)
    if job.is_finished:
        _say_finished(job, manner)
        return
    manner.place(job.output, describe(job.device))
    keep_freed_memory()
    os.environ.setdefault("SVT_LOG", "1")  # else the encoder of AV1 tells what it does
    with StopRequest() as stop:
        stop.heard = partial(_tell_stop, manner)
        video = film_run(job, engine, lambda: stop.made)
        try:
            _follow(video, manner)
        except KeyboardInterrupt:  # the second: threads compute, and would make Python's end abort
            say("Interrupted.")
            sys.stderr.flush()
            os._exit(INTERRUPTED)
    if isinstance(video, ShotsRun) and not video.leads:
        raise typer.Exit(INTERRUPTED if stop.made else 0)
    seconds = time.perf_counter() - manner.started
    conclude(
        manner,
        _report(video, seconds),
        seconds=seconds,
        details=_details(video),
        finished=video.tally.is_whole,
    )


def print_plan(job: VideoJob, manner: Manner, engine: Engine = ALONE) -> None:
    """Print what would run and how long it takes, on standard output."""
    seconds = job.seconds()
    film, (width, height) = job.film, job.size
    if manner.as_json:
        print_json(
            {
                "output": str(job.output),
                "width": width,
                "height": height,
                "frames": job.frame_count,
                "device": describe(job.device),
                "seconds": round(seconds, 1),
            }
        )
        return
    sound = ", ".join(film.sounds) or "none"
    print_lines(
        f"film     {film.path} ({film.size[0]} x {film.size[1]}, {film.seconds:.2f} s, "
        f"{float(film.rate):g} frames a second)",
        f"output   {job.output} ({width} x {height}, {job.encoding.encoder})",
        f"sound    {sound if job.request.sound and not job.encoding.is_silent else 'left out'}",
        f"device   {describe(job.device)}",
        f"takes    {job.frame_count} frames, about {duration(seconds)}{_by_whom(engine)}",
    )


def _by_whom(engine: Engine) -> str:
    """How long several take depends on the shots, for which the film is yet to be looked over."""
    several = engine.name != "local" or (engine.workers or 1) > 1
    return " for one worker; each shot goes to one" if several else ""


def _tell_stop(manner: Manner) -> None:
    """The first Ctrl-C was heard."""
    if not manner.quiet:
        say("finishing this frame; again to stop now")


def _follow(video: VideoRun | ShotsRun, manner: Manner) -> None:
    """Paint all frames."""
    kept, new, started = 0, 0, time.perf_counter()
    with bar(video.job.frame_count, quiet=manner.quiet, unit="frame") as shown:
        for record in video:
            if isinstance(record, Underway):
                shown.set_postfix_str(f"{record.doing}, frame {record.number}")
                continue
            if not kept + new and isinstance(video, ShotsRun):
                started = time.perf_counter()
            kept, new = kept + record.kept, new + (not record.kept)
            if new:
                rate = new / (time.perf_counter() - started)
                shown.set_postfix_str(f"{rate:.2g} a second", refresh=False)
            shown.total = video.tally.total
            shown.update()


def _say_finished(job: VideoJob, manner: Manner) -> None:
    if manner.as_json:
        print_json({"output": str(job.output), "frames": job.frame_count, "skipped": True})
    if not manner.quiet:
        say(f"{job.output} is there already, made in just this way; nothing to do")
        suggest("--force paints it anew")


def _report(video: VideoRun | ShotsRun, seconds: float) -> dict[str, Any]:
    """What ``--json`` prints."""
    width, height = video.job.size
    return {
        "output": str(video.job.output),
        "width": width,
        "height": height,
        "frames": video.tally.count,
        "reused": video.tally.kept,
        "shots": None if video.tally.kept else video.tally.shots,
        "device": describe(video.job.device),
        "finished": video.tally.is_whole,
        "seconds": round(seconds, 2),
    }


def _details(video: VideoRun | ShotsRun) -> str:
    shots = "1 shot" if video.tally.shots == 1 else f"{video.tally.shots} shots"
    found = f", {video.tally.kept} of them from before" if video.tally.kept else f" in {shots}"
    more = "" if video.tally.is_whole else "; the same command again goes on"
    return f"{video.tally.count} frames{found}{more}"
