"""A batch in another process that is killed again and again, and what is there after each kill."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.batches.conftest import contents, write_photos
from tests.cli.test_models import write_model

EARLY = 0.2
"""So often it is killed before its first new picture, while it loads or skips."""


class File(NamedTuple):
    """Changes whenever a file is written again."""

    inode: int
    modified: int


@dataclass(frozen=True)
class Found:
    """After a kill: results there, of these not as undisturbed or written twice; remains."""

    results: int
    wrong: int
    again: int
    remains: int


class Workplace:
    """A folder of photos, the results of an undisturbed batch, and of one that is killed."""

    def __init__(self, folder: Path, photos: int) -> None:
        self.folder = folder
        write_photos(folder / "photos", photos, size=(160, 120))
        write_model(folder / "m.safetensors")
        self.finish("undisturbed")
        self.expected = contents(folder / "undisturbed")
        self._known: dict[str, File] = {}

    def finish(self, output: str) -> str:
        """Run to the end; what it says."""
        process = self._start(output)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def kill(self, delay: random.Random) -> Found:
        """Start, kill at a random moment, look."""
        process = self._start("killed")
        assert process.stdout is not None
        if delay.random() < EARLY:
            time.sleep(delay.uniform(0, 3))
        else:
            any('"done"' in line for line in process.stdout)  # waits for the first new one
            time.sleep(delay.uniform(0, 0.1))
        process.kill()
        process.communicate()
        return self.look("killed")

    def look(self, output: str) -> Found:
        files = contents(self.folder / output)
        results = {name: content for name, content in files.items() if name in self.expected}
        written = {name: _file(self.folder / output / name) for name in results}
        again = [name for name, file in self._known.items() if written.get(name) != file]
        self._known = written
        return Found(
            results=len(results),
            wrong=sum(content != self.expected[name] for name, content in results.items()),
            again=len(again),
            remains=len(files) - len(results),
        )

    def _start(self, output: str) -> subprocess.Popen[str]:
        options = ("-m", "m.safetensors", "-o", output, "--json", "--threads", "1")
        return subprocess.Popen(
            [sys.executable, "-m", "styleforge", "batch", "photos", *options],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def killed(workplace: Workplace, kills: int, *, seed: int = 0) -> Iterator[Found]:
    """What is found after each of so many kills."""
    delay = random.Random(seed)
    for _ in range(kills):
        yield workplace.kill(delay)


def _file(path: Path) -> File:
    status = path.stat()
    return File(status.st_ino, status.st_mtime_ns)
