"""How many L-BFGS evaluations give the loss that a trained network reaches in one pass?

    python benchmarks/evaluations_equivalent.py MODEL PHOTOS --styles FOLDER ... [--noise]

The losses are those that the network was trained on (from the recipe in its file), on photos that
it was not trained on; L-BFGS starts from the photo, at one scale, or with --noise from white noise
as in Johnson et al. 2016, section 4.1, who report 50 to 100 evaluations. Ours searches in
coordinates of its own (docs/how-it-works.md), so torch.optim.LBFGS on plain pixels is counted too.
Prints a row per photo and style, and medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.settings import validate
from styleforge.images.folder import pictures_in
from styleforge.images.load import load_image
from styleforge.losses.objective import Loss
from styleforge.networks.apply import stylize
from styleforge.networks.model_file import load_model
from styleforge.networks.transformer import one_style
from styleforge.optimize.minimize import minimize
from styleforge.presets.training import TrainingPreset
from styleforge.training.objective import BatchObjective
from styleforge.training.photographs import central_crop
from styleforge.transfers.loss_network import loss_network
from styleforge.vgg.weights import load_weights

Evaluate = Callable[[Tensor], Loss]


def ours(loss_of: Evaluate, first: Tensor, wanted: float, most: int) -> float:
    """Evaluations of styleforge's L-BFGS until the loss is as wanted."""
    for iterate in minimize(loss_of, first, optimizer="lbfgs", steps=most):
        if iterate.loss.total <= wanted:
            return iterate.evaluations
    return float("inf")


def plain(loss_of: Evaluate, first: Tensor, wanted: float, most: int) -> float:
    """Evaluations of torch's L-BFGS, on pixels, until the loss is as wanted."""
    image = first.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image], max_iter=1, max_eval=1, history_size=10)
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(image).total
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        return loss

    while len(losses) < most:
        optimizer.step(closure)
        if losses[-1] <= wanted:
            return len(losses)
    return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--styles", type=Path, nargs="+", help="folders of style images")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--most", type=int, default=300, help="evaluations to try")
    parser.add_argument("--noise", action="store_true", help="start from it, not from the photo")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(arguments.model)
    preset = validate(TrainingPreset, model.info.recipe["settings"], arguments.model.name)
    by_sha = {
        picture.sha256: picture.pixels
        for folder in arguments.styles
        for picture in map(load_image, pictures_in(folder, recursive=False))
    }
    styles = [by_sha[style.sha256] for style in model.info.styles]
    network = loss_network(load_weights(preset.network.weights), preset)
    objective = BatchObjective(network, styles, preset)
    paths = pictures_in(arguments.photos, recursive=True)
    found: list[list[float]] = []
    turns = itertools.cycle(range(len(styles)))
    print("content and style loss of the photo, of the network; evaluations, ours and torch's")
    for path, index in zip(paths[: arguments.count], turns, strict=False):
        photo = central_crop(path, arguments.size)[None]
        pastiche = stylize(model.network, photo, one_style(index, len(styles)), memory=2**40)
        loss_of = partial(objective, photos=photo, styles=torch.tensor([index]))
        with torch.no_grad():
            start, reached = loss_of(photo), loss_of(pastiche.clone())
        wanted = float(reached.total)
        first = torch.rand_like(photo) if arguments.noise else photo
        found.append([count(loss_of, first, wanted, arguments.most) for count in (ours, plain)])
        losses = "".join(f"{float(x):9.3f}" for loss in (start, reached) for x in loss[1:3])
        evaluations = "".join(f"{count:7g}" for count in found[-1])
        print(f"{path.name:24} {model.info.styles[index].name:20}{losses}{evaluations}", flush=True)
    medians = "".join(f"{statistics.median(column):7g}" for column in zip(*found, strict=True))
    print(f"{'median':81}{medians}")


if __name__ == "__main__":
    main()
