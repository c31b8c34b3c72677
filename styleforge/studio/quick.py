"""A photo in trained styles at once: everything stays loaded, and one picture is painted a time."""

from __future__ import annotations

import threading
from functools import lru_cache

import torch

from styleforge.core.devices import pick_device
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import Picture, load_image
from styleforge.jobs.look import Look
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.styles import TrainedStyle
from styleforge.networks.registry import find_style
from styleforge.studio.frames import jpeg
from styleforge.studio.pictures import Stored
from styleforge.studio.tasks import QuickTask
from styleforge.transfers.estimate import available_memory

SIDE = 384
"""Longest side of the pictures that follow the sliders."""


class QuickPainter:
    """Paints small pictures with the networks that are known."""

    def __init__(self, device: str) -> None:
        self._device: torch.device = pick_device(device)
        self._last: dict[str, NetworkPainter] = {}
        self._lock = threading.Lock()
        self._small = lru_cache(4)(_small)

    def paint(self, photo: Stored, task: QuickTask, side: int = SIDE) -> bytes:
        """A JPEG. Raises :class:`StyleforgeError`."""
        with self._lock:
            picture = self._small(photo, side)
            painter = self._painter(task)
            return jpeg(painter.paint(picture), side)

    def _painter(self, task: QuickTask) -> NetworkPainter:
        """Of the network that carries the first style, which is loaded once."""
        path = find_style(next(iter(task.styles)))
        style = TrainedStyle("", path, task.styles, Look(0, task.strength, task.colors))
        last = self._last.get(str(path))
        memory = available_memory(self._device)
        self._last[str(path)] = painter = style.painter(self._device, memory, last)
        return painter


def _small(photo: Stored, side: int) -> Picture:
    picture = load_image(photo.path)
    pixels = resize(picture.pixels, fit_size(picture.size, min(side, max(picture.size))))
    return Picture(photo.path, picture.sha256, pixels, None, b"")
