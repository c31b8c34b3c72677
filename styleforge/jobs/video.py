"""A film and a style made ready, and carried out frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from styleforge.core.devices import pick_device, pick_precision
from styleforge.core.errors import StoppedError, UsageError
from styleforge.core.files import check_place, file_sha256, replaced
from styleforge.films.cuts import is_cut
from styleforge.films.flow import Motion, motion
from styleforge.films.optimized import OptimizedFrames
from styleforge.films.overlap import Behind, ahead
from styleforge.films.reading import WHOLE, Film, Frame, Levels, Span, open_film, read_frames
from styleforge.films.steady import STEADINESS, check_steadiness
from styleforge.films.work_folder import WorkFolder
from styleforge.films.writing import SUFFIXES, Encoding, FilmWriter
from styleforge.images.geometry import Size
from styleforge.images.load import stem_of
from styleforge.jobs.film_painters import FilmPainter, Moved, OptimizedFilm, SteadyNetwork
from styleforge.jobs.look import Look
from styleforge.jobs.mistakes import check_painting, check_style
from styleforge.jobs.naming import shortened
from styleforge.jobs.painters import NetworkPainter, TransferPainter
from styleforge.jobs.recipe import Input, VideoRecipe, essence, load_recipe, versions
from styleforge.jobs.styles import OptimizedStyle, Painting, trained_style
from styleforge.presets.transfer import DEFAULT_PRESET, Preset
from styleforge.transfers.estimate import available_memory

_ANIMATIONS = (".gif", ".webp")

_FRAME_BYTES = 3
"""Of a frame in the work folder, per pixel, at most."""


@dataclass(frozen=True)
class VideoRequest:
    """What is wanted: a film after paintings, by a preset, or in styles that a network carries.

    No ``size``: the preset's for paintings, and for networks the film's own. ``span`` is what of
    the film is painted; ``steadiness`` is of networks' frames. No ``output``: named after the
    inputs, here.
    """

    film: Path
    paintings: Sequence[Painting] = ()
    styles: dict[str, float] = field(default_factory=dict)
    model: str | None = None
    preset_name: str = DEFAULT_PRESET
    preset: Preset = field(default_factory=Preset)
    look: Look = field(default_factory=Look)
    output: str | None = None
    span: Span = WHOLE
    codec: str = ""
    crf: int | None = None
    sound: bool = True
    steadiness: float = STEADINESS
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    force: bool = False
    wanted: Size | None = None
    """(width, height) of the frames, as a recipe says, whatever the preset or the look does."""

    @property
    def longest(self) -> int:
        """Pixels of the frames' longest side; 0: the film's own."""
        return self.preset.size if self.paintings else self.look.size

    @property
    def path(self) -> Path:
        """Where the film goes."""
        if self.output is not None:
            return Path(self.output)
        styles = [stem_of(one.path) for one in self.paintings] or [*self.styles]
        stem = "_".join([self.film.stem, *(styles or ["painted"])])
        suffix = self.film.suffix.lower()
        return Path(shortened(stem) + (suffix if suffix in _ANIMATIONS else ".mp4"))


class Painted(NamedTuple):
    """A frame that is done: its number and about how many there are.

    ``begins`` a shot, where that was looked for; ``kept`` from a run before this one.
    """

    number: int
    total: int
    begins: bool
    kept: bool


@dataclass(frozen=True)
class VideoJob:
    """A request whose inputs can be read and whose output has a place."""

    request: VideoRequest
    film: Film
    size: Size
    encoding: Encoding
    painter: NetworkPainter | TransferPainter
    device: torch.device

    @classmethod
    def prepare(cls, request: VideoRequest) -> VideoJob:
        """Check and load. Raises :class:`StyleforgeError` before any long work."""
        check_steadiness(request.steadiness)
        film = open_film(request.film)
        request.span.check(film.seconds)
        encoding = _encoding(request)
        encoding.check(request.path, film, sound=request.sound)
        size = encoding.size(request.wanted or film.size, 0 if request.wanted else request.longest)
        device = pick_device(request.device)
        job = cls(request, film, size, encoding, _painter(request, device), device)
        job.painter.size(size)  # which raises where frames are too small, or strips
        job._check_output()
        return job

    @property
    def output(self) -> Path:
        return self.request.path

    @property
    def frame_count(self) -> int:
        """About how many frames there are to paint."""
        return self.film.frame_count(self.request.span)

    @cached_property
    def recipe(self) -> VideoRecipe:
        """What the film depends on."""
        request = self.request
        return VideoRecipe(
            film=Input(str(self.film.path), file_sha256(self.film.path)),
            painted=self.painter.recipe(Input("", ""), None),
            size=self.size,
            start=request.span.start,
            stop=request.span.stop,
            steady=request.steadiness,
            codec=self.encoding.encoder,
            crf=request.crf,
            sound=request.sound,
            device=self.device.type,
            versions=versions(),
        )

    @cached_property
    def work(self) -> WorkFolder:
        """Where finished frames are."""
        return WorkFolder(self.output, essence(self.recipe.to_dict()))

    @property
    def is_finished(self) -> bool:
        """Whether the output is this very film, and not only the beginning of it."""
        return not self.request.force and self._is_there and not self.work.is_begun

    @property
    def _is_there(self) -> bool:
        try:
            there = load_recipe(self.output)
        except UsageError:
            return False
        return essence(there.to_dict()) == essence(self.recipe.to_dict())

    def seconds(self) -> float:
        """About how long it takes."""
        return self.painter.seconds([self.size] * self.frame_count)

    def film_painter(self) -> FilmPainter:
        """What paints the frames."""
        if isinstance(self.painter, NetworkPainter):
            return SteadyNetwork(self.painter, self.request.steadiness)
        return OptimizedFilm(OptimizedFrames(self.painter.studio, self.size))

    def _check_output(self) -> None:
        width, height = self.size
        inputs = [self.film.path, *self._style_files]
        same = self.output.is_file() and self._is_there
        needed = width * height * _FRAME_BYTES * self.frame_count
        check_place(self.output, inputs=inputs, force=self.request.force or same, needed=needed)

    @property
    def _style_files(self) -> list[Path]:
        if isinstance(self.painter, NetworkPainter):
            return [self.painter.model.path]
        return [Path(painting.path) for painting in self.painter.template.styles]


class VideoRun:
    """A job being carried out: iterate over it to its end.

    Where ``is_stopped`` nothing new is begun, and what is finished becomes a film of its own.
    """

    def __init__(self, job: VideoJob, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self.job = job
        self.is_whole = False
        """Whether all frames have been painted."""
        self.count = 0
        """Frames that are in the film."""
        self.shots = 0
        self._is_stopped = is_stopped
        self._painter = job.film_painter()

    def __iter__(self) -> Iterator[Painted]:
        job = self.job
        with job.work.held():
            with ExitStack() as stack:
                temporary = stack.enter_context(replaced(job.output))
                writer = stack.enter_context(self._writer(temporary))
                sink = stack.enter_context(Behind[tuple[Frame, int | None]](self._keep(writer)))
                yield from self._paint(sink)
                if not self.count:
                    raise StoppedError("nothing was painted")
                writer.to_the_end = self.is_whole and job.request.span.stop is None
            if self.is_whole:
                job.work.clear()

    def _writer(self, path: Path) -> FilmWriter:
        job = self.job
        return FilmWriter(
            path, job.film, job.encoding, sound=job.request.sound, comment=job.recipe.to_json()
        )

    def _keep(self, writer: FilmWriter) -> Callable[[tuple[Frame, int | None]], None]:
        """Writes a frame into the film, and, where it has a number, into the work folder."""

        def keep(item: tuple[Frame, int | None]) -> None:
            frame, number = item
            if number is not None:
                self.job.work.save(number, frame.levels)
            writer.add(frame)

        return keep

    def _paint(self, sink: Behind[tuple[Frame, int | None]]) -> Iterator[Painted]:
        job = self.job
        done, total = job.work.count(), job.frame_count
        before: tuple[Levels, Levels] | None = None
        for number, (frame, moved) in enumerate(ahead(self._moving(done))):
            if self._is_stopped():
                return
            begins = not number or (moved is not None and is_cut(moved))
            if number < done:
                result = job.work.load(number)
            elif begins or before is None or moved is None:
                result = self._painter.first(frame.levels)
            else:
                result = self._painter.following(Moved(frame.levels, moved, *before))
            before = (frame.levels, result)
            sink.put((frame._replace(levels=result), None if number < done else number))
            self.count += 1
            self.shots += begins
            yield Painted(number, max(total, number + 1), begins, number < done)
        self.is_whole = True

    def _moving(self, done: int) -> Iterator[tuple[Frame, Motion | None]]:
        """Frames with their motion since the last; not of the first, nor where it is done."""
        before: Levels | None = None
        frames = read_frames(self.job.film, self.job.request.span, self.job.size)
        for number, frame in enumerate(frames):
            needed = before is not None and number >= done
            yield frame, motion(frame.levels, before) if needed and before is not None else None
            before = frame.levels


class VideoOutcome(NamedTuple):
    """A film that is there: so many frames, some of them from before; all, if ``skipped``."""

    output: Path
    frames: int
    kept: int
    skipped: bool


def carry_out(job: VideoJob) -> VideoOutcome:
    """To its end, unless it is there already. Raises :class:`StyleforgeError`."""
    if job.is_finished:
        return VideoOutcome(job.output, job.frame_count, job.frame_count, skipped=True)
    run = VideoRun(job)
    kept = sum(painted.kept for painted in run)
    return VideoOutcome(job.output, run.count, kept, skipped=False)


def _encoding(request: VideoRequest) -> Encoding:
    """Raises :class:`UsageError` for a name that no film can have."""
    suffix = request.path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{request.path}: a film's name must end in one of {', '.join(SUFFIXES)}")
    return Encoding(suffix, request.codec, request.crf)


def _painter(request: VideoRequest, device: torch.device) -> NetworkPainter | TransferPainter:
    """Everything loaded once; frames come in their final size."""
    memory = request.memory or available_memory(device)
    if not request.paintings:
        for name in request.styles:
            check_style(name)
        look = replace(request.look, size=0)
        return trained_style(request.styles, request.model, look).painter(device, memory)
    if request.styles or request.model:
        raise UsageError("name paintings, or `style` and `model`, but not both")
    for painting in request.paintings:
        check_painting(painting.path)
    style = OptimizedStyle(
        name="",
        paintings=request.paintings,
        preset_name=request.preset_name,
        preset=request.preset.model_copy(update={"size": 0}),
        precision=pick_precision(request.precision, device),
    ).load()
    style.check()
    return style.painter(device, memory)
