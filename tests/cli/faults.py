"""Commands that are killed, asked to end, or run out of disk, and what is there afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from styleforge.core.errors import StyleforgeError
from styleforge.images.opening import is_whole
from styleforge.networks.model_file import load_model
from styleforge.training.folder import TrainingFolder
from tests.batches.conftest import contents, write_photos
from tests.cli.conftest import PRESET
from tests.cli.test_models import write_model
from tests.pictures import noise

Fault = Literal["kill", "end", "full"]
FAULTS: tuple[Fault, ...] = ("kill", "end", "full")
"""SIGKILL and SIGTERM at a random moment; files that may not grow beyond a random size."""

TRAINING = """
generator: {kind: transformer, width: 2, blocks: 1, kernel: 3}
network: {normalized: false}
content: {layers: {conv1_2: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 40, batch: 2, crop: 32, learning_rate: 0.01, warm_up: 1, validate_every: 2}
"""
COMMANDS = {
    "transfer": "c.png s.png -p p.yaml -o out.png --save-every 2 --animate film.gif",
    "stylize": "c.png -m m.safetensors -o out.png",
    "train": "--style s.png --data photos -p t.yaml -o out.safetensors",
    "batch": "photos -m m.safetensors -o out",
    "sheet": "c.png s.png --set beta=1,10,100 -p p.yaml -o out.png",
}
"""By name, with their arguments; ``-f`` comes to them, and batches and sheets go on without."""

_TEMPORARY = re.compile(r"\..*\.\d+\.[0-9a-f]{8}-[a-z0-9_]{8}")
_OURS = (0, 1, 2, 130, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes; SIGTERM ends a command that has not begun to work as it ends others."""


@dataclass(frozen=True)
class Found:
    """After a fault: the exit code, files that are not whole, and what else is wrong."""

    code: int
    damaged: list[str]
    wrong: list[str]

    @property
    def is_bug(self) -> bool:
        return bool(self.damaged or self.wrong)


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
        write_photos(folder / "photos", 8, size=(160, 120))
        self._inputs = contents(folder)
        started = time.perf_counter()
        self.finish()
        self._seconds = time.perf_counter() - started

    def finish(self) -> None:
        """Run to the end, from whatever the last fault has left."""
        process = self._start()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert not self._damaged(remains=False)

    def disturb(self, fault: Fault, chance: random.Random) -> Found:
        """Start, inject the fault, look."""
        self._forget()
        limit = int(10 ** chance.uniform(0, 4.5)) if fault == "full" else None
        process = self._start(limit)
        if fault != "full":
            self._wait(process, chance)
            process.send_signal(signal.SIGKILL if fault == "kill" else signal.SIGTERM)
        _, said = process.communicate(timeout=300)
        wrong = [said] if "Traceback" in said else []
        if process.returncode not in _OURS:
            wrong.append(f"exit code {process.returncode}: {said}")
        now = contents(self._folder)
        wrong += [f"{name} has changed" for name, was in self._inputs.items() if now[name] != was]
        return Found(process.returncode, self._damaged(remains=fault != "full"), wrong)

    def _start(self, limit: int | None = None) -> subprocess.Popen[str]:
        def restrict() -> None:
            assert limit is not None
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        force = [] if self._command == "batch" else ["-f"]
        arguments = [self._command, *COMMANDS[self._command].split(), "-d", "cpu", *force]
        return subprocess.Popen(
            [sys.executable, "-m", "styleforge", *arguments],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self._folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=None if limit is None else restrict,
        )

    def _wait(self, process: subprocess.Popen[str], chance: random.Random) -> None:
        """To anywhere in the run, or to just after something was written."""
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 1.1) * self._seconds)
            return
        while process.poll() is None and not self._outputs():
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.2) ** 2 * 5)

    def _outputs(self) -> list[Path]:
        paths = (path for path in self._folder.rglob("*") if path.is_file())
        named = {path: str(path.relative_to(self._folder)) for path in paths}
        return [
            path
            for path, name in named.items()
            if name not in self._inputs and not name.startswith("tmp/") and path.name != ".lock"
        ]

    def _damaged(self, *, remains: bool) -> list[str]:
        """Outputs that are not whole; what a killed process has left is known by its name."""
        return [
            str(path.relative_to(self._folder))
            for path in self._outputs()
            if not (remains and _TEMPORARY.fullmatch(path.name)) and not _CHECKS[path.suffix](path)
        ]

    def _forget(self) -> None:
        for path in self._outputs():
            path.unlink()


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


_CHECKS: dict[str, Callable[[Path], bool]] = {
    ".png": is_whole,
    ".jpg": is_whole,
    ".gif": is_whole,
    ".safetensors": _is_model,
    ".pt": _is_checkpoint,
    ".jsonl": _is_log,
    ".html": _is_page,
}
