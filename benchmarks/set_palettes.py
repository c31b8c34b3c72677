"""A model whose styles have their paintings' colors, as trainings of now end with.

    python benchmarks/set_palettes.py MODEL OUTPUT PHOTOS NAME=PAINTING ...

How the shipped paintings.safetensors, which was trained before, got its own: over the central
crops of the first twelve photos of a folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from styleforge.images.folder import pictures_in
from styleforge.images.load import load_image
from styleforge.networks.model_file import load_model, save_model
from styleforge.networks.transformer import TransformerNetwork
from styleforge.training.palette import set_palette
from styleforge.training.photographs import central_crop

PHOTOS = 12
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("paintings", nargs="+", metavar="NAME=PAINTING")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    assert isinstance(model.network, TransformerNetwork)
    chosen = sorted(pictures_in(arguments.photos, recursive=True))[:PHOTOS]
    photos = torch.stack([central_crop(path, SIDE) for path in chosen])
    for name, _, path in (text.partition("=") for text in arguments.paintings):
        painting = load_image(Path(path)).pixels
        set_palette(model.network, model.style_names.index(name), painting, photos)
    save_model(arguments.output, model.info, model.network)


if __name__ == "__main__":
    main()
