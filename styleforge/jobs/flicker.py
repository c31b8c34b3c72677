"""Two films to be compared, checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from styleforge.core.errors import UsageError
from styleforge.films.flicker import Flicker, flickers
from styleforge.films.overlap import ahead
from styleforge.films.reading import WHOLE, Film, Levels, Span, open_film, read_frames
from styleforge.images.geometry import Size, fit_size
from styleforge.jobs.recipe import VideoRecipe, load_recipe


@dataclass(frozen=True)
class FlickerJob:
    """A film and what became of it, which begins at ``span``; iterate for what is found so far."""

    original: Film
    painted: Film
    span: Span
    size: Size

    @classmethod
    def prepare(
        cls, original: Path, painted: Path, *, start: float | None = None, size: int = 512
    ) -> FlickerJob:
        """Compare them at this longest side, or the painted film's own if that is smaller.

        No ``start``: where the painted film's recipe says. Raises :class:`UsageError`.
        """
        first, second = open_film(original), open_film(painted)
        span = Span(_start(painted) if start is None else start)
        span.check(first.seconds)
        return cls(first, second, span, fit_size(second.size, min(size, max(second.size))))

    @property
    def frame_count(self) -> int:
        """About how many frames there are to compare."""
        return min(self.original.frame_count(self.span), self.painted.frame_count())

    def __iter__(self) -> Iterator[Flicker]:
        originals, painted = (
            ahead(_levels(film, span, self.size))
            for film, span in ((self.original, self.span), (self.painted, WHOLE))
        )
        yield from flickers(originals, painted)


def _start(painted: Path) -> float:
    try:
        recipe = load_recipe(painted)
    except UsageError:
        return 0.0
    return recipe.start if isinstance(recipe, VideoRecipe) else 0.0


def _levels(film: Film, span: Span, size: Size) -> Iterator[Levels]:
    return (frame.levels for frame in read_frames(film, span, size))
