"""The pictures that one can paint with: uploaded ones, and those that ship. Named by their hash.

What a browser says is only ever looked up among these names; no path of its is opened.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.core.files import file_sha256, write_atomically
from styleforge.core.resources import resource
from styleforge.images.elsewhere import LARGEST
from styleforge.images.geometry import Size
from styleforge.images.load import MIN_SIDE, load_image
from styleforge.images.opening import opened

_DIGITS = 12
"""Of a SHA-256 that name a picture: among a million pictures two agree once in 500 times."""

_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2", "TIFF": "tif", "HEIF": "heic"}
_LONGEST_STEM = 40


@dataclass(frozen=True)
class Stored:
    """A picture that can be painted with; ``key`` is what the page calls it."""

    key: str
    name: str
    path: Path
    size: Size


class Pictures:
    """Uploads in a folder, and the shipped photos and paintings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.photos = _shipped("sample_images/content")
        self.paintings = _shipped("sample_images/style")
        self._known = {one.key: one for one in [*self.photos, *self.paintings]}
        for path in sorted(folder.glob("*-*.*")) if folder.is_dir() else []:
            with contextlib.suppress(StyleforgeError):
                self._remember(path)

    def find(self, key: str) -> Stored:
        """Raises :class:`UsageError` for one that is not there."""
        if key not in self._known:
            raise UsageError("this picture is not here; drop it again")
        return self._known[key]

    def at_hand(self, key: str) -> Path:
        """Its file, for work; one that ships is copied, so that recipes outlive an upgrade.

        Raises :class:`UsageError` for a picture that is not there.
        """
        found = self.find(key)
        if found.path.parent == self._folder:
            return found.path
        self._folder.mkdir(parents=True, exist_ok=True)
        copy = self._folder / f"{_stem(found.name)}-{key}{found.path.suffix}"
        if not copy.exists():
            write_atomically(copy, found.path.read_bytes())
        return copy

    def with_sha256(self, sha256: str) -> Stored | None:
        """The picture that a recipe names by its hash, whatever its path was."""
        return self._known.get(sha256[:_DIGITS])

    @contextlib.contextmanager
    def incoming(self, name: str) -> Iterator[Incoming]:
        """A file that is being uploaded; what is left of it at the end is deleted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".upload-") as file:
            yield Incoming(Path(file.name), name)

    def keep(self, incoming: Incoming, *, min_side: int = MIN_SIDE) -> Stored:
        """Check an upload as files are, and keep it. Raises :class:`StyleforgeError`."""
        path = incoming.path
        try:
            picture = load_image(path, min_side=min_side)
            with opened(path) as image:
                form = image.format or ""
        except StyleforgeError as error:
            raise type(error)(str(error).replace(str(path), incoming.name)) from error
        key = picture.sha256[:_DIGITS]
        if key not in self._known:
            ending = _ENDINGS.get(form, form.lower())
            kept = self._folder / f"{_stem(incoming.name)}-{key}.{ending}"
            write_atomically(kept, path.read_bytes())
            self._known[key] = Stored(key, incoming.name, kept, picture.size)
        return self._known[key]

    def _remember(self, path: Path) -> None:
        name, _, key = path.stem.rpartition("-")
        if re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", key):
            self._known.setdefault(key, Stored(key, name + path.suffix, path, _size(path)))


@dataclass
class Incoming:
    """What has arrived of an upload so far; ``name`` is what its owner calls it."""

    path: Path
    name: str
    size: int = 0

    def __post_init__(self) -> None:
        self.name = " ".join(self.name.split())[:200] or "picture"

    def add(self, piece: bytes) -> None:
        """Raises :class:`UsageError` where it gets too long."""
        self.size += len(piece)
        if self.size > LARGEST:
            raise UsageError(f"{self.name} has more than {LARGEST // 2**20} MiB; make it smaller")
        with self.path.open("ab") as file:
            file.write(piece)


def _shipped(folder: str) -> list[Stored]:
    paths = sorted(resource(folder).glob("*.jpg"))
    return [Stored(file_sha256(path)[:_DIGITS], path.stem, path, _size(path)) for path in paths]


def _size(path: Path) -> Size:
    with opened(path) as image:
        return image.size


def _stem(name: str) -> str:
    """As much of an upload's name as any file system takes."""
    return re.sub(r"[^\w]+", "-", Path(name).stem).strip("-")[:_LONGEST_STEM] or "picture"
