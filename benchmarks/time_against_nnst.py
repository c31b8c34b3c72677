"""How long until the picture has the loss that the authors' neighbor style transfer ends with?

    python benchmarks/time_against_nnst.py FOLDER NNST_FOLDER SIZE CONTENT STYLE [...]

NNST_FOLDER holds the code of Kolkin et al. (2022) with VGG-19 as its network and
without CUDA calls. It knows the sizes 512 and 1024; any other needs an option --sz added to its
styleTransfer.py, three scales and seven levels of its pyramid at 256. Its last step, which takes
colors from the photo, is left out: its optimization knows nothing of it.

All tools run as whole processes, on the same files and threads. Ours are the default preset and
nnst_objective.yaml, which goes after their loss alone, and save a picture every few steps. A
picture's seconds are its file's time less that of the process's start. Their loss is that of
nnst_judge.py, of the PNG. The time to it is that of a picture that reaches it after one that does
not, found by halving; it is the first, unless losses rise on the way.

On one thread (--threads 1) a run's seconds are the processor's, so that other work on the machine
does not count; the clock's of pictures on the way are reduced in proportion.

FOLDER holds a picture and a JSON file with the seconds for each run: what is there is not run
again. The exit code is 1 where one of our runs takes over a tenth of their time or does not get
to their loss.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from nnst_judge import final_pass_loss
from pastiche_judge import resized

LIMIT = 0.1
"""The largest ratio of styleforge's seconds to theirs that passes."""

PRESETS = {
    "default": [],
    "their objective": ["-p", str(Path(__file__).with_name("nnst_objective.yaml"))],
}


@dataclass(frozen=True)
class Settings:
    """What the runs of one call have in common."""

    folder: Path
    peer: Path
    size: int
    threads: int
    save_every: int


