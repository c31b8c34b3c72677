from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from styleforge.cli.streams import Stream, lasting_streams
from styleforge.jobs import doctor
from styleforge.jobs.result import Result
from tests.cli.conftest import PRESET, Command
from tests.pictures import noise

STYLEFORGE = f"{sys.executable} -m styleforge"
TRANSFER = "transfer c.png s.png -p p.yaml -d cpu -o out.png"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False
    )


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_what_cannot_be_written_is_dropped_and_the_first_reason_kept() -> None:
    stream = Stream(Broken())
    assert stream.write("a") == 1
    stream.write("b")
    stream.flush()
    assert isinstance(stream.error, BrokenPipeError)
    assert stream.isatty() is False


def test_what_cannot_be_encoded_is_escaped() -> None:
    written = io.BytesIO()
    stream = Stream(io.TextIOWrapper(written, "ascii"))
    stream.write("Café\n")
    stream.flush()
    assert written.getvalue() == b"Caf\\xe9\n"
    assert stream.error is None


def test_streams_are_afterwards_as_before() -> None:
    before = sys.stdout, sys.stderr
    with lasting_streams():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("redirection", ["-v 2>&1 | head -n 1", "2>&-", ">&- 2>&-"])
def test_a_picture_outlives_what_is_said_of_it(redirection: str) -> None:
    done = shell(f"{STYLEFORGE} {TRANSFER} {redirection}")
    assert done.returncode == 0, done
    assert Image.open("out.png").size == (48, 40)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_full_standard_output_is_one_line() -> None:
    done = shell(f"{STYLEFORGE} info c.png --json > /dev/full")
    assert done.stderr == "Error: c.png holds no styleforge recipe\n"
    assert done.returncode == 2
    done = shell(f"{STYLEFORGE} {TRANSFER} -q --json > /dev/full")
    assert done.stderr == (
        "Error: standard output could not be written (no space left on device)\n"
    )
    assert done.returncode == 1
    assert Image.open("out.png").size == (48, 40)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_picture_for_a_full_standard_output_is_saved_elsewhere() -> None:
    done = shell(f"{STYLEFORGE} transfer c.png s.png -p p.yaml -d cpu -q -o - > /dev/full")
    words = "Error: standard output could not be written (no space left); the picture was saved as "
    assert done.stderr.startswith(words)
    rescued = Path(done.stderr.removeprefix(words).strip())
    assert Image.open(rescued).size == (48, 40)
    rescued.unlink()
    rescued.parent.rmdir()
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_closed_standard_output_can_have_no_picture() -> None:
    done = shell(f"{STYLEFORGE} transfer c.png s.png -p p.yaml -o - >&-")
    assert done.stderr == "Error: standard output is closed; name an output file\n"
    assert done.returncode == 2


@pytest.mark.slow
def test_a_batch_goes_on_when_nobody_reads_its_lines(folder: Path) -> None:
    (folder / "photos").mkdir()
    for number in range(4):
        noise(48, 40, seed=number).save(folder / "photos" / f"{number}.png")
    batch = f"{STYLEFORGE} batch photos -o out --style s.png -p p.yaml -d cpu --workers 1"
    done = shell(f"{batch} --json | head -n 1")
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert len(list((folder / "out").iterdir())) == 4


@pytest.mark.slow
def test_the_end_of_the_terminal_saves_the_picture(folder: Path) -> None:
    (folder / "long.yaml").write_text(PRESET.replace("steps: 4", "steps: 100000"))
    arguments = TRANSFER.replace("p.yaml", "long.yaml").split()
    running = subprocess.Popen(
        [*STYLEFORGE.split(), *arguments, "--save-every", "2", "-f"], stderr=subprocess.PIPE
    )
    while not list(folder.glob("out_*.png")) and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGHUP)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert Image.open("out.png").size == (48, 40)


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("info", "no.png"), "no such file: no.png", 2),
        (("transfer", "c.png", "s.png", "-p", "no"), None, 2),
        (("batch", "no", "-o", "out", "--style", "s.png"), "no such file or folder: no", 2),
        (("inspect", "c.png", "--layer", "conv9_9"), None, 2),
        (("train", "--nonsense"), "No such option: --nonsense", 2),
    ],
)
def test_with_json_an_error_is_json_too(
    command: Command, arguments: tuple[str, ...], message: str | None, code: int
) -> None:
    done = command(*arguments, "--json")
    assert done.code == code
    assert set(done.json) == {"error", "exit_code"}
    assert done.err == f"Error: {done.json['error']}\n"
    assert done.json["exit_code"] == code
    assert message is None or done.json["error"].startswith(message)


def test_names_cannot_give_a_terminal_orders(command: Command) -> None:
    name = "\x1b]0;owned\x07\u202egpj.png"
    done = command("info", name)
    assert done.err == "Error: no such file: \\x1b]0;owned\\x07\\u202egpj.png\n"
    os.rename("c.png", name)  # noqa: PTH104
    done = command("transfer", name, "s.png", "-p", "p.yaml", "--dry-run")
    assert done.code == 0
    assert "\x1b" not in done.text
    assert "\\x1b]0;owned\\x07\\u202egpj.png" in done.text
    done = command("transfer", name, "s.png", "-p", "p.yaml", "--json")
    assert "\x1b" not in done.err
    assert json.loads(done.text)["output"].startswith("\x1b]0;owned")


def test_a_picture_that_is_being_saved_is_saved(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Result.save

    def asked_to_end(self: Result, path: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        save(self, path)

    monkeypatch.setattr(Result, "save", asked_to_end)
    assert command(*TRANSFER.split(), "-q").code == 0
    assert Image.open("out.png").size == (48, 40)


def test_a_warning_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", _warned)
    done = command("doctor", "--json")
    assert done.err == "Warning: steps could not be recorded\n"


def _warned() -> Iterator[tuple[str, dict[str, str]]]:
    warnings.warn("steps could not be recorded", stacklevel=1)
    yield "weights", {}
