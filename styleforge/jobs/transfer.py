"""A photo and paintings made ready, and carried out: what can go wrong early is checked first."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import Precision, pick_device, pick_precision
from styleforge.core.errors import UsageError
from styleforge.core.files import remove_remains, write_atomically
from styleforge.images.animation import Film, check_animation, encode_animation
from styleforge.images.geometry import Print, Size, fit_size
from styleforge.images.load import ImageSource, Picture, load_image, stem_of
from styleforge.images.save import Depth, check_output, save_image
from styleforge.jobs.mistakes import check_painting, check_photo
from styleforge.jobs.naming import output_path
from styleforge.jobs.painters import TransferPainter, steps
from styleforge.jobs.preview import SIDE, Preview, check_preview
from styleforge.jobs.recipe import Input, TransferRecipe, Turn
from styleforge.jobs.result import Kept, Result
from styleforge.jobs.styles import LoadedStyle, OptimizedStyle, Painting, named_masks
from styleforge.losses.masks import check_masks
from styleforge.optimize.coarse_to_fine import Progress
from styleforge.optimize.scales import Scale
from styleforge.presets.transfer import INITIAL_IMAGES, Preset
from styleforge.transfers.estimate import (
    Estimate,
    available_memory,
    ensure_memory,
    estimate,
    extra_bytes,
)
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.schedule import plan
from styleforge.transfers.source_map import source_map
from styleforge.vgg.weights import Weights


@dataclass(frozen=True)
class TransferRequest:
    """What is wanted. ``masks`` and ``style_masks`` are one for each painting, or none.

    ``init_photo`` is what the initial image was made from, if it is to move with the scene.
    ``memory`` is the bytes that the run may take; None: what is free. ``animate`` is where to
    show how the picture came about, ``source_map`` where its places came from, ``preview`` a
    small picture on the way. ``kept`` is what the file tells. ``printed`` is the paper
    that it is to fill, whatever size the preset has. ``turns`` are what is to be changed on the
    way, and ``evaluations`` after how many it is to stop, as a recipe says.
    """

    photo: ImageSource
    paintings: Sequence[Painting]
    preset_name: str
    preset: Preset
    masks: Sequence[ImageSource] = ()
    style_masks: Sequence[ImageSource] = ()
    init_photo: Path | None = None
    output: str | None = None
    device: str = "auto"
    depth: Depth = 8
    save_every: int = 0
    animate: Path | None = None
    source_map: Path | None = None
    preview: Path | None = None
    printed: Print = field(default_factory=Print)
    force: bool = False
    memory: int | None = None
    precision: str = "auto"
    kept: Kept = field(default_factory=Kept)
    turns: Sequence[Turn] = ()
    evaluations: int | None = None
    weights_sha256: str = ""
    """Of the weights that a recipe names; empty: any."""

    def sized(self, photo: Size) -> TransferRequest:
        """With the size that fills the paper, where there is one."""
        size = self.printed.longest_side(photo, self.preset.size)
        return replace(self, preset=self.preset.model_copy(update={"size": size}))

    def style(self, precision: Precision) -> OptimizedStyle:
        """What the photo is painted in."""
        return OptimizedStyle(
            name="+".join(stem_of(painting.path) for painting in self.paintings),
            paintings=self.paintings,
            preset_name=self.preset_name,
            preset=self.preset,
            masks=self.masks,
            style_masks=self.style_masks,
            precision=precision,
            depth=self.depth,
            weights_sha256=self.weights_sha256,
        )


@dataclass(frozen=True)
class TransferJob:
    """A request whose inputs are in memory and whose outputs can be written."""

    request: TransferRequest
    photo: Picture
    style: LoadedStyle
    init: Picture | None
    init_photo: Picture | None
    output: Path | None
    scales: list[Scale]
    device: torch.device

    @classmethod
    def prepare(cls, request: TransferRequest, *, planning: bool = False) -> TransferJob:
        """Check and load. Raises :class:`UsageError` before any long work.

        Where it is only planned, outputs may exist.
        """
        device = pick_device(request.device)
        precision = pick_precision(request.precision, device)
        check_photo(request.photo)
        for painting in request.paintings:
            check_painting(painting.path)
        photo = load_image(request.photo)
        request = request.sized(photo.size)
        preset = request.preset
        style = request.style(precision).load()
        job = cls(
            request=request,
            photo=photo,
            style=style,
            init=None if preset.init in INITIAL_IMAGES else load_image(preset.init),
            init_photo=load_image(request.init_photo) if request.init_photo else None,
            output=output_path(
                request.output,
                [request.photo, *(p.path for p in request.paintings)],
                force=request.force,
            ),
            scales=plan(photo.size, preset),
            device=device,
        )
        written = replace(job, request=replace(request, force=True)) if planning else job
        written._check_outputs()
        style.check()
        check_masks(
            named_masks(style.masks),
            styles=len(style.pictures),
            size=photo.size,
            statistic=preset.style.statistic,
        )
        return job

    @property
    def size(self) -> Size:
        """(width, height) of the result."""
        return self.scales[-1].size

    @property
    def memory(self) -> int:
        """Bytes that the run may take in all."""
        return self.request.memory or available_memory(self.device)

    @property
    def total_steps(self) -> int:
        return sum(scale.steps for scale in self.scales)

    def painter(self, last: TransferPainter | None, weights: Weights | None) -> TransferPainter:
        """Of this style, sharing what it can with the last; ``weights`` if they are at hand."""
        return self.style.painter(self.device, self.memory, last, weights=weights)

    def start(
        self, *, last: TransferPainter | None = None, weights: Weights | None = None
    ) -> TransferRun:
        """The run, ready to iterate over. Loads the weights."""
        return TransferRun(self, self.painter(last, weights))

    def estimate(self, painter: TransferPainter) -> Estimate:
        """What the run will take, from a small measured evaluation."""
        return estimate(
            painter.studio.network,
            self.scales,
            device=self.device,
            memory=self.memory,
            extra=extra_bytes(self.request.preset),
        )

    def recipe(self, template: TransferRecipe) -> TransferRecipe:
        """What decides the result, from the style's part of it."""
        return replace(
            template,
            content=Input.of(self.photo),
            init=Input.of(self.init) if self.init else None,
            init_photo=Input.of(self.init_photo) if self.init_photo else None,
            dpi=self.request.printed.dpi,
        )

    @property
    def inputs(self) -> list[Picture]:
        """Photo, paintings and, where it is a file, the initial image and its photo; masks."""
        init = [picture for picture in (self.init, self.init_photo) if picture is not None]
        return [self.photo, *self.style.pictures, *init, *self.style.masks, *self.style.style_masks]

    def snapshot_path(self, step: int) -> Path:
        """Where the picture after so many steps goes: ``out_0020.png`` beside ``out.png``."""
        assert self.output is not None
        digits = max(4, len(str(self.total_steps)))
        return self.output.with_stem(f"{self.output.stem}_{step:0{digits}d}")

    def _check_outputs(self) -> None:
        self._check_different()
        self._check_source_map()
        self._check_animation()
        self._check_preview()
        every = self.request.save_every
        if self.output is None:
            if every:
                raise UsageError("`save_every` needs an output file, not standard output")
            return
        for path in [self.output, *(self._snapshots_there() if every else ())]:
            self._check_output(path, self.request.depth)

    def _snapshots_there(self) -> list[Path]:
        """Files in the places of snapshots, of which there may be millions."""
        assert self.output is not None
        every = self.request.save_every
        last = self.total_steps // every * every
        before = glob.escape(self.output.stem)
        found = [
            path
            for path in self.output.parent.glob(f"{before}_*{glob.escape(self.output.suffix)}")
            if (digits := path.stem.removeprefix(f"{self.output.stem}_")).isdecimal()
            and path == self.snapshot_path(step := int(digits))
            and 0 < step <= last
            and step % every == 0
        ]
        return [self.snapshot_path(last), *sorted(found)] if last else []

    def _check_different(self) -> None:
        """Raise :class:`UsageError` where two results have one name."""
        request = self.request
        taken: dict[Path | None, str] = {self.output: "output"}
        for option, path in (
            ("source_map", request.source_map),
            ("animate", request.animate),
            ("preview", request.preview),
        ):
            if path is not None and taken.setdefault(path, option) != option:
                raise UsageError(f"{path}: `{option}` and `{taken[path]}` are the same file")

    def _check_preview(self) -> None:
        path = self.request.preview
        if path is None:
            return
        if not self.request.force:
            check_preview(path)
        check_output(
            path,
            inputs=[picture.path for picture in self.inputs],
            force=True,
            depth=8,
            size=fit_size(self.size, SIDE),
        )

    def _check_source_map(self) -> None:
        path = self.request.source_map
        if path is None:
            return
        if not self.request.preset.neighbor_weights:
            raise UsageError(
                f"`source_map` shows where neighbors came from, and {self.request.preset_name} "
                "takes none; use `preset` painterly, or `neighbors` 100"
            )
        self._check_output(path, 8, pictures=2)

    def _check_animation(self) -> None:
        path = self.request.animate
        if path is None:
            return
        inputs = [picture.path for picture in self.inputs]
        check_animation(path, inputs=inputs, force=self.request.force)

    def _check_output(self, path: Path, depth: Depth, *, pictures: int = 1) -> None:
        """Of so many pictures side by side."""
        width, height = self.size
        check_output(
            path,
            inputs=[picture.path for picture in self.inputs],
            force=self.request.force,
            depth=depth,
            size=(pictures * width, height),
        )


