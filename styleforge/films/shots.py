"""A film's shots, by the numbers of their frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from styleforge.films.cuts import begins_shot
from styleforge.films.reading import Levels


class Shot(NamedTuple):
    """Frames from ``begin`` on, before ``end``."""

    begin: int
    end: int

    @property
    def numbers(self) -> range:
        return range(self.begin, self.end)


def cuts(frames: Iterable[Levels]) -> Iterator[bool]:
    """Of each frame, in their order, whether it begins a shot; the first does."""
    before: Levels | None = None
    for frame in frames:
        yield before is None or begins_shot(frame, before)
        before = frame


def shots_of(begins: Sequence[bool]) -> list[Shot]:
    """All shots of a film, whose frames say whether they begin one."""
    first = [number for number, begun in enumerate(begins) if begun]
    return [Shot(*limits) for limits in pairwise([*first, len(begins)])]


def fair_shares(shots: Sequence[Shot], count: int) -> list[list[Shot]]:
    """For each of so many workers its shots, in the film's order: about as many frames for each."""
    shares: list[list[Shot]] = [[] for _ in range(count)]
    frames = [0] * count
    for shot in shots:
        least = frames.index(min(frames))
        shares[least].append(shot)
        frames[least] += len(shot.numbers)
    return shares
