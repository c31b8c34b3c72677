"""``styleforge doctor``: what is installed here, how fast it is, and what suits it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import in_words
from styleforge.cli.progress import print_json, print_lines, say
from styleforge.core.errors import WeightsError, WorkError

if TYPE_CHECKING:
    from styleforge.trial import Trial


@examples("doctor", "doctor --json", "doctor --gpu")
def doctor(
    gpu: Annotated[
        bool,
        typer.Option("--gpu", help="Try each command on the GPU, and hold it against the CPU."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Look at this machine: versions, device, memory, weights, models, speed, suitable sizes.

    Takes about ten seconds. Whatever is missing is named; exits with 4 where it is the weights.
    With --gpu it is a minute, and 1 where a command fails on the GPU or makes another picture.
    """
    if gpu:
        _try_gpu(as_json=as_json)
        return
    from styleforge.jobs.doctor import examine

    report = {}
    for name, findings in examine():
        report[name] = findings
        if not as_json:
            print_lines(f"{name.replace('_', ' '):16} {in_words(findings)}")
            sys.stdout.flush()
    if as_json:
        print_json(report)
    if "error" in report["weights"]:
        say("Error: without VGG-19's weights there are no transfers and no trainings")
        raise typer.Exit(WeightsError.exit_code)


def _try_gpu(*, as_json: bool) -> None:
    """A line for each command, as it ends."""
    from dataclasses import asdict

    from styleforge.core.devices import describe, pick_device
    from styleforge.jobs.doctor import versions
    from styleforge.trial import pick_gpu, trials

    device = pick_gpu()
    described, found = describe(pick_device(device)), []
    if not as_json:
        known = ", ".join(f"{name} {number}" for name, number in versions().items())
        print_lines(described, known, f"{'':28}{'CPU':>8}{'GPU':>8}{'difference':>12}")
    for trial in trials(device):
        found.append(trial)
        if not as_json:
            print_lines(_line(trial))
            sys.stdout.flush()
    if as_json:
        tried = [asdict(trial) for trial in found]
        print_json({"device": described, "versions": versions(), "trials": tried})
    failed = [trial.command for trial in found if not trial.passed]
    if failed:
        say(f"Error: not as on the CPU: {', '.join(failed)}; please report what is above")
        raise typer.Exit(WorkError.exit_code)


def _line(trial: Trial) -> str:
    if trial.error:
        return f"{trial.command:28}{trial.error}"
    times = f"{trial.cpu_seconds:6.2f} s{trial.seconds:6.2f} s"
    return f"{trial.command:28}{times}{trial.difference:12.5f}"
