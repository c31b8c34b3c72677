"""How many L-BFGS evaluations give the loss that a trained network reaches in one pass?

    python tests/benchmarks/evaluations_equivalent.py MODEL PHOTOS [--count 20] [--size 256]

The losses are those that the network was trained on (from the recipe in its file), on photos that
it was not trained on; L-BFGS starts from the photo, at one scale, as in Johnson et al. 2016, who
report 50 to 100 evaluations. Prints a row per photo and style, and medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from pathlib import Path

import torch
from torch import Tensor

from styleforge.images import load_image
from styleforge.loss_network import loss_network
from styleforge.models import Model, load_model
from styleforge.networks.transformer import one_style
from styleforge.optimize.evaluation import LossValues
from styleforge.optimize.minimize import minimize
from styleforge.settings import validate
from styleforge.stylize import stylize
from styleforge.training.objective import BatchObjective
from styleforge.training.photographs import SUFFIXES, central_crop
from styleforge.training.preset import TrainingPreset
from styleforge.weights import load_weights


def losses_of(
    model: Model, index: int, photo: Tensor, objective: BatchObjective, most: int
) -> tuple[LossValues, LossValues, int | None]:
    """Of the photo and of the network's pastiche, and the evaluations that reach the latter."""
    chosen = torch.tensor([index])

    def loss_at(image: Tensor) -> LossValues:
        with torch.no_grad():
            return LossValues(*torch.stack(objective(image, photo, chosen)).tolist())

    mixture = one_style(index, len(model.info.styles))
    pastiche = stylize(model.network, photo, mixture, memory=2**40).clone()
    start, wanted = loss_at(photo), loss_at(pastiche)
    for iterate in minimize(
        lambda image: objective(image, photo, chosen), photo, optimizer="lbfgs", steps=most
    ):
        if iterate.loss.total <= wanted.total:
            return start, wanted, iterate.evaluations
    return start, wanted, None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--styles", type=Path, required=True, help="folder of the style images")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--most", type=int, default=300, help="evaluations to try")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    preset = validate(TrainingPreset, model.info.recipe["settings"], arguments.model.name)
    by_sha = {
        picture.sha256: picture.pixels
        for picture in map(load_image, sorted(arguments.styles.glob("*.jpg")))
    }
    styles = [by_sha[style.sha256] for style in model.info.styles]
    network = loss_network(load_weights(preset.network.weights), preset)
    objective = BatchObjective(network, styles, preset)
    paths = sorted(p for p in arguments.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    found: list[float] = []
    turns = itertools.cycle(range(len(styles)))
    print("content and style loss: photo, network; evaluations")
    for path, index in zip(paths[: arguments.count], turns, strict=False):
        photo = central_crop(path, arguments.size)[None]
        start, reached, evaluations = losses_of(model, index, photo, objective, arguments.most)
        name = model.info.styles[index].name
        print(
            f"{path.name:24} {name:20} {start.content:8.3f} {start.style:8.3f}"
            f" {reached.content:8.3f} {reached.style:8.3f} {evaluations or 'not reached'}"
        )
        sys.stdout.flush()
        found.append(evaluations or float("inf"))
    print(f"median: {statistics.median(found)} evaluations over {len(found)} photos")


if __name__ == "__main__":
    main()
