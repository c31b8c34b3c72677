"""A folder of photographs as an endless, repeatable sequence of random crops.

Sample number i is the same whenever it is asked for and by whomever: which photo, which crop and
whether it is mirrored follow from the seed and i alone. So a resumed training sees what an
uninterrupted one sees, with any number of workers or processes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.images.folder import pictures_in
from styleforge.images.geometry import Size, resize, size_of
from styleforge.images.load import load_pixels
from styleforge.images.opening import opened

OWN = ".training"
"""Where trainings leave their sheets, which are no photographs."""

VALIDATION_PHOTOS = 8
ENOUGH = 200
"""A few hundred photographs are enough: a crop is hardly ever seen twice."""

_END = 16 * 2**10
"""Bytes at a file's beginning and end that tell it from others."""

MAX_ZOOM = 4.0
"""A crop's side is between a quarter and the whole of the photo's shorter side, so
that a network also learns from what the smooth parts of large photos look like."""


@dataclass(frozen=True)
class Photographs:
    """The readable photographs of a folder and those below: to learn from, and to check with."""

    training: list[Path]
    validation: list[Path]
    unreadable: list[Path]

    @classmethod
    def find(cls, folder: Path) -> Photographs:
        """A twentieth, up to eight, is kept for validation. Raises :class:`UsageError`."""
        if not folder.is_dir():
            raise UsageError(f"no such folder: {folder}")
        candidates = [
            path
            for path in pictures_in(folder, recursive=True)
            if not path.parent.name.endswith(OWN)
        ]
        readable = [path for path in candidates if _is_image(path)]
        if len(readable) < 2:
            raise UsageError(f"{folder} has {len(readable)} photographs; at least 2 are needed")
        held = min(VALIDATION_PHOTOS, max(1, len(readable) // 20))
        spread = {round(i * len(readable) / held) for i in range(held)}
        return cls(
            training=[path for i, path in enumerate(readable) if i not in spread],
            validation=[readable[i] for i in sorted(spread)],
            unreadable=[path for path in candidates if path not in set(readable)],
        )

    @cached_property
    def contents(self) -> str:
        """Changes when a photograph to learn from becomes another one under its name.

        Of each, length and both ends are looked at: photographs can be many and large.
        """
        digest = hashlib.sha256()
        for path in self.training:
            digest.update(_ends(path))
        return digest.hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """Changes when a photograph to learn from is added, removed or renamed."""
        names = "\0".join(path.name for path in self.training)
        return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:16]


def _ends(path: Path) -> bytes:
    """A file's length, beginning and end."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        beginning = file.read(_END)
        file.seek(max(0, length - _END))
        return b"%d " % length + beginning + file.read(_END)


class Sample(NamedTuple):
    """A crop (3, crop, crop) in [0, 1], its number, and how many files were passed over for it."""

    photo: Tensor
    number: int
    unreadable: int


class Crops(Dataset[Sample]):
    """Sample number -> random crop. A file that cannot be read makes way for the next one."""

    def __init__(self, paths: Sequence[Path], *, crop: int, seed: int) -> None:
        self._paths = list(paths)
        self._crop = crop
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        epoch, place = divmod(number, len(self._paths))
        order = _order(self._seed, epoch, len(self._paths))
        chance = np.random.default_rng([self._seed, 1, number])
        for skipped in range(len(self._paths)):
            path = self._paths[order[(place + skipped) % len(order)]]
            try:
                return Sample(random_crop(path, self._crop, chance), number, skipped)
            except Exception:
                continue
        raise UsageError(f"none of the {len(self._paths)} photographs can be read any more")


class Batches:
    """The sample numbers of each step's batch, from a step on; each of several processes' share."""

    def __init__(self, steps: range, batch: int, *, rank: int = 0, processes: int = 1) -> None:
        self._steps = steps
        self._batch = batch
        self._share = range(rank * batch // processes, (rank + 1) * batch // processes)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield [step * self._batch + place for place in self._share]

    def __len__(self) -> int:
        return len(self._steps)


def random_crop(path: Path, crop: int, chance: np.random.Generator) -> Tensor:
    """(3, crop, crop) from anywhere in a photo, at a random scale, mirrored or not."""
    zoom = chance.uniform(1.0, MAX_ZOOM)
    top, left, mirrored = chance.random(), chance.random(), chance.random() < 0.5
    shorter = round(crop * zoom)
    photo = load_pixels(path, least=shorter)
    photo = resize(photo, _covering(size_of(photo), shorter))
    y = int(top * (photo.shape[2] - crop + 1))
    x = int(left * (photo.shape[3] - crop + 1))
    part = photo[0, :, y : y + crop, x : x + crop]
    return (part.flip(2) if mirrored else part).contiguous()


def central_crop(path: Path, crop: int) -> Tensor:
    """(3, crop, crop) from the middle of a photo, as much of it as a square can show."""
    photo = load_pixels(path, least=crop)
    photo = resize(photo, _covering(size_of(photo), crop))
    y, x = (photo.shape[2] - crop) // 2, (photo.shape[3] - crop) // 2
    return photo[0, :, y : y + crop, x : x + crop].contiguous()


def _covering(size: Size, shorter: int) -> Size:
    """(width, height) with the given shorter side."""
    factor = shorter / min(size)
    return max(shorter, round(size[0] * factor)), max(shorter, round(size[1] * factor))


def _is_image(path: Path) -> bool:
    """Whether the file begins like an image; the rest is only looked at when its turn comes."""
    try:
        with opened(path) as image:
            return min(image.size) > 0
    except StyleforgeError:
        return False


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """A permutation of the photographs for each time through them."""
    order: list[int] = np.random.default_rng([seed, 0, epoch]).permutation(count).tolist()
    return order


def stacked(samples: Sequence[Sample]) -> tuple[Tensor, list[int], int]:
    """Photos (B, 3, crop, crop), their numbers, and the files passed over."""
    photos = torch.stack([sample.photo for sample in samples])
    return photos, [sample.number for sample in samples], sum(s.unreadable for s in samples)
