from __future__ import annotations

from pathlib import Path

import pytest

from styleforge.images.folder import pictures_in


@pytest.mark.parametrize(
    ("recursive", "found"),
    [(False, ["a.png", "b.JPG", "lost.gif"]), (True, ["a.png", "b.JPG", "lost.gif", "sub/c.webp"])],
)
def test_pictures_are_found_in_order_and_below(
    tmp_path: Path, recursive: bool, found: list[str]
) -> None:
    for folder in ("sub", ".hidden", "folder.png"):
        (tmp_path / folder).mkdir()
    for name in ("b.JPG", "a.png", "notes.txt", "sub/c.webp", ".d.png", ".hidden/e.png"):
        (tmp_path / name).touch()
    (tmp_path / "lost.gif").symlink_to(tmp_path / "nowhere.gif")
    there = pictures_in(tmp_path, recursive=recursive)
    assert [str(path.relative_to(tmp_path)) for path in there] == found
