"""Finished frames beside a film that is being painted, from which a run that was killed goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import cv2

from styleforge.core.errors import UsageError, WorkError
from styleforge.core.files import held_alone, remove_remains, write_atomically
from styleforge.films.reading import Levels
from styleforge.images.opening import is_whole

_SUFFIX = ".frames"
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class WorkFolder:
    """``painted.mp4.frames/`` beside ``painted.mp4``, with frames of one recipe.

    ``recipe`` is what decides every pixel.
    """

    def __init__(self, output: Path, recipe: Mapping[str, Any]) -> None:
        self.path = output.with_name(output.name + _SUFFIX)
        self._output = output
        text = json.dumps(recipe, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._key_file = self.path / "recipe"

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

    def count(self) -> int:
        """How many whole frames there are from the first on."""
        number = 0
        while self._frame(number).is_file():
            number += 1
        while number and not is_whole(self._frame(number - 1)):  # the last, on a crashed machine
            number -= 1
        return number

    def load(self, number: int) -> Levels:
        """A frame (H, W, 3). Raises :class:`WorkError` where it can no longer be read."""
        read = cv2.imread(str(self._frame(number)), cv2.IMREAD_COLOR)
        if read is None:
            raise WorkError(f"{self._frame(number)} cannot be read; delete it, and run once more")
        return cast(Levels, cv2.cvtColor(read, cv2.COLOR_BGR2RGB))

    def save(self, number: int, frame: Levels) -> None:
        """A frame (H, W, 3)."""
        done, content = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _FAST)
        assert done
        write_atomically(self._frame(number), content.tobytes())

    def _frame(self, number: int) -> Path:
        return self.path / f"{number:06d}.png"

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
        for remains in self.path.glob(".*.png.*"):  # of a process that was killed
            remains.unlink(missing_ok=True)
        if not self.is_begun:
            for frame in self.path.glob("*.png"):
                frame.unlink()
            write_atomically(self._key_file, self._key.encode())
