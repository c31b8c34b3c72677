"""Uploads: checked as files are, named by what is in them, and found again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.studio import pictures as pictures_module
from styleforge.studio.pictures import Pictures, Stored


def uploaded(pictures: Pictures, content: bytes, name: str = "photo.png") -> Stored:
    with pictures.incoming(name) as incoming:
        incoming.add(content[:100])
        incoming.add(content[100:])
        return pictures.keep(incoming)


def test_an_upload_is_kept_once_and_found_after_a_restart(tmp_path: Path, photo: bytes) -> None:
    pictures = Pictures(tmp_path / "in")
    stored = uploaded(pictures, photo, "My photo (1).png")
    assert stored.path.name == f"My-photo-1-{stored.key}.png"
    assert stored.path.read_bytes() == photo
    assert uploaded(pictures, photo, "again.jpg") == stored
    assert [*(tmp_path / "in").iterdir()] == [stored.path]
    again = Pictures(tmp_path / "in").find(stored.key)
    assert (again.path, again.size) == (stored.path, (48, 40))


def test_what_ships_is_there(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path / "none")
    assert "chelsea" in [one.name for one in pictures.photos]
    assert len(pictures.paintings) == 10
    cafe = pictures.paintings[2]
    assert pictures.find(cafe.key) == cafe


def test_what_ships_is_copied_for_work(tmp_path: Path, photo: bytes) -> None:
    pictures = Pictures(tmp_path / "in")
    cafe = pictures.paintings[2]
    copy = pictures.at_hand(cafe.key)
    assert copy == tmp_path / "in" / f"{cafe.name}-{cafe.key}.jpg"
    assert copy.read_bytes() == cafe.path.read_bytes()
    stored = uploaded(pictures, photo)
    assert pictures.at_hand(stored.key) == stored.path
    assert Pictures(tmp_path / "in").at_hand(cafe.key) == copy


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "a/../b", "\0", "ä b"])
def test_names_never_lead_out_of_the_folder(tmp_path: Path, photo: bytes, name: str) -> None:
    stored = uploaded(Pictures(tmp_path / "in"), photo, name)
    assert stored.path.parent == tmp_path / "in"


@pytest.mark.parametrize("key", ["../photo", "/etc/passwd", "", "0" * 12, "photo.png"])
def test_keys_are_only_looked_up(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="this picture is not here; drop it again"):
        Pictures(tmp_path).find(key)


def test_a_broken_upload_leaves_nothing(tmp_path: Path, photo: bytes) -> None:
    pictures = Pictures(tmp_path / "in")
    for content, message in [
        (photo[:-40], r"cut.png is damaged or cut short"),
        (b"no picture", r"cut.png is not an image that can be read"),
        (b"", r"cut.png is not an image that can be read"),
    ]:
        with pytest.raises(UsageError, match=message):
            uploaded(pictures, content, "cut.png")
    assert [*(tmp_path / "in").iterdir()] == []


def test_limits_on_bytes_and_pixels(
    tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Pictures(tmp_path / "in")
    monkeypatch.setattr(pictures_module, "LARGEST", 2**20)
    with pytest.raises(UsageError, match=r"big.png has more than 1 MiB; make it smaller"):
        uploaded(pictures, photo + bytes(2**20), "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(UsageError, match=r"many.png has more than 0 million pixels"):
        uploaded(pictures, photo, "many.png")
    tiny = io.BytesIO()
    Image.new("RGB", (8, 8)).save(tiny, "PNG")
    with pytest.raises(UsageError, match=r"tiny.png is 8 x 8 pixels; both sides must have"):
        uploaded(pictures, tiny.getvalue(), "tiny.png")
    assert [*(tmp_path / "in").iterdir()] == []
