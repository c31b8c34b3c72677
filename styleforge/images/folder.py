"""The pictures of a folder."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"),
    *(".bmp", ".gif", ".avif", ".heic", ".heif", ".jp2", ".ppm"),
)
"""What counts as a picture in a folder; a file that is named is read whatever its suffix."""


def pictures_in(folder: Path, *, recursive: bool) -> list[Path]:
    """The pictures in a folder, or also in those below it, but for hidden ones; sorted."""
    files = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(
        path
        for path in files
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and _is_file(path)
    )


def _is_file(path: Path) -> bool:
    """A link that leads nowhere is one too: it was meant to be a picture, and is reported."""
    return path.is_file() or (path.is_symlink() and not path.exists())