class TransferRun:
    """A job being carried out: iterate over it to its end, or stop early.

    What was wished for on the way (``save_every``) is saved on the way, and :meth:`turn` changes
    the settings. Raises :class:`OutOfMemoryError` where the run would not fit.
    """

    def __init__(self, job: TransferJob, painter: TransferPainter) -> None:
        self.job = job
        self.painter = painter
        preview = job.request.preview
        self._preview = None if preview is None else Preview(preview)
        self.step_count = 0
        """Steps taken so far, at all scales."""
        self.evaluations = 0
        """Made so far, at all scales."""
        self.turns: list[Turn] = []
        """What was changed so far."""
        self._style = job.style
        self._planned = [*job.request.turns]
        self._template = painter.template
        self._ended = False
        self._transfer = self._started()
        studio = painter.studio
        if studio.tiling(job.size) is None:
            keep_freed_memory()  # which takes more of it where pictures are large
        ensure_memory(
            job.memory,
            studio.network,
            job.size,
            device=job.device,
            extra=extra_bytes(job.request.preset),
        )

    @property
    def scales(self) -> Sequence[Scale]:
        """Those of the run since it was turned last."""
        return self._transfer.scales

    def __iter__(self) -> Iterator[Progress]:
        while not self._ended:
            for progress in steps(self._transfer):
                self.evaluations += 1
                progress = replace(progress, evaluations=self.evaluations)
                self._note(progress)
                yield progress
                if self.evaluations == self.job.request.evaluations:
                    return
                if self._turned():
                    break
            else:
                self._ended = True

    def turn(self, settings: Mapping[str, str | float], weights: Sequence[float] = ()) -> None:
        """Go on from the picture so far with other settings, by dotted name, and weights.

        Raises :class:`UsageError` for what cannot be changed, or not so.
        """
        turn = self._style.difference(Turn(self.evaluations, dict(settings), list(weights)))
        self._planned = [turn] if turn.settings or turn.weights else []

    def _turned(self) -> bool:
        """Whether it was time to go on with other settings."""
        if not self._planned or self._planned[0].evaluations != self.evaluations:
            return False
        turn = self._planned.pop(0)
        self._style = self._style.turned(turn)
        self.painter = self._style.painter(self.job.device, self.job.memory, self.painter)
        self._transfer = self._started(after=self._transfer)
        self.turns.append(turn)
        self._ended = False
        return True

    def _started(self, after: StyleTransfer | None = None) -> StyleTransfer:
        job = self.job
        return self.painter.start(job.photo, init=job.init, init_photo=job.init_photo, after=after)

    def _note(self, progress: Progress) -> None:
        """What is kept of a step beside the picture."""
        self.step_count += progress.step > 0
        self._ended = progress.scale is self.scales[-1] and progress.step == progress.scale.steps
        if self._film is not None and self._film.wants(progress.evaluations - 1):
            self._film.add(progress.iterate.image())
        if self._preview is not None:
            self._preview.show(progress.iterate.image)
        if self._snapshot_is_due(progress):
            self.result().save(self.job.snapshot_path(self.step_count))

    def so_far(self) -> Tensor:
        """The picture so far at the size of its scale, (1, 3, H, W) in [0, 1]."""
        return self._transfer.so_far()

    def result(self) -> Result:
        """The picture so far."""
        request = self.job.request
        made = Result.of(
            self._transfer.image(),
            self._recipe,
            self.job.photo,
            depth=request.depth,
            sources=self._transfer.sources,
        )
        return made.with_only(request.kept).at_resolution(request.printed.dpi)

    @property
    def _recipe(self) -> TransferRecipe:
        """With all that happened."""
        stopped = None if self._ended else self.evaluations
        recipe = self.job.recipe(self._template)
        return replace(recipe, turns=[*self.turns], evaluations=stopped)

    def save_beside(self, result: Result) -> None:
        """Write the source map, the animation and the last preview, where they were wished for."""
        request, sources = self.job.request, result.sources
        if request.source_map is not None and sources is not None:
            paintings = [picture.pixels for picture in self.job.style.pictures]
            save_image(request.source_map, source_map(sources, paintings, result.size))
        if request.animate is not None and self._film is not None:
            self._film.add(result.pixels)
            animation = encode_animation(self._film.frames, request.animate.suffix)
            write_atomically(request.animate, animation)
        if self._preview is not None:
            self._preview.write(result.pixels)
        remove_remains(self._beside())

    def _beside(self) -> Iterator[Path]:
        """Every file that this run may write but for the picture itself."""
        request = self.job.request
        yield from filter(None, (request.source_map, request.animate, request.preview))
        if request.save_every:
            for step in range(request.save_every, self.step_count + 1, request.save_every):
                yield self.job.snapshot_path(step)

    @cached_property
    def _film(self) -> Film | None:
        if self.job.request.animate is None:
            return None
        return Film(self.job.size, self.job.total_steps + len(self.job.scales))

    def _snapshot_is_due(self, progress: Progress) -> bool:
        every = self.job.request.save_every
        return bool(every) and progress.step > 0 and self.step_count % every == 0
