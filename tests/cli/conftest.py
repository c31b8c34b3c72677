"""The command line, called in this process: fast, and with the exit code and both streams."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

from styleforge import cli as cli_module
from styleforge.cli import app, main
from tests.conftest import CAFE, CHELSEA

PRESET = """
network: {normalized: false}
content: {layers: {conv1_1: 1.0}}
style: {layers: {conv1_1: 1.0}}
optimizer: {steps: 4}
scales: null
size: 48
"""


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """As at the start of a process; a shell may have made the tests deaf to Ctrl-C.

    After a command they are as before.
    """
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.getsignal(number) for number in asked}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Result:
    """How a command ended; ``out`` is bytes because it may be a picture.

    ``begun`` is what it said before its work, ``next`` what may be done after it; ``err`` is
    without both.
    """

    code: int
    out: bytes
    err: str
    begun: Sequence[str] = ()
    next: str = ""

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        assert self.text.count("\n") == 1, "one object on one line"
        return json.loads(self.text)


def _result(code: int, out: bytes, err: str) -> Result:
    lines = err.splitlines(keepends=True)
    begun = list(takewhile(BEGUN.match, lines))
    said = lines[len(begun) :]
    after = said.pop().removeprefix("next: ") if said and said[-1].startswith("next: ") else ""
    return Result(code, out, "".join(said), [line.rstrip() for line in begun], after.rstrip())


BEGUN = re.compile(
    r"(transfer|stylize|styles|video|texture|dream|rerun|sheet|inspect|reconstruct \w+): "
)

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith("STYLEFORGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("styleforge.core.resources.user_config_path", tmp_path.joinpath)


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """A real photograph of 48 x 40 pixels and a painting of 40 x 48, as PNG files."""
    files = {}
    for name, path, size in (("c.png", CHELSEA, (48, 40)), ("s.png", CAFE, (40, 48))):
        buffer = io.BytesIO()
        Image.open(path).resize(size).save(buffer, "PNG")
        files[name] = buffer.getvalue()
    return files


@pytest.fixture
def folder(tmp_path: Path, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a content and a style image and a preset that takes a moment."""
    monkeypatch.chdir(tmp_path)
    for name, content in pictures.items():
        Path(name).write_bytes(content)
    Path("p.yaml").write_text(PRESET)
    return tmp_path


@pytest.fixture(scope="session")
def program() -> Callable[[], object]:
    """The commands and their options, put together once: Typer does so at every call."""
    return get_command(app)


@pytest.fixture
def command(
    folder: Path,
    program: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Command:
    """``command("info", path)``: run styleforge in ``folder``; the weights are loaded once."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["styleforge", *map(str, arguments)])
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsysbinary.readouterr()
        assert isinstance(done.value.code, int | None)
        return _result(done.value.code or 0, out, err.decode())

    monkeypatch.setattr(cli_module, "app", program)
    assert folder == Path.cwd()
    return run


@pytest.fixture
def transfer(command: Command) -> Command:
    """``transfer("-o", "out.png")``: repaint c.png in the style of s.png with the quick preset."""
    return lambda *options: command("transfer", "c.png", "s.png", "-p", "p.yaml", *options)
