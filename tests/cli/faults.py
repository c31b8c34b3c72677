"""Commands that are killed, asked to end, or run out of disk, and what is there afterwards.

A server has imported everything and forks a process for each run, so that a run takes as long as
its work.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from styleforge.__main__ import main
from styleforge.core.errors import StyleforgeError
from styleforge.images.opening import is_whole
from styleforge.networks.model_file import load_model
from styleforge.training.folder import TrainingFolder
from tests.batches.conftest import contents, write_photos
from tests.cli.conftest import PRESET
from tests.cli.test_models import write_model
from tests.pictures import noise

Fault = Literal["kill", "end", "full", "none left"]
FAULTS: tuple[Fault, ...] = ("kill", "end", "full", "none left")
"""SIGKILL and SIGTERM at a random moment; files that may not grow beyond a random size; a disk
that takes no new file from a random one on."""

TRAINING = """
generator: {kind: transformer, width: 2, blocks: 1, kernel: 3}
network: {normalized: false}
content: {layers: {conv1_2: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 6, batch: 2, crop: 32, learning_rate: 0.01, warm_up: 1, validate_every: 3}
"""
COMMANDS = {
    "transfer": "c.png s.png -p p.yaml -o out.png --save-every 2 --animate film.gif",
    "stylize": "c.png -m m.safetensors -o out.png",
    "train": "--style s.png --data photos -p t.yaml -o out.safetensors",
    "batch": "photos -m m.safetensors -o out",
    "sheet": "c.png s.png --set beta=1,10,100 -p p.yaml -o out.png",
}
"""By name, with their arguments."""

_TEMPORARY = re.compile(r"\..*\.\d+\.[0-9a-f]{8}-[a-z0-9_]{8}")
_OURS = (0, 1, 2, 130, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes; SIGTERM ends a command that has not begun to work as it ends others."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.cli.fault_server", __name__])


@dataclass(frozen=True)
class Found:
    """After a fault: the exit code, files that are not whole, and what else is wrong."""

    code: int
    damaged: list[str]
    wrong: list[str]

    @property
    def is_bug(self) -> bool:
        return bool(self.damaged or self.wrong)


@dataclass(frozen=True)
class Injection:
    """At which change of a file something happens, and how large files may grow."""

    change: int = 0
    fault: Fault | None = None
    limit: int | None = None
    spared: str = "nowhere"
    """The folder where there is room while there is none elsewhere."""


class Workplace:
    """A folder of inputs, in which a command is started again and again and disturbed."""

    def __init__(self, folder: Path, command: str) -> None:
        self._folder = folder
        self._command = command
        (folder / "tmp").mkdir(parents=True)
        noise(48, 40, seed=1).save(folder / "c.png")
        noise(40, 48, seed=2).save(folder / "s.png")
        (folder / "p.yaml").write_text(PRESET.replace("steps: 4", "steps: 20"))
        (folder / "t.yaml").write_text(TRAINING)
        write_model(folder / "m.safetensors")
        write_photos(folder / "photos", 8, size=(64, 48))
        self._inputs = contents(folder)
        self._run([])  # what is still imported is imported here
        self._forget()
        started = time.perf_counter()
        run = self._run([])
        assert run.code == 0, run.said
        self._seconds = time.perf_counter() - started
        self._changes = run.changes
        self._expected = self._results()

    def disturb(self, fault: Fault, chance: random.Random) -> Found:
        """Start, inject the fault, look, and run to the end from what is left."""
        self._forget()
        run = self._disturbed(fault, chance)
        wrong = [run.said] if "Traceback" in run.said else []
        if run.code not in _OURS:
            wrong.append(f"exit code {run.code}: {run.said}")
        if run.code == 0 and self._results() != self._expected:
            wrong.append("exit code 0, and not everything is there")
        now = contents(self._folder)
        wrong += [f"{name} has changed" for name, was in self._inputs.items() if now[name] != was]
        damaged = self._damaged(remains=fault in ("kill", "end") and run.code < 0)
        return Found(run.code, damaged, wrong + self._go_on())

    def _disturbed(self, fault: Fault, chance: random.Random) -> Run:
        """By a signal at any time or at a change of a file, or by a disk that is full."""
        change = chance.randint(1, self._changes)
        if fault == "full":
            return self._run([], Injection(limit=int(10 ** chance.uniform(0, 4.5))))
        if fault == "none left":
            spared = chance.choice(["nowhere", "tmp"])
            return self._run([], Injection(change, fault, spared=spared))
        if chance.random() < 0.5:
            return self._run([], Injection(change, fault))
        number = signal.SIGKILL if fault == "kill" else signal.SIGTERM
        return self._run([], sent=(number, chance.uniform(0, 1.1) * self._seconds))

    def _go_on(self) -> list[str]:
        """Run to the end; what is wrong with the results then."""
        before = {path: path.stat().st_mtime_ns for path in self._finished()}
        checkpoint = TrainingFolder(self._folder / "out.safetensors").checkpoint
        options = {"train": ["--resume" if checkpoint.exists() else "-f"], "batch": []}
        run = self._run(options.get(self._command, ["-f"]))
        again = [path.name for path, at in before.items() if path.stat().st_mtime_ns != at]
        wrong = [f"{name} was made again" for name in again if self._command == "batch"]
        if run.code:
            wrong.append(f"could not go on: {run.said}")
        elif self._results() != self._expected:
            wrong.append("went on to other results")
        return wrong + [f"{name} was left" for name in self._damaged(remains=False)]

    def _run(
        self,
        options: list[str],
        injection: Injection | None = None,
        *,
        sent: tuple[signal.Signals, float] | None = None,
    ) -> Run:
        """The command, which a signal reaches after so many seconds."""
        arguments = [self._command, *COMMANDS[self._command].split(), "-d", "cpu", *options]
        receiver, sender = _SERVER.Pipe(duplex=False)
        changes = _SERVER.RawValue("i", 0)
        process = _SERVER.Process(
            target=_command,
            args=(arguments, self._folder, injection or Injection(), sender, changes),
        )
        process.start()
        sender.close()
        if sent:
            number, seconds = sent
            process.join(seconds)
            _send(process, number)
        with open(os.dup(receiver.fileno()), encoding="utf-8") as said:  # noqa: PTH123
            text = said.read()
        process.join()
        assert process.exitcode is not None
        return Run(process.exitcode, text, changes.value)

    def _outputs(self) -> list[Path]:
        """All that a command has made, where it was told to and in the temporary folder."""
        paths = (path for path in self._folder.rglob("*") if path.is_file())
        return [
            path
            for path in paths
            if str(path.relative_to(self._folder)) not in self._inputs and path.name != ".lock"
        ]

    def _finished(self) -> list[Path]:
        return [path for path in self._outputs() if not _TEMPORARY.fullmatch(path.name)]

    def _results(self) -> dict[str, bytes]:
        """Those outputs that do not depend on the time."""
        places = {path: str(path.relative_to(self._folder)) for path in self._finished()}
        return {
            name: path.read_bytes()
            for path, name in places.items()
            if path.suffix not in (".jsonl", ".pt") and not name.startswith("tmp/")
        }

    def _damaged(self, *, remains: bool) -> list[str]:
        """Outputs that are not whole; what a killed process has left is known by its name."""
        return [
            str(path.relative_to(self._folder))
            for path in self._outputs()
            if not (remains and _TEMPORARY.fullmatch(path.name)) and not _is_sound(path)
        ]

    def _forget(self) -> None:
        for path in self._outputs():
            path.unlink()


@dataclass(frozen=True)
class Run:
    """How a command ended, what it said on standard error, how often it changed a file."""

    code: int
    said: str
    changes: int


def _send(process: ForkServerProcess, number: signal.Signals) -> None:
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, number)


def _command(
    arguments: list[str], folder: Path, injection: Injection, stderr: Connection, changes: Any
) -> None:
    """What ``styleforge ARGUMENTS`` does, in a process that was forked for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    os.chdir(folder)
    tempfile.tempdir = str(folder / "tmp")
    sys.argv = ["styleforge", *arguments]
    if injection.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (injection.limit, injection.limit))
    sys.addaudithook(_injector(folder, injection, changes))
    main()


