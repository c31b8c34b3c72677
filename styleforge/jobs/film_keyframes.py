"""Shots of which some frames were painted by hand; those flow to their neighbors on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from styleforge.films.flow import motion
from styleforge.films.mixing import followed, mixed, whole
from styleforge.films.reading import FrameReader, Levels
from styleforge.films.shots import Shot
from styleforge.films.steady import trust
from styleforge.films.work_folder import FrameFolder
from styleforge.jobs.film_painters import Moved
from styleforge.jobs.film_shots import ForwardShots, ShotPainter
from styleforge.jobs.keyframes import levels_of
from styleforge.jobs.video import VideoJob
from styleforge.jobs.video_run import Painted, Underway

_FOLLOWED = 1.0
"""How much of a network's frame is the one before it, from a keyframe on, where it is known."""


class Stretch(NamedTuple):
    """Frames of a shot that are no keyframes, and the keyframe on either side, if there is one."""

    numbers: range
    earlier: int | None
    later: int | None


def stretches(shot: Shot, keyframes: Sequence[int]) -> list[Stretch]:
    """What lies before, between and after keyframes; may be empty."""
    sides = [None, *keyframes, None]
    found = []
    for earlier, later in pairwise(sides):
        begin = shot.begin if earlier is None else earlier + 1
        found.append(Stretch(range(begin, shot.end if later is None else later), earlier, later))
    return found


class KeyedShots:
    """From each keyframe forwards to the next and backwards to the last, and both mixed.

    Where there is none on one side, only from the other; shots without any are painted as usual.
    Memory does not grow with a shot: all frames go through the work folder.
    """

    def __init__(self, job: VideoJob) -> None:
        self._job = job
        self._keyframes = {one.number: one for one in job.keyframes}
        self._usual = ForwardShots(job)
        self._painter = job.film_painter(_FOLLOWED)
        self._reader = FrameReader(job.film, job.request.span, job.size)
        self._originals = job.work.below("originals")
        self._forwards, self._backwards = (job.work.below(n) for n in ("forwards", "backwards"))

    def paint(self, shot: Shot) -> Iterator[Underway | Painted]:
        keyframes = [number for number in self._keyframes if number in shot.numbers]
        if not keyframes:
            yield from self._usual.paint(shot)
            return
        done = self._job.work.count(shot.numbers)
        yield from (Painted(number, kept=True) for number in shot.numbers[:done])
        if done == len(shot.numbers):
            return
        yield from self._keep_originals(shot)
        for stretch in stretches(shot, keyframes):
            if stretch.numbers.stop > shot.begin + done:
                yield from self._paint_stretch(stretch, shot.begin + done)
            if stretch.later is not None and stretch.later >= shot.begin + done:
                yield self._finished(stretch.later, self._by_hand(stretch.later))
        self._originals.remove(shot.numbers)

    def _by_hand(self, number: int) -> Levels:
        return levels_of(self._keyframes[number], self._job.size)

    def _finished(self, number: int, levels: Levels) -> Painted:
        self._job.work.save(number, levels)
        return Painted(number, kept=False)

    def _keep_originals(self, shot: Shot) -> Iterator[Underway]:
        """A film is read forwards only."""
        there = self._originals.count(shot.numbers)
        begin = shot.begin + there
        for number, levels in enumerate(self._reader.read(begin, shot.end), begin):
            self._originals.save(number, levels)
            yield Underway(number, "reading")

    def _paint_stretch(self, stretch: Stretch, begin: int) -> Iterator[Underway | Painted]:
        """Its frames from ``begin`` on are not finished."""
        numbers, earlier, later = stretch
        if earlier is not None:
            for number in self._follow(self._forwards, earlier, numbers):
                yield Underway(number, "forwards")
        if later is not None:
            for number in self._follow(self._backwards, later, numbers[::-1]):
                yield Underway(number, "backwards")
        for number in range(max(numbers.start, begin), numbers.stop):
            yield self._finished(number, self._result(number, earlier, later))
        for folder in (self._forwards, self._backwards):
            folder.remove(numbers)

    def _follow(self, results: FrameFolder, keyframe: int, numbers: range) -> Iterator[int]:
        """Each frame from its neighbor, beginning with the keyframe's; yields what is painted."""
        done = results.count(numbers)
        before = numbers[done - 1] if done else keyframe
        result = results.load(before) if done else whole(self._by_hand(keyframe))
        last = self._originals.load(before)
        for number in numbers[done:]:
            frame = self._originals.load(number)
            moved = motion(frame, last)
            painted = self._painter.following(Moved(frame, moved, last, result[..., :3].copy()))
            result = followed(painted, result, moved.flow, trust(moved, frame, last))
            results.save(number, result)
            last = frame
            yield number

    def _result(self, number: int, earlier: int | None, later: int | None) -> Levels:
        if later is None:
            return self._forwards.load(number)[..., :3].copy()
        if earlier is None:
            return self._backwards.load(number)[..., :3].copy()
        nearness = (number - earlier) / (later - earlier)
        return mixed(self._forwards.load(number), self._backwards.load(number), nearness)


def shot_painter(job: VideoJob) -> ShotPainter:
    """What paints the shots of a job."""
    return KeyedShots(job) if job.needs_shots else ForwardShots(job)
