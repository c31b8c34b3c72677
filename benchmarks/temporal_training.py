"""A network that learns on with a loss of stability, and without: does its film flicker less?

    python benchmarks/temporal_training.py MODEL PHOTOS PAINTING OUTPUT [--weight 100] [--steps 150]

Beside its own losses (the preset's in its file) a network of one style is held to paint a photo
that is moved by some pixels, with a little noise, as it paints the photo (ReReVST, Wang et al.
2020, and ReCoNet, Gao et al. 2018, do so along motion of films):

    L + weight mean((f(T x + e) - T f(x))^2),    T a shift by 1 to 8 pixels each way, e ~ N(0, 0.01)

Weight 0 is the same training without. `styleforge video --model OUTPUT --steady 0` and
`styleforge flicker` compare the films.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from styleforge.core.settings import validate
from styleforge.images.folder import pictures_in
from styleforge.images.load import load_image
from styleforge.networks.model_file import load_model, save_model
from styleforge.presets.training import TrainingPreset
from styleforge.training.objective import BatchObjective
from styleforge.training.photographs import central_crop
from styleforge.transfers.loss_network import loss_network
from styleforge.vgg.weights import load_weights

FARTHEST, EDGE, NOISE = 8, 16, 0.01
"""Pixels of a shift at most, pixels at the edges that do not count, levels of noise."""


def shifted_pair(photos: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Two windows of photos (B, 3, H + 8, W + 8), the second moved by (y, x) and with noise."""
    y, x = (int(n) for n in torch.randint(1, FARTHEST + 1, (2,)))
    still = photos[..., :-FARTHEST, :-FARTHEST]
    height, width = still.shape[-2:]
    moved = photos[..., y : y + height, x : x + width]
    return still, (moved + NOISE * torch.randn_like(moved)).clamp(0, 1), (y, x)


def instability(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> Tensor:
    """Mean squared difference of two pictures of the same places."""
    (y, x), (height, width) = shift, still.shape[-2:]
    here = still[..., y + EDGE : height - EDGE, x + EDGE : width - EDGE]
    there = moved[..., EDGE : height - EDGE - y, EDGE : width - EDGE - x]
    return nn.functional.mse_loss(here, there)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weight", type=float, default=100.0)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--crop", type=int, default=192)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(arguments.model)
    network = model.network.train().requires_grad_(True)
    preset = validate(TrainingPreset, model.info.recipe["settings"], arguments.model.name)
    vgg = loss_network(load_weights(preset.network.weights), preset)
    objective = BatchObjective(vgg, [load_image(arguments.painting).pixels], preset)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4, betas=(0.9, 0.99))
    paths = pictures_in(arguments.photos, recursive=True)
    size = arguments.crop + FARTHEST
    for step in range(arguments.steps):
        chosen = [paths[int(n)] for n in torch.randint(len(paths), (2,))]
        photos = torch.stack([central_crop(path, size) for path in chosen])
        still, moved, shift = shifted_pair(photos)
        style = torch.ones(len(photos), 1)
        pastiches = network(still, style)
        loss = objective(pastiches, still, torch.zeros(len(photos), dtype=torch.long)).total
        unstable = instability(pastiches, network(moved, style), shift)
        optimizer.zero_grad()
        (loss + arguments.weight * unstable).backward()
        optimizer.step()
        if not step % 25:
            print(f"{step:4} loss {loss.item():.3f}, instability {unstable.item():.5f}", flush=True)
    save_model(arguments.output, model.info, network.eval())


if __name__ == "__main__":
    main()
