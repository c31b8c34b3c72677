"""``transfer --animate``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleforge.core.files import write_atomically
from styleforge.jobs import transfer as transfer_job
from tests.cli.conftest import Command
from tests.cli.test_transfer import after_step, out_of_memory_at
from tests.pictures import opened


def frame_count(path: str) -> int:
    with Image.open(path) as image:
        return int(image.n_frames)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["run.gif", "run.webp"])
def test_the_animation_ends_with_the_picture(transfer: Command, name: str) -> None:
    assert transfer("-o", "out.png", "-n", "9", "--animate", name).code == 0
    with Image.open(name) as film:
        film.seek(film.n_frames - 1)  # type: ignore[attr-defined]
        last = np.asarray(film.convert("RGB")).astype(float)
    picture = np.asarray(opened(Path("out.png").read_bytes())).astype(float)
    assert 5 <= frame_count(name) <= 11, "a step that was taken back changes nothing"
    assert last.shape == picture.shape == (40, 48, 3)
    assert np.abs(last - picture).mean() < 8


def test_coarse_scales_are_enlarged(folder: Path, transfer: Command) -> None:
    (folder / "p.yaml").write_text(
        (folder / "p.yaml").read_text().replace("scales: null", "scales: {start: 48, steps: 3}")
    )
    assert transfer("-o", "out.png", "-s", "80", "--animate", "run.gif").code == 0
    assert opened(Path("run.gif").read_bytes()).size == (80, 67)
    assert frame_count("run.gif") >= 3


def test_an_interruption_saves_the_animation_so_far(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(5, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    done = transfer("-o", "out.png", "-n", "50", "--animate", "run.webp")
    assert done.code == 130
    assert Path("out.png").is_file()
    assert 3 <= frame_count("run.webp") <= 6


def test_an_animation_that_is_being_saved_is_saved(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_to_end(path: Path, content: bytes) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write_atomically(path, content)

    monkeypatch.setattr(transfer_job, "write_atomically", asked_to_end)
    assert transfer("-o", "out.png", "--animate", "run.gif").code == 0
    assert frame_count("run.gif") >= 2


def test_running_out_of_memory_saves_the_animation_so_far(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_at(3, monkeypatch)
    assert transfer("-o", "out.png", "--animate", "run.gif").code == 3
    assert frame_count("run.gif") >= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--animate", "run.avi"),
            "run.avi: an animation's name must end in one of .gif, .webp, .mp4",
        ),
        (("--animate", "no/run.gif"), "no such folder: no"),
        (("--animate", "old.gif"), "old.gif exists; use --force to overwrite it"),
        (
            ("-o", "a.webp", "--animate", "a.webp"),
            "a.webp: --animate and --output are the same file",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(transfer: Command, options: tuple[str, ...], message: str) -> None:
    Path("old.gif").write_bytes(b"mine")
    before = {path.name for path in Path().iterdir()}
    done = transfer("-o", "out.png", *options)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before
