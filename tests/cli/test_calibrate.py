from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from styleforge.core.layers import CONVOLUTIONS
from styleforge.images.folder import pictures_in
from styleforge.vgg import calibration as normalization
from styleforge.vgg.weights import Weights
from tests.cli.conftest import Command
from tests.pictures import noise


@pytest.fixture
def photographs(folder: Path) -> Path:
    """A folder of one thin photograph in a folder below, and of a file that is none."""
    below = folder / "photographs" / "below"
    below.mkdir(parents=True)
    noise(256, 32).save(below / "a.JPG")
    (below / "notes.txt").write_text("")
    return folder / "photographs"


@pytest.fixture
def calibrate(command: Command, photographs: Path) -> Command:
    return lambda *options: command("calibrate", photographs, *options)


@pytest.mark.slow
def test_it_measures_every_filter_for_every_pooling_and_padding(
    calibrate: Command, weights: Weights, photographs: Path
) -> None:
    done = calibrate("-o", "means.safetensors")
    assert (done.code, done.out) == (0, b"")
    *told, last = done.err.splitlines()
    assert last.startswith("Saved means.safetensors in ")
    assert told == [
        "1 photographs, avg pooling, padding with replicate",
        "1 photographs, avg pooling, padding with zeros",
        "1 photographs, max pooling, padding with replicate",
        "1 photographs, max pooling, padding with zeros",
    ]
    means = load_file("means.safetensors")
    assert len(means) == 4 * len(CONVOLUTIONS)
    expected = normalization.measure(
        weights, pictures_in(photographs, recursive=True), pooling="avg", padding="zeros"
    )
    for name, filters in CONVOLUTIONS.items():
        key = normalization.key_of(weights.sha256, "avg", "zeros", name)
        assert means[key].shape == (filters,)
        assert torch.equal(means[key], expected[name])


def test_it_overwrites_only_with_force(calibrate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: {"conv1_1": torch.ones(64)})
    Path("means.safetensors").write_bytes(b"mine")
    done = calibrate("-o", "means.safetensors")
    assert done.err == "Error: means.safetensors exists; use --force to overwrite it\n"
    assert done.code == 2
    assert Path("means.safetensors").read_bytes() == b"mine"
    assert calibrate("-o", "means.safetensors", "-f").code == 0
    assert len(load_file("means.safetensors")) == 4


def test_the_output_folder_is_checked_before_the_work(calibrate: Command) -> None:
    done = calibrate("-o", "no/means.safetensors")
    assert done.err == "Error: no such folder: no\n"
    assert done.code == 2


def test_photographs_that_cannot_be_read_are_passed_over(
    calibrate: Command, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: {"conv1_1": torch.ones(64)})
    bad = photographs / "bad.jpg"
    bad.write_bytes(b"no picture")
    done = calibrate("-o", "means.safetensors")
    assert done.code == 0
    assert done.err.splitlines()[:2] == [
        f"passed over: {bad} is not an image that can be read",
        "1 photographs, avg pooling, padding with replicate",
    ]
    (photographs / "below" / "a.JPG").unlink()
    done = calibrate("-o", "other.safetensors")
    assert done.err.endswith(f"Error: no photographs in {photographs}\n")
    assert done.code == 2
