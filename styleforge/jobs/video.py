"""A film and a style made ready: what is wanted, checked and loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from styleforge.core.devices import pick_device, pick_precision
from styleforge.core.errors import UsageError
from styleforge.core.files import check_place, file_sha256
from styleforge.films.optimized import OptimizedFrames
from styleforge.films.reading import (
    WHOLE,
    Film,
    Frame,
    Shown,
    Span,
    open_film,
    shown_frames,
)
from styleforge.films.steady import STEADINESS, check_steadiness
from styleforge.films.work_folder import WorkFolder
from styleforge.films.writing import SUFFIXES, Encoding
from styleforge.images.geometry import Size
from styleforge.images.load import stem_of
from styleforge.jobs.film_painters import FilmPainter, OptimizedFilm, SteadyNetwork
from styleforge.jobs.keyframes import placed
from styleforge.jobs.look import Look
from styleforge.jobs.mistakes import check_painting, check_style
from styleforge.jobs.naming import shortened
from styleforge.jobs.painters import NetworkPainter, TransferPainter
from styleforge.jobs.recipe import Input, Keyframe, VideoRecipe, essence, load_recipe, versions
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
    keyframes: Sequence[tuple[int | float, Path]] = ()
    """Frames painted by hand: number, or second as a float, of what is painted; picture."""
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


@dataclass(frozen=True)
class VideoJob:
    """A request whose inputs can be read and whose output has a place."""

    request: VideoRequest
    film: Film
    size: Size
    encoding: Encoding
    painter: NetworkPainter | TransferPainter
    device: torch.device
    keyframes: Sequence[Keyframe] = ()

    @classmethod
    def prepare(cls, request: VideoRequest) -> VideoJob:
        """Check and load. Raises :class:`StyleforgeError` before any long work."""
        job = cls.loaded(request)
        job.painter.size(job.size)  # which raises where frames are too small, or strips
        job._check_output()
        return job

    @classmethod
    def loaded(cls, request: VideoRequest) -> VideoJob:
        """Whatever is in the output's place; for workers that another process leads."""
        check_steadiness(request.steadiness)
        film = open_film(request.film)
        request.span.check(film.seconds)
        encoding = _encoding(request)
        encoding.check(request.path, film, sound=request.sound)
        size = encoding.size(request.wanted or film.size, 0 if request.wanted else request.longest)
        keyframes = placed(request.keyframes, film, request.span, size)
        device = pick_device(request.device)
        painter = _painter(request, device)
        return cls(request, film, size, encoding, painter, device, keyframes)

    def on(self, device: torch.device, *, workers: int = 1) -> VideoJob:
        """The same on a device, whose memory so many workers share."""
        if device == self.device and workers == 1:
            return self
        memory = (self.request.memory or available_memory(device)) // workers
        painter = _painter(replace(self.request, memory=memory), device)
        return replace(self, painter=painter, device=device)

    @property
    def output(self) -> Path:
        return self.request.path

    @property
    def frame_count(self) -> int:
        """About how many frames there are to paint."""
        return self.film.frame_count(self.request.span)

    def shown(self) -> Iterator[Shown]:
        """The frames to be painted, of which no pictures were made yet."""
        return shown_frames(self.film, self.request.span, self.size)

    def frames(self) -> Iterator[Frame]:
        """The frames to be painted."""
        return (shown.frame() for shown in self.shown())

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
            keyframes=[*self.keyframes],
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
        """About how long one worker takes, were the film a single shot."""
        frames = frames_to_paint(self.frame_count, [one.number for one in self.keyframes])
        return self.film_painter().seconds(int(not self.keyframes), frames, self.size)

    @property
    def needs_shots(self) -> bool:
        """Whether frames depend on later ones of their shot, so that its end must be known."""
        return bool(self.keyframes)

    def film_painter(self, steadiness: float | None = None) -> FilmPainter:
        """What paints the frames; a network's by ``steadiness``, or as was wished."""
        if isinstance(self.painter, NetworkPainter):
            wished = self.request.steadiness
            return SteadyNetwork(self.painter, wished if steadiness is None else steadiness)
        return OptimizedFilm(OptimizedFrames(self.painter.studio, self.size))

    def _check_output(self) -> None:
        width, height = self.size
        by_hand = [Path(one.picture.path) for one in self.keyframes]
        inputs = [self.film.path, *self._style_files, *by_hand]
        same = self.output.is_file() and self._is_there
        needed = width * height * _FRAME_BYTES * self.frame_count
        check_place(self.output, inputs=inputs, force=self.request.force or same, needed=needed)

    @property
    def _style_files(self) -> list[Path]:
        if isinstance(self.painter, NetworkPainter):
            return [self.painter.model.path]
        return [Path(painting.path) for painting in self.painter.template.styles]


def frames_to_paint(count: int, keyframes: Sequence[int]) -> int:
    """Of so many frames, those that follow another; between two keyframes from both sides."""
    if not keyframes:
        return count - 1
    between = keyframes[-1] - keyframes[0] + 1 - len(keyframes)
    return count - len(keyframes) + between


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
