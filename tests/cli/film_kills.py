"""A film in another process that is killed at random moments, and what there is at its end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.test_models import write_model
from tests.films.made import pan, save

COMMAND = (sys.executable, "-m", "styleforge", "video", "clip.mp4", "-m", "m.safetensors")


class Studio:
    """A folder with a film of so many frames, and what becomes of it undisturbed."""

    def __init__(self, folder: Path, frames: int) -> None:
        self.folder = folder
        write_model(folder / "m.safetensors")
        save(folder / "clip.mp4", pan(frames, size=(160, 120)), sound="aac")
        self.finish("undisturbed.mp4")

    def finish(self, output: str) -> None:
        """Run to the end."""
        subprocess.run([*COMMAND, "-o", output, "-q"], cwd=self.folder, check=True, timeout=300)

    def kill(self, delay: random.Random) -> int:
        """Start, kill at a random moment, and count the finished frames; all if it got through.

        Mostly not before it paints: the moment is counted from a new frame on.
        """
        frames = self.folder / "killed.mp4.frames"
        before = len(list(frames.glob("0*.png")))
        process = subprocess.Popen(
            [*COMMAND, "-o", "killed.mp4", "-q"], cwd=self.folder, stderr=subprocess.DEVNULL
        )
        if delay.random() < 0.8:
            while process.poll() is None and len(list(frames.glob("0*.png"))) == before:
                time.sleep(0.002)
        time.sleep(delay.uniform(0, 0.1))
        process.kill()
        process.wait()
        return len(list(frames.glob("0*.png")))
