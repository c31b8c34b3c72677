"""Which files a batch reads and writes: every clash is found before the work begins."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from styleforge.core.errors import UsageError
from styleforge.images.folder import pictures_in
from styleforge.images.save import FORMATS

DEFAULT_NAME = "{stem}_{style}{ext}"
_OTHERWISE = ".png"
"""The format of results whose source has one that cannot be written."""


@dataclass(frozen=True)
class Source:
    """A picture to read; ``folder`` is where it lies below the folder that was named."""

    path: Path
    folder: Path = Path()


@dataclass(frozen=True)
class Task:
    """One picture in one style: ``style`` is the style's number in the batch."""

    source: Path
    style: int
    target: Path

    @property
    def is_there(self) -> bool:
        """Whether there is a file at its place, which may have a longer name than files can."""
        return os.path.exists(self.target)  # noqa: PTH110 (raises nothing)


def find_sources(inputs: Sequence[str], output: Path, *, recursive: bool) -> list[Source]:
    """The pictures that files, folders and patterns name, each once, in natural order.

    What lies in the output folder is never read. Raises :class:`UsageError`.
    """
    own = output.resolve()
    found: dict[Path, Source] = {}
    for name in inputs:
        if Path(name).resolve() == own:
            raise UsageError(f"{output} is also an input; choose another folder for the output")
        sources = list(_sources(name, recursive=recursive))
        if not sources:
            hint = "" if recursive or not Path(name).is_dir() else "; `recursive` looks below it"
            raise UsageError(f"no pictures in {name}{hint}")
        outside = [source for source in sources if own not in _real(source.path).parents]
        if not outside:
            raise UsageError(
                f"{name} has no pictures outside of the output, {output}; choose another folder"
            )
        for source in outside:
            found.setdefault(source.path.parent.resolve() / source.path.name, source)
    return list(found.values())


def plan_tasks(
    sources: Sequence[Source], styles: Sequence[str], output: Path, *, name: str = DEFAULT_NAME
) -> list[Task]:
    """Every picture in every style (by the style's name), one style after the other.

    ``name`` is filled in with {stem}, {style}, {ext} (``.jpg``), {suffix} (``jpg``, the source's
    own) and {number}. Raises :class:`UsageError` where two results would have the same place.
    """
    tasks: list[Task] = []
    taken: dict[str, Path] = {}
    for index, style in enumerate(styles):
        for number, source in enumerate(sources, 1):
            target = output / source.folder / _filled_in(name, source.path, style, number)
            _check_place(target, output)
            key = str(target).casefold()  # some file systems do not tell A from a
            if key in taken:
                raise UsageError(
                    f"{taken[key]} and {source.path} would both become {target}; "
                    f'tell them apart with `name`, such as "{_telling(taken[key], source.path)}"'
                )
            taken[key] = source.path
            tasks.append(Task(source.path, index, target))
    return tasks


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts frame_2 before frame_10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _sources(name: str, *, recursive: bool) -> Iterator[Source]:
    path = Path(name)
    if path.is_dir():
        yield from _pictures_in(path, recursive=recursive)
    elif os.path.lexists(name):
        yield Source(path)
    elif not glob.has_magic(name):
        raise UsageError(f"no such file or folder: {name}")
    else:
        for match in sorted(glob.glob(name, recursive=True), key=natural):  # noqa: PTH207
            if Path(match).is_dir():
                yield from _pictures_in(Path(match), recursive=recursive)
            else:
                yield Source(Path(match))


def _pictures_in(folder: Path, *, recursive: bool) -> Iterator[Source]:
    found = pictures_in(folder, recursive=recursive)
    for file in sorted(found, key=lambda path: natural(str(path))):
        yield Source(file, file.relative_to(folder).parent)


def _real(path: Path) -> Path:
    """``resolve`` raises for links that lead to themselves."""
    return Path(os.path.realpath(path))


def _filled_in(name: str, source: Path, style: str, number: int) -> str:
    suffix = source.suffix.lower()
    fields = {
        "stem": source.stem,
        "style": style,
        "ext": suffix if suffix in FORMATS else _OTHERWISE,
        "suffix": suffix.removeprefix("."),
        "number": number,
    }
    try:
        return name.format(**fields)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        known = ", ".join(f"{{{field}}}" for field in fields)
        raise UsageError(f"`name` {name!r} is not a pattern; it can hold {known}") from None


def _telling(first: Path, second: Path) -> str:
    """A pattern that gives two pictures different names."""
    told = "suffix" if first.suffix.lower() != second.suffix.lower() else "number"
    return f"{{stem}}_{{{told}}}_{{style}}{{ext}}"


def _check_place(target: Path, output: Path) -> None:
    """A result's place is in the output folder, and of a kind that can be written."""
    if not target.is_relative_to(output) or ".." in target.relative_to(output).parts:
        raise UsageError(f"`name` leads out of {output}: {target}")
    if target.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise UsageError(f"{target}: no format that can be written; end `name` in one of {kinds}")
