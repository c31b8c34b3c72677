"""Who gets further with the same objective, images, start, size and number of evaluations?

    python benchmarks/loss_against_pastiche.py FOLDER CONTENT STYLE [CONTENT STYLE ...]

Both tools start from the content image at 256 pixels and minimise pastiche's own objective,
which pastiche_objective.yaml spells as a preset. After 50, 100 and 200 evaluations each saves a
PNG in FOLDER, and pastiche's own code scores both files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from pastiche.pastiche import save_image as save_bgr
from pastiche_judge import artist_for, resized, score

from styleforge import Studio, StyleTransfer, load_image, load_preset, save_image

SIZE = 256
EVALUATIONS = (50, 100, 200)
PRESET = str(Path(__file__).with_name("pastiche_objective.yaml"))


def run_pastiche(content: Path, style: Path, stem: Path) -> float:
    """Save stem_N.png after N evaluations; returns seconds."""
    started = time.perf_counter()
    artist = artist_for(content, style)
    for evaluation in range(1, EVALUATIONS[-1] + 1):
        artist.draw()
        if evaluation in EVALUATIONS:
            save_bgr(artist.pastiche, f"{stem}_{evaluation}.png")
    return time.perf_counter() - started


def run_styleforge(content: Path, style: Path, stem: Path) -> float:
    """Save stem_N.png after N evaluations; returns seconds."""
    started = time.perf_counter()
    preset = load_preset(PRESET)
    studio = Studio([(load_image(style).pixels, 1.0)], preset, device="cpu")
    run = StyleTransfer(studio, load_image(content).pixels)
    for progress in run:
        if progress.evaluations in EVALUATIONS:
            save_image(Path(f"{stem}_{progress.evaluations}.png"), run.image())
    return time.perf_counter() - started


def compare(content: Path, style: Path, folder: Path) -> bool:
    """One pair: prints a row per number of evaluations; true if styleforge's loss is lower."""
    pair = f"{content.stem}_{style.stem}"
    content, style = resized(content, folder, SIZE), resized(style, folder, SIZE)
    seconds = {}
    seconds["pastiche"] = run_pastiche(content, style, folder / f"{pair}_pastiche")
    seconds["styleforge"] = run_styleforge(content, style, folder / f"{pair}_styleforge")
    judge = artist_for(content, style)
    print(f"\n{pair}: loss of the content image {score(judge, content):.0f}", flush=True)
    lower = True
    for count in EVALUATIONS:
        theirs, ours = (
            score(judge, folder / f"{pair}_{tool}_{count}.png")
            for tool in ("pastiche", "styleforge")
        )
        lower &= ours < theirs
        print(f"  {count:4d} evaluations: pastiche {theirs:9.0f}  styleforge {ours:9.0f}", end="")
        print(f"  ratio {ours / theirs:.2f}", flush=True)
    print(f"  seconds: pastiche {seconds['pastiche']:.0f}, styleforge {seconds['styleforge']:.0f}")
    return lower


def main() -> None:
    torch.set_num_threads(2)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [Path(argument) for argument in sys.argv[2:]]
    pairs = list(zip(paths[::2], paths[1::2], strict=True))
    wins = sum(compare(content, style, folder) for content, style in pairs)
    print(f"\nstyleforge's loss is lower at every count on {wins} of {len(pairs)} pairs")
    sys.exit(wins != len(pairs))


if __name__ == "__main__":
    main()