_CHANGES = ("open", "os.chmod", "os.mkdir", "os.remove", "os.rename")
_MAKES = ("open", "os.mkdir")


def _injector(
    folder: Path, injection: Injection, changes: Any
) -> Callable[[str, tuple[Any, ...]], None]:
    """Python tells it of every file, before anything is done with it."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or not (event != "open" or _is_to_write(*arguments)):
            return
        path = folder / str(arguments[0])
        if not path.is_relative_to(folder):
            return
        changes.value += 1
        if injection.fault == "none left":
            spared = path.is_relative_to(folder / injection.spared)
            if event in _MAKES and changes.value >= injection.change and not spared:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        elif changes.value == injection.change:
            os.kill(os.getpid(), signal.SIGKILL if injection.fault == "kill" else signal.SIGTERM)

    return hear


def _is_to_write(path: object, _mode: object, flags: int) -> bool:
    return isinstance(path, str) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _is_sound(path: Path) -> bool:
    check = _CHECKS.get(path.suffix)
    return check is not None and check(path)


def _is_model(path: Path) -> bool:
    try:
        load_model(path)
    except StyleforgeError:
        return False
    return True


def _is_checkpoint(path: Path) -> bool:
    folder = TrainingFolder(path.parent.with_suffix(".safetensors"))
    try:
        folder.load_checkpoint()
    except StyleforgeError:
        return False
    return folder.checkpoint == path


def _is_log(path: Path) -> bool:
    """The last line may be cut."""
    lines = path.read_text().splitlines(keepends=True)
    return all(json.loads(line) for line in lines if line.endswith("\n"))


def _is_page(path: Path) -> bool:
    return path.read_text().endswith("</html>\n")


_CHECKS: Mapping[str, Callable[[Path], bool]] = {
    ".png": is_whole,
    ".jpg": is_whole,
    ".gif": is_whole,
    ".safetensors": _is_model,
    ".pt": _is_checkpoint,
    ".jsonl": _is_log,
    ".html": _is_page,
}
