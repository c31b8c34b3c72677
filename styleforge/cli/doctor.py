"""``styleforge doctor``: what is installed here, how fast it is, and what suits it."""

from __future__ import annotations

import sys

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import in_words
from styleforge.cli.progress import print_json, print_lines, say
from styleforge.core.errors import WeightsError


@examples("doctor", "doctor --json")
def doctor(
    as_json: options.AsJson = False,
) -> None:
    """Look at this machine: versions, device, memory, weights, models, speed, suitable sizes.

    Takes about ten seconds. Whatever is missing is named; exits with 4 where it is the weights.
    """
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
