"""What `styleforge score` says of several tools' results on the same pairs, by pair and in all.

    python benchmarks/judge.py RESULTS.tsv [--size 512]

Each line of RESULTS.tsv is NAME<TAB>PHOTO<TAB>PAINTING<TAB>RESULT<TAB>TOOL; empty lines and lines
that begin with # do not count. The results are there already: nothing is painted. Prints two
Markdown tables, a row for each result as it is judged, then each tool's medians over its pairs.
Compare tools that have as many pairs, the same ones. Nearness is how far patches are from the
painting's nearest, mean of the layers; the content and style distances are means of the layers,
too; the color distance is to the painting (styleforge/score.py). Of all these, smaller is nearer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from styleforge.core.errors import StyleforgeError
from styleforge.images.load import load_image
from styleforge.transfers.score import SIZE, Score, score
from styleforge.vgg.weights import Weights, load_weights

TITLES = ("nearness", "usage", "leak", "content distance", "style distance", "color distance")


class Line(NamedTuple):
    """One result, and what it was made from."""

    name: str
    photo: Path
    painting: Path
    result: Path
    tool: str


def read_lines(path: Path) -> list[Line]:
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        if not text.strip() or text.startswith("#"):
            continue
        fields = text.split("\t")
        if len(fields) != len(Line._fields):
            sys.exit(f"{path}, line {number}: {len(fields)} fields, not {len(Line._fields)}")
        name, photo, painting, result, tool = fields
        lines.append(Line(name, Path(photo), Path(painting), Path(result), tool))
    return lines


def judged(line: Line, weights: Weights, size: int) -> tuple[float, ...]:
    """In the order of ``TITLES``."""
    styles = [(load_image(line.painting).pixels, 1.0)]
    picture, photo = load_image(line.result).pixels, load_image(line.photo).pixels
    return figures(score(picture, photo, styles, weights=weights, size=size))


def figures(found: Score) -> tuple[float, ...]:
    distances = (found.mean_content, found.mean_style, found.style_color)
    return (found.mean_nearness, found.usage, found.leak, *distances)


def medians(rows: Iterable[Sequence[float]]) -> list[float]:
    return [median(column) for column in zip(*rows, strict=True)]


def print_head(*names: str) -> None:
    print(f"| {' | '.join((*names, *TITLES))} |")
    print("|" + "---|" * len(names) + "---:|" * len(TITLES), flush=True)


def print_row(names: Sequence[object], values: Sequence[float]) -> None:
    cells = [*map(str, names), *(f"{value:.3f}" for value in values)]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, metavar="RESULTS.tsv")
    parser.add_argument("--size", type=int, default=SIZE)
    arguments = parser.parse_args()
    lines, weights = read_lines(arguments.results), load_weights("original")
    by_tool: dict[str, list[tuple[float, ...]]] = {}
    print_head("pair", "tool")
    for line in lines:
        try:
            values = judged(line, weights, arguments.size)
        except StyleforgeError as error:
            sys.exit(f"{line.name}, {line.tool}: {error}")
        by_tool.setdefault(line.tool, []).append(values)
        print_row((line.name, line.tool), values)
    print()
    print_head("pairs", "tool (median)")
    for tool, rows in by_tool.items():
        print_row((len(rows), tool), medians(rows))


if __name__ == "__main__":
    main()
