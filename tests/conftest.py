"""Shared by all tests: one thread, the real weights loaded once, small real pictures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import load_image
from styleforge.vgg import weights as weights_module
from styleforge.vgg.weights import Weights, load_weights

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")

SAMPLES = Path(__file__).parent.parent / "sample_images"
CHELSEA = SAMPLES / "content" / "chelsea.jpg"
CAFE = SAMPLES / "style" / "vangogh_cafe_terrace_at_night.jpg"


def mostly_slow(cases: Iterable[Any], *, quick: int = 1) -> list[Any]:
    """The first cases of a test as they are, the others among the slow tests."""
    first, others = [*cases][:quick], [*cases][quick:]
    return [*first, *(pytest.param(case, marks=pytest.mark.slow) for case in others)]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # for tiny images as fast as two, and much faster on a busy machine


@pytest.fixture(scope="session", autouse=True)
def _sighup_is_heard() -> None:
    """Even where the tests themselves are run under nohup; their processes inherit it."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def weights() -> Weights:
    """The packaged original VGG-19."""
    return load_weights("original")


@pytest.fixture(autouse=True)
def _weights_at_hand(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads the packaged weights has them at once."""
    monkeypatch.setattr(weights_module, "_load_original", lambda: weights)


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A real photograph, (1, 3, 43, 64)."""
    return _small(CHELSEA)


@pytest.fixture(scope="session")
def painting() -> Tensor:
    """A real painting, (1, 3, 64, 51)."""
    return _small(CAFE)


def _small(path: Path) -> Tensor:
    picture = load_image(path)
    return resize(picture.pixels, fit_size(picture.size, 64))
