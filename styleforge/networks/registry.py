"""Where trained networks are found by their names, or by those of the styles that they carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from styleforge.core.errors import ModelError
from styleforge.core.resources import model_folders
from styleforge.core.settings import suggestion
from styleforge.networks.model_file import SUFFIX, ModelInfo, load_info


def known_models() -> Iterator[tuple[Path, ModelInfo]]:
    """The models in these folders, without those that cannot be read."""
    for folder in model_folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                yield path, load_info(path)
            except ModelError:
                continue


def find_model(name: str) -> tuple[Path, str]:
    """The file that a name stands for, and the style that it names, or an empty string.

    A name is a file's path, a known model's name, or the name of a style that a known model
    carries. Raises :class:`ModelError`.
    """
    if name.endswith(SUFFIX) or "/" in name:
        return Path(name), ""
    known = list(known_models())
    for path, _ in known:
        if path.stem == name:
            return path, ""
    for path, info in known:
        if name in [style.name for style in info.styles]:
            return path, name
    names = [path.stem for path, _ in known]
    names += [style.name for _, info in known for style in info.styles]
    there = f"there are {', '.join(names)}, or" if names else "none are installed;"
    raise ModelError(
        f"no model or style {name!r}{suggestion(name, names)}; "
        f"{there} give the path of a {SUFFIX} file"
    )


def find_style(name: str) -> Path:
    """The known model that carries a style. Raises :class:`ModelError`."""
    for path, info in known_models():
        if name in [style.name for style in info.styles]:
            return path
    return find_model(name)[0]


def default_model() -> Path:
    """The model that ships. Raises :class:`ModelError` where there is none."""
    for path in sorted(model_folders()[-1].glob(f"*{SUFFIX}")):
        return path
    raise ModelError("no model ships with this installation; name one with `model`")
