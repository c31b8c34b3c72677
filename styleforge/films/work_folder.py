"""Finished frames beside a film that is being painted, from which a run that was killed goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from styleforge.core.errors import UsageError, WorkError
from styleforge.core.files import held_alone, remove_remains, write_atomically
from styleforge.films.reading import Levels
from styleforge.films.shots import Shot
from styleforge.images.opening import is_whole

_SUFFIX = ".frames"
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class FrameFolder:
    """Frames (H, W, 3), or (H, W, 4), by their numbers, each a file that is there whole or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, number: int) -> bool:
        return self._frame(number).is_file()

    def count(self, numbers: Iterable[int]) -> int:
        """How many of these are there, in their order, before the first that is not."""
        found: list[int] = []
        for number in numbers:
            if not self.has(number):
                break
            found.append(number)
        while found and not is_whole(self._frame(found[-1])):  # the last, on a crashed machine
            found.pop()
        return len(found)

    def load(self, number: int) -> Levels:
        """Raises :class:`WorkError` where it can no longer be read."""
        read = cv2.imread(str(self._frame(number)), cv2.IMREAD_UNCHANGED)
        if read is None:
            raise WorkError(f"{self._frame(number)} cannot be read; delete it, and run once more")
        return _turned(read)

    def save(self, number: int, frame: Levels) -> None:
        done, content = cv2.imencode(".png", _turned(frame), _FAST)
        assert done
        self.path.mkdir(exist_ok=True)
        write_atomically(self._frame(number), content.tobytes())

    def remove(self, numbers: Iterable[int]) -> None:
        """What is there of them."""
        for number in numbers:
            self._frame(number).unlink(missing_ok=True)

    def _frame(self, number: int) -> Path:
        return self.path / f"{number:06d}.png"


class WorkFolder(FrameFolder):
    """``painted.mp4.frames/`` beside ``painted.mp4``, with frames of one recipe.

    ``recipe`` is what decides every pixel.
    """

    def __init__(self, output: Path, recipe: Mapping[str, Any]) -> None:
        super().__init__(output.with_name(output.name + _SUFFIX))
        self._output = output
        text = json.dumps(recipe, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._key_file = self.path / "recipe"
        self._shots_file = self.path / "shots"

    @property
    def is_begun(self) -> bool:
        """Whether it holds frames of this recipe."""
        try:
            return self._key_file.read_text(encoding="ascii") == self._key
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, for this process only until it ends or dies.

        Frames of another recipe are cleared away, and what a process that was killed left.
        """
        self._check_own()
        message = f"another process paints {self._output}"
        otherwise = f"{message}; wait for its end or choose another output"
        with held_alone(self.path, otherwise=otherwise):
            self._prepare()
            yield

    def clear(self) -> None:
        """Delete it: its frames are in the film."""
        shutil.rmtree(self.path)

    def below(self, name: str) -> FrameFolder:
        """Frames on the way to those that are finished."""
        return FrameFolder(self.path / name)

    def shots(self) -> list[Shot] | None:
        """The film's, where they were found before."""
        try:
            return [Shot(*limits) for limits in json.loads(self._shots_file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return None

    def save_shots(self, shots: Sequence[Shot]) -> None:
        write_atomically(self._shots_file, json.dumps(shots).encode())

    def _check_own(self) -> None:
        """Raise :class:`UsageError` for a folder that holds something else."""
        if not self.path.exists() or self._key_file.is_file():
            return
        if not self.path.is_dir() or any(one.name != ".lock" for one in self.path.iterdir()):
            raise UsageError(
                f"{self.path} is in the way of the frames; rename it or choose another output"
            )

    def _prepare(self) -> None:
        remove_remains([self._output])
        for remains in self.path.rglob(".*.png.*"):  # of a process that was killed
            remains.unlink(missing_ok=True)
        if not self.is_begun:
            for frame in self.path.rglob("*.png"):
                frame.unlink()
            self._shots_file.unlink(missing_ok=True)
            write_atomically(self._key_file, self._key.encode())


def _turned(frame: Any) -> Levels:
    """RGB to BGR, with or without a fourth channel, and back."""
    code = cv2.COLOR_RGB2BGR if frame.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    turned: Levels = cv2.cvtColor(frame, code)
    return turned
