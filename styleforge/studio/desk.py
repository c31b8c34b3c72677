"""What the studio knows and can do, without a word of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from styleforge.core.errors import UsageError
from styleforge.images.load import load_image
from styleforge.jobs.recipe import AnyRecipe
from styleforge.jobs.styles import repaints
from styleforge.networks.registry import known_models
from styleforge.presets.transfer import OPTIONS, load_preset, shipped_presets
from styleforge.studio.frames import jpeg
from styleforge.studio.live import Change, Plan, Planned
from styleforge.studio.pictures import Pictures, Stored
from styleforge.studio.queue import Entry, Hands, Queue
from styleforge.studio.quick import QuickPainter
from styleforge.studio.shelf import Shelf, Shelved
from styleforge.studio.tasks import PaintTask, QuickTask, TurnTask, task_of

CommandOf = Callable[[AnyRecipe, Path], str]
"""The command line that makes a picture with a recipe, which is in a file, again."""

_LONGEST_VIEW = 2048

_SAMPLE_SIDE = 192


@dataclass(frozen=True)
class Means:
    """What jobs may use: a device, by name, and bytes of memory; None: what is free."""

    device: str = "auto"
    memory: int | None = None


class Desk:
    """A folder of results, the pictures to paint with, and the queue.

    ``hands`` carry out the heavy jobs, ``changed`` is called from any thread when there is news.
    """

    def __init__(
        self,
        folder: Path,
        means: Means,
        hands: Hands,
        command_of: CommandOf,
        changed: Callable[[], object],
    ) -> None:
        self.folder = folder
        self.shelf = Shelf(folder)
        self.pictures = Pictures(folder / "inputs")
        self.queue = Queue(hands, changed)
        self._means = means
        self._command_of = command_of
        self._quick = QuickPainter(means.device)
        self._views = lru_cache(64)(_view)
        self._samples = lru_cache(256)(self._sample)

    def stock(self) -> dict[str, Any]:
        """What there is to pick from."""
        return {
            "folder": str(self.folder),
            "photos": [shown(one) for one in self.pictures.photos],
            "paintings": [shown(one) for one in self.pictures.paintings],
            "styles": _styles(),
            "presets": [_preset(name) for name in shipped_presets()],
        }

    def quick(self, task: QuickTask) -> bytes:
        """A small picture at once, as a JPEG. Raises :class:`StyleforgeError`."""
        return self._quick.paint(self.pictures.find(task.photo), task)

    def sample(self, key: str, style: str) -> bytes:
        """A photo in one style, smaller still, to choose by. Raises :class:`StyleforgeError`."""
        return self._samples(self.pictures.find(key), style)

    def add(self, task: PaintTask | QuickTask) -> Entry:
        """Put a job into the queue. Raises :class:`UsageError`."""
        request = task.request(self.pictures, self._means.device, self._means.memory)
        asked = task.model_dump(mode="json")
        return self.queue.add(request, task.title(self.pictures), self.shelf.free, asked)

    def plan(self, task: PaintTask) -> Entry:
        """Put a dry run into the queue, before the jobs that wait."""
        request = task.request(self.pictures, self._means.device, self._means.memory)
        title = f"plan of {task.title(self.pictures)}"
        return self.queue.add(Plan(request), title, self.shelf.free, {"kind": "plan"})

    def turn(self, number: int, task: TurnTask) -> None:
        """Change the settings of the job that is running. Raises :class:`UsageError`."""
        for name in task.settings:
            if name not in OPTIONS:
                raise UsageError(f"the studio has no setting {name!r}")
        settings: dict[str, str | float] = {OPTIONS[k]: v for k, v in task.settings.items()}
        self.queue.turn(number, Change(settings, task.weights))

    def view(self, key: str, side: int) -> bytes:
        """A picture to paint with, as a JPEG of at most so many pixels a side."""
        return self._views(self.pictures.find(key).path, 0.0, _limited(side))

    def result_view(self, name: str, side: int) -> bytes:
        """A result, likewise."""
        path = self.shelf.png(name)
        return self._views(path, path.stat().st_mtime, _limited(side))

    def results(self) -> list[dict[str, Any]]:
        """The shelf, the newest first."""
        return [self._result(one) for one in self.shelf]

    def _sample(self, photo: Stored, style: str) -> bytes:
        task = QuickTask(photo=photo.key, styles={style: 1.0})
        return self._quick.paint(photo, task, _SAMPLE_SIDE)

    def _result(self, one: Shelved) -> dict[str, Any]:
        path = self.folder / one.name
        return {
            "name": one.name,
            "size": one.size,
            "made": one.made,
            "tiff": path.with_suffix(".tif").is_file(),
            "task": task_of(one.recipe, self.pictures),
            "turns": len(getattr(one.recipe, "turns", ())),
            "command": self._command_of(one.recipe, path),
            "recipe": one.recipe.to_dict(),
        }


def shown(one: Stored) -> dict[str, Any]:
    """A picture to paint with, for the page."""
    return {"key": one.key, "name": one.name, "size": one.size}


def planned(plan: Planned) -> dict[str, Any]:
    """A dry run, for the page."""
    return dict(vars(plan))


def _view(path: Path, _changed: float, side: int) -> bytes:
    return jpeg(load_image(path, min_side=1).pixels, side)


def _limited(side: int) -> int:
    return max(16, min(side, _LONGEST_VIEW))


def _styles() -> Sequence[dict[str, Any]]:
    """The styles of each network that repaints photos; those of one can be mixed."""
    return [
        {"name": style.name, "model": path.stem}
        for path, info in known_models()
        if repaints(info)
        for style in info.styles
    ]


def _preset(name: str) -> dict[str, Any]:
    preset = load_preset(name)
    return {
        "name": name,
        "description": preset.description,
        "strength": preset.strength,
        "style_scale": preset.style.scale,
        "colors": preset.colors,
        "size": preset.size,
        "steps": preset.optimizer.steps,
    }