class Case:
    """A pair of images: the files that all tools read, their runs and their judge."""

    def __init__(self, settings: Settings, content: Path, style: Path) -> None:
        self.settings = settings
        self.name = f"{content.stem}_{style.stem}"
        self.folder = settings.folder.absolute() / f"{settings.size}_{self.name}"
        self._images = content, style

    @cached_property
    def files(self) -> tuple[Path, Path]:
        """Content and style at this size."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content, style = (resized(image, self.folder, self.settings.size) for image in self._images)
        return content, style

    def theirs(self) -> Run:
        content, style = map(str, self.files)
        picture = self.folder / "nnst.png"
        command = [
            *(sys.executable, "-W", "ignore", "styleTransfer.py", "--cpu", "--dont_colorize"),
            *("--content_path", content, "--style_path", style, "--output_path", str(picture)),
            *(["--sz", str(self.settings.size)] if self.settings.size != 512 else []),
        ]
        return self._run(command, picture, self.settings.peer)

    def ours(self, preset: str) -> Run:
        picture = self.folder / f"{preset.replace(' ', '-')}.png"
        command = [
            *(sys.executable, "-m", "styleforge", "transfer", *map(str, self.files), "-f", "-q"),
            *("-s", str(self.settings.size), "-d", "cpu", "-o", str(picture)),
            *("--save-every", str(self.settings.save_every), *PRESETS[preset]),
        ]
        return self._run(command, picture, Path.cwd())

    def _run(self, command: Sequence[str], picture: Path, place: Path) -> Run:
        """What is stored of a run, after running what is not there."""
        notes = picture.with_suffix(".json")
        if not (picture.exists() and notes.exists()):
            for old in picture.parent.glob(f"{picture.stem}_*[0-9].png"):
                old.unlink()
            print(f"{self.name}: {picture.stem} runs", flush=True)
            environment = os.environ | {"OMP_NUM_THREADS": str(self.settings.threads)}
            loads = [os.getloadavg()[0]]
            started = time.time_ns()
            before = processor_seconds()
            subprocess.run(command, check=True, cwd=place, env=environment, stdout=sys.stderr)
            seconds = clock = (time.time_ns() - started) / 1e9
            if self.settings.threads == 1:
                seconds = min(clock, processor_seconds() - before)
            loads.append(os.getloadavg()[0])
            saved = {
                other.name: (other.stat().st_mtime_ns - started) / 1e9 * seconds / clock
                for other in picture.parent.glob(f"{picture.stem}_*[0-9].png")
            }
            about = {"command": command, "threads": self.settings.threads, "load": loads}
            store(notes, {"seconds": seconds, "saved": saved, "losses": {}} | about)
        return Run(picture, self.loss)

    def loss(self, picture: Path) -> float:
        return final_pass_loss(picture, self.files[1], self.settings.size)


class Run:
    """A picture, how long it took, and those that were saved on the way."""

    def __init__(self, picture: Path, judge: Callable[[Path], float]) -> None:
        self.picture = picture
        self._notes = picture.with_suffix(".json")
        self._known: dict[str, Any] = json.loads(self._notes.read_text())
        self._judge = judge

    @property
    def seconds(self) -> float:
        return float(self._known["seconds"])

    @property
    def loss(self) -> float:
        return self.loss_of(self.picture.name)

    def loss_of(self, name: str) -> float:
        """Judged once, and stored."""
        losses: dict[str, float] = self._known["losses"]
        if name not in losses:
            losses[name] = self._judge(self.picture.with_name(name))
            store(self._notes, self._known)
        return losses[name]

    def seconds_to(self, wanted: float) -> float:
        """Until a picture with this loss or less, before which is one with more, or infinity."""
        if self.loss > wanted:
            return math.inf
        on_the_way = sorted((seconds, name) for name, seconds in self._known["saved"].items())
        pictures = [*on_the_way, (self.seconds, self.picture.name)]
        low, high = -1, len(pictures) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.loss_of(pictures[middle][1]) <= wanted:
                high = middle
            else:
                low = middle
        return pictures[high][0]


def processor_seconds() -> float:
    """Of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def store(file: Path, notes: dict[str, Any]) -> None:
    """Write them whole or not at all."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(notes, indent=1) + "\n")
    new.replace(file)


def compare(case: Case, presets: Sequence[str]) -> bool:
    """Print a row per run; true if all of ours reach their loss in a tenth of their time."""
    theirs = case.theirs()
    ours = {preset: case.ours(preset) for preset in presets}  # all runs before all judging
    print(f"\n{case.name} at {case.settings.size} pixels")
    print("                     seconds    loss   ratio  seconds to their loss  ratio")
    print(f"  {'nnst':16s} {theirs.seconds:10.1f} {theirs.loss:7.4f}", flush=True)
    fast = True
    for preset, run in ours.items():
        there = run.seconds_to(theirs.loss)
        fast &= there <= LIMIT * theirs.seconds
        answer = "not reached" if math.isinf(there) else f"{there:21.1f}"
        ratios = [f"{seconds / theirs.seconds:7.3f}" for seconds in (run.seconds, there)]
        row = f"  {preset:16s} {run.seconds:10.1f} {run.loss:7.4f} {ratios[0]}  {answer:>21s}"
        print(row + ("" if math.isinf(there) else ratios[1]), flush=True)
    return fast


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("folder", type=Path, metavar="FOLDER")
    option("peer", type=Path, metavar="NNST_FOLDER", help="the authors' code")
    option("size", type=int, metavar="SIZE", help="longest side of all pictures")
    option("images", type=Path, nargs="+", metavar="IMAGE", help="content, style, content, ...")
    option("--threads", type=int, default=2, help="of every run (%(default)s)")
    option("--save-every", type=int, default=5, help="styleforge's steps (%(default)s)")
    option("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), help="ours")
    return parser


def main() -> None:
    arguments = parser().parse_intermixed_args()
    contents, styles = arguments.images[::2], arguments.images[1::2]
    if len(contents) != len(styles):
        parser().error("name a content and a style image, or several pairs of them")
    torch.set_num_threads(arguments.threads)
    settings = Settings(
        folder=arguments.folder,
        peer=arguments.peer,
        size=arguments.size,
        threads=arguments.threads,
        save_every=arguments.save_every,
    )
    pairs = zip(contents, styles, strict=True)
    cases = [Case(settings, content, style) for content, style in pairs]
    fast = [compare(case, arguments.presets) for case in cases]
    sys.exit(not all(fast))


if __name__ == "__main__":
    main()
