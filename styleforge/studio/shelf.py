"""The shelf: results in one folder, each a PNG with its recipe, a 16-bit TIFF and its sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.core.files import write_atomically
from styleforge.images.geometry import Size
from styleforge.images.opening import opened
from styleforge.jobs.naming import free_path, shortened
from styleforge.jobs.recipe import AnyRecipe, StylizeRecipe, TransferRecipe, load_recipe
from styleforge.jobs.result import Result
from styleforge.transfers.matching import Sources


@dataclass(frozen=True)
class Shelved:
    """A result: its file's name, its (width, height), what made it, and when (seconds)."""

    name: str
    size: Size
    recipe: AnyRecipe
    made: float


class Shelf:
    """A folder of results; it is read anew each time, so others may put pictures there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[tuple[str, float], Shelved | None] = {}

    def __iter__(self) -> Iterator[Shelved]:
        """The newest first."""
        found = [self._read(path) for path in self.folder.glob("*.png")]
        results = [one for one in found if one is not None]
        return iter(sorted(results, key=lambda one: (one.made, one.name), reverse=True))

    def find(self, name: str) -> Shelved:
        """Raises :class:`UsageError` for a name that is no result's."""
        for one in self:
            if one.name == name:
                return one
        raise UsageError("this picture is not on the shelf")

    def png(self, name: str) -> Path:
        """The file of a result, with its recipe. Raises :class:`UsageError`."""
        return self.folder / self.find(name).name

    def tiff(self, name: str) -> Path:
        """The same in 16 bits a channel. Raises :class:`UsageError` where there is none."""
        path = self.png(name).with_suffix(".tif")
        if not path.is_file():
            raise UsageError("there is no 16-bit file of this picture; paint it again")
        return path

    def sources(self, name: str) -> dict[str, Any] | None:
        """Where in its paintings each of a result's places came from; None: not known."""
        path = _sources_path(self.png(name))
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def free(self, name: str) -> Path:
        """A place for a new result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return free_path(self.folder / f"{shortened(name)}.png", force=False)

    def _read(self, path: Path) -> Shelved | None:
        """None for what is no result; files are read again only when they change."""
        made = path.stat().st_mtime
        if (path.name, made) not in self._seen:
            self._seen[path.name, made] = _shelved(path, made)
        return self._seen[path.name, made]


def put(result: Result, path: Path) -> None:
    """Write a result: the PNG last, which is what makes it one. Raises :class:`StyleforgeError`."""
    recipe = result.recipe
    if isinstance(recipe, TransferRecipe | StylizeRecipe):
        deep = replace(result, depth=16, recipe=replace(recipe, depth=16))
        deep.save(path.with_suffix(".tif"))
    if result.sources is not None:
        target = _sources_path(path)
        target.parent.mkdir(exist_ok=True)
        write_atomically(target, json.dumps(as_lists(result.sources)).encode())
    result.save(path)


def as_lists(sources: Sources) -> dict[str, Any]:
    """For JSON, row by row: which painting, and where in it, from 0 to 1."""
    rows, columns = sources.style.shape
    x, y = ([round(v, 4) for v in part.flatten().tolist()] for part in (sources.x, sources.y))
    style = [int(v) for v in sources.style.flatten().tolist()]
    return {"rows": rows, "columns": columns, "style": style, "x": x, "y": y}


def _sources_path(path: Path) -> Path:
    return path.parent / "sources" / f"{path.stem}.json"


def _shelved(path: Path, made: float) -> Shelved | None:
    try:
        recipe = load_recipe(path)
        with opened(path) as image:
            return Shelved(path.name, image.size, recipe, made)
    except StyleforgeError:
        return None
