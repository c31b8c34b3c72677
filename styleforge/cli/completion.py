"""What a shell offers for the values of options. Imports no torch: it is asked at every tab."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import get_args

from styleforge.core.layers import LAYERS
from styleforge.core.resources import model_folders, resource


def styles(incomplete: str) -> list[str]:
    """Of the trained networks that are found by name."""
    return _beginning(incomplete, (style for _, names in _models() for style in names))


def models(incomplete: str) -> list[str]:
    """Names of trained networks, and of their styles."""
    found = list(_models())
    return _beginning(incomplete, [*(name for name, _ in found), *(s for _, n in found for s in n)])


def presets(incomplete: str) -> list[str]:
    """Of transfers."""
    return _beginning(incomplete, (path.stem for path in resource("presets").glob("*.yaml")))


def training_presets(incomplete: str) -> list[str]:
    """Of trainings."""
    folder = resource("presets") / "training"
    return _beginning(incomplete, (path.stem for path in folder.glob("*.yaml")))


def all_presets(incomplete: str) -> list[str]:
    """Of transfers and of trainings."""
    return [*presets(incomplete), *training_presets(incomplete)]


def layers(incomplete: str) -> list[str]:
    """Of VGG-19."""
    return _beginning(incomplete, LAYERS)


def devices(incomplete: str) -> list[str]:
    """As ``--device`` takes them."""
    return _beginning(incomplete, ("auto", "cpu", "cuda", "mps"))


def statistics(incomplete: str) -> list[str]:
    """That a style is matched by."""
    from styleforge.presets.transfer import StatisticName

    return _beginning(incomplete, get_args(StatisticName))


def training_statistics(incomplete: str) -> list[str]:
    """That a style is matched by in a training."""
    return [*statistics(incomplete), *_beginning(incomplete, ["neighbors"])]


def _models() -> Iterator[tuple[str, list[str]]]:
    """Name and styles of each, without those that cannot be read."""
    from safetensors import SafetensorError, safe_open

    for folder in model_folders():
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, "numpy") as file:
                    known = json.loads((file.metadata() or {})["styleforge"])
                yield path.stem, [style["name"] for style in known["styles"]]
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                continue


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(incomplete)]
