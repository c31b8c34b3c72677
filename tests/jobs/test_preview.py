from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.jobs.preview import Preview, check_preview
from tests.pictures import noise

PIXELS = torch.full((1, 3, 30, 40), 0.5)


def test_it_is_written_every_two_seconds(tmp_path: Path) -> None:
    now, path = 0.0, tmp_path / "p.png"
    preview = Preview(path, clock=lambda: now)
    preview.show(lambda: PIXELS)
    assert Image.open(path).getpixel((0, 0)) == (128, 128, 128)
    now = 1.9
    preview.show(lambda: pytest.fail("nobody asked for this picture"))
    now = 2.0
    preview.show(lambda: 0 * PIXELS)
    assert Image.open(path).getpixel((0, 0)) == (0, 0, 0)
    preview.write(PIXELS)
    assert Image.open(path).getpixel((0, 0)) == (128, 128, 128)


def test_it_is_small(tmp_path: Path) -> None:
    Preview(tmp_path / "p.jpg").write(torch.zeros(1, 3, 600, 1200))
    assert Image.open(tmp_path / "p.jpg").size == (512, 256)
    Preview(tmp_path / "p.jpg").write(PIXELS)
    assert Image.open(tmp_path / "p.jpg").size == (40, 30)


def test_what_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    preview = Preview(tmp_path / "gone" / "p.png")
    with pytest.warns(UserWarning, match="^no preview: .*p.png: no such file or directory$"):
        preview.write(PIXELS)


def test_an_old_preview_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    check_preview(path)
    noise(512, 40).save(path)
    check_preview(path)
    for spoil in (lambda: noise(513, 40).save(path), lambda: path.write_bytes(b"a letter")):
        spoil()
        with pytest.raises(UsageError) as caught:
            check_preview(path)
        message = f"{path} exists and is no preview; use `force` to overwrite it"
        assert str(caught.value) == message
