"""What Python programs call: the commands as functions, for files and for what is in memory.

Wherever a picture is expected, it is a path, a Pillow image, an array or a tensor
(:func:`styleforge.images.load.as_picture`). Devices are named as on the command line; ``auto`` is
the GPU if there is one. Mistakes raise :class:`StyleforgeError`, which says what was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from styleforge.batches.engines import Engine
from styleforge.batches.film import VideoOutcome, carry_out
from styleforge.batches.job import BatchJob, BatchRequest
from styleforge.batches.work import Outcome
from styleforge.core.errors import UsageError
from styleforge.core.files import STDOUT
from styleforge.films.reading import Span
from styleforge.films.steady import STEADINESS
from styleforge.images.geometry import Size
from styleforge.images.load import Picture, as_picture
from styleforge.jobs import texture as texture_job
from styleforge.jobs.look import Look
from styleforge.jobs.result import Result
from styleforge.jobs.spelling import painting
from styleforge.jobs.styles import Painting
from styleforge.jobs.stylize import StylizeJob, StylizeRequest
from styleforge.jobs.texture import TextureRequest
from styleforge.jobs.transfer import TransferJob, TransferRequest, TransferRun
from styleforge.jobs.video import VideoJob, VideoRequest
from styleforge.presets.training import DEFAULT_TRAINING_PRESET, load_training_preset
from styleforge.presets.transfer import DEFAULT_PRESET, load_preset, settings_by_key
from styleforge.training import job as training_job

AnyImage = str | Path | Picture | Image.Image | np.ndarray[Any, Any] | Tensor
Paintings = AnyImage | Painting | Sequence[AnyImage | Painting | tuple[AnyImage, float]]
"""One painting or several, which may have weights; a path may say it: ``a.jpg:0.7``."""


def transfer(
    photo: AnyImage,
    paintings: Paintings,
    *,
    preset: str = DEFAULT_PRESET,
    masks: Sequence[AnyImage] = (),
    style_masks: Sequence[AnyImage] = (),
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    memory: int | None = None,
    **options: Any,
) -> Result:
    """Repaint a photo in the style of one or more paintings, by optimisation.

    ``options`` are named as on the command line (``size=512``, ``steps=30``, ``strength=0.7``,
    ``colors="keep"``, ...); ``settings`` are any others of the preset, by dotted name. ``memory``
    is the bytes that the run may take. Raises :class:`StyleforgeError`.

    >>> result = styleforge.transfer("photo.jpg", "painting.jpg", preset="preview", size=64)
    >>> result.save("out.png")
    >>> result.size
    (64, 43)
    """
    run = transfer_steps(
        photo,
        paintings,
        preset=preset,
        masks=masks,
        style_masks=style_masks,
        settings=settings,
        device=device,
        precision=precision,
        memory=memory,
        **options,
    )
    for _ in run:
        pass
    return run.result()


def transfer_steps(
    photo: AnyImage,
    paintings: Paintings,
    *,
    preset: str = DEFAULT_PRESET,
    masks: Sequence[AnyImage] = (),
    style_masks: Sequence[AnyImage] = (),
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    memory: int | None = None,
    **options: Any,
) -> TransferRun:
    """As :func:`transfer`, step by step: iterate over it, and stop whenever you like.

    >>> run = styleforge.transfer_steps("photo.jpg", "painting.jpg", preset="preview", size=64)
    >>> for progress in run:
    ...     if progress.step == 2:
    ...         break
    >>> run.result().size
    (64, 43)
    """
    request = TransferRequest(
        photo=as_picture(photo),
        paintings=_paintings(paintings),
        preset_name=preset,
        preset=load_preset(preset, {**(settings or {}), **settings_by_key(options)}),
        masks=[as_picture(mask) for mask in masks],
        style_masks=[as_picture(mask) for mask in style_masks],
        output=STDOUT,
        device=device,
        precision=precision,
        memory=memory,
    )
    return TransferJob.prepare(request).start()


def stylize(
    photo: AnyImage,
    style: str | Mapping[str, float] = "",
    *,
    model: str | Path | None = None,
    size: int = 0,
    strength: float = 1.0,
    colors: str = "style",
    masks: Sequence[AnyImage] = (),
    seed: int = 0,
    device: str = "auto",
    memory: int | None = None,
) -> Result:
    """Repaint a photo by a trained network, in one pass.

    ``style`` is one that the model carries, or several with weights; empty: its first. No
    ``model``: the one that carries the style, or that ships. Raises :class:`StyleforgeError`.

    >>> styleforge.stylize("photo.jpg", "mosaic", size=64).save("mosaic.png")
    """
    styles = {style: 1.0} if isinstance(style, str) and style else dict(style or {})
    request = StylizeRequest(
        photo=as_picture(photo),
        styles=styles,
        model=None if model is None else str(model),
        output=STDOUT,
        look=Look(size, strength, colors, seed),
        masks=[as_picture(mask) for mask in masks],
        device=device,
        memory=memory,
    )
    return StylizeJob.prepare(request).result()


def texture(
    style: str | Path = "",
    *,
    model: str | Path | None = None,
    size: int | Size = 512,
    tile: bool = False,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Result:
    """As much of a texture as one likes, from a painting's file or a network trained on it.

    >>> styleforge.texture("painting.jpg", size=64, steps=2).size
    (64, 64)
    """
    request = TextureRequest(
        style=str(style),
        model=None if model is None else str(model),
        size=(size, size) if isinstance(size, int) else size,
        tile=tile,
        steps=steps,
        seed=seed,
        output=Path(STDOUT),
        device=device,
    )
    job = texture_job.prepare(request)
    for _ in job:
        pass
    return job.result()


def train(
    paintings: str | Path | Sequence[str | Path],
    *,
    output: str | Path,
    data: str | Path | None = None,
    preset: str = DEFAULT_TRAINING_PRESET,
    settings: Mapping[str, Any] | None = None,
    add_to: str | None = None,
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    listener: training_job.Listener | None = None,
) -> training_job.TrainingOutcome | None:
    """Train a network that repaints any photo in one pass; a folder beside it keeps what it learns.

    ``paintings`` are files, which may be named, ``cafe=a.jpg``, and sized, ``a.jpg@768``, for
    larger strokes. ``data`` is a folder of
    photographs. ``settings`` are of the preset, by dotted name. ``listener`` hears how it goes on.
    The result is None in all but the first of several processes.

    >>> small = {"training.steps": 1, "training.crop": 32, "training.batch": 1, "style.size": 64}
    >>> done = styleforge.train(
    ...     "painting.jpg", data="photos", output="mine.safetensors", settings=small
    ... )
    >>> done.steps
    1
    """
    several = [paintings] if isinstance(paintings, str | Path) else paintings
    request = training_job.TrainingRequest(
        styles=[training_job.Lesson.of(str(one)) for one in several],
        data=None if data is None else Path(data),
        output=Path(output),
        preset_name=preset,
        preset=load_training_preset(preset, settings),
        add_to=add_to,
        device=device,
        resume=resume,
        force=force,
    )
    return training_job.run(request, listener)


def video(
    film: str | Path,
    paintings: Paintings = (),
    style: str | Mapping[str, float] = "",
    *,
    output: str | Path,
    model: str | Path | None = None,
    start: float = 0.0,
    stop: float | None = None,
    preset: str = DEFAULT_PRESET,
    settings: Mapping[str, Any] | None = None,
    codec: str = "",
    crf: int | None = None,
    sound: bool = True,
    steady: float = STEADINESS,
    keyframes: Mapping[int | float, str | Path] | None = None,
    workers: int = 1,
    device: str = "auto",
    memory: int | None = None,
    force: bool = False,
    **options: Any,
) -> VideoOutcome:
    """Repaint a film without flicker, with its sound, after paintings or by a trained network.

    ``start`` and ``stop`` are seconds. ``keyframes`` are pictures of frames painted by hand, by
    number (an int) or second (a float) of what is painted. ``options`` are named as on the command
    line (``size``, ``strength``, ``colors``; for paintings ``steps``, too). What is there already,
    made in just this way, is left; a run that was killed goes on. So many ``workers`` paint shots
    side by side. Raises :class:`StyleforgeError`.

    >>> styleforge.video("clip.mp4", style="mosaic", output="painted.mp4", size=48).frames
    3
    """
    look = {key: options[key] for key in ("size", "strength", "colors") if key in options}
    request = VideoRequest(
        film=Path(film),
        paintings=[]
        if isinstance(paintings, tuple | list) and not paintings
        else _paintings(paintings),
        styles={style: 1.0} if isinstance(style, str) and style else dict(style or {}),
        model=None if model is None else str(model),
        preset_name=preset,
        preset=load_preset(preset, {**(settings or {}), **settings_by_key(options)}),
        look=Look(**look),
        output=str(output),
        span=Span(start, stop),
        codec=codec,
        crf=crf,
        sound=sound,
        keyframes=[(at, Path(path)) for at, path in (keyframes or {}).items()],
        steadiness=steady,
        device=device,
        memory=memory,
        force=force,
    )
    return carry_out(VideoJob.prepare(request), Engine(workers=workers))


def batch(
    inputs: str | Path | Sequence[str | Path],
    styles: str | Path | Sequence[str | Path],
    *,
    output: str | Path,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    size: int | None = None,
    strength: float | None = None,
    colors: str | None = None,
    recursive: bool = False,
    sequence: bool = False,
    device: str = "auto",
    memory: int | None = None,
    force: bool = False,
) -> list[Outcome]:
    """Repaint photos, folders and patterns; what is finished already is skipped.

    ``styles`` are paintings' files or names of trained styles; every photo is painted in each. A
    photo that fails is an outcome that says why, and the others go on.

    >>> [done.status for done in styleforge.batch("photos", "mosaic", output="out", size=48)]
    ['done', 'done']
    """
    request = BatchRequest(
        inputs=_texts(inputs),
        output=Path(output),
        styles=_texts(styles),
        preset_name=preset,
        settings=settings or {},
        size=size,
        strength=strength,
        colors=colors,
        recursive=recursive,
        sequence=sequence,
        device=device,
        memory=memory,
        force=force,
    )
    return list(BatchJob.prepare(request).run())


def _texts(values: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(values)] if isinstance(values, str | Path) else [str(value) for value in values]


def _paintings(paintings: Paintings) -> list[Painting]:
    """Raises :class:`UsageError` where there are none, or what is no image."""
    several: Any = paintings if isinstance(paintings, list | tuple) else [paintings]
    if not several:
        raise UsageError("name a painting, or several")
    return [_painting(one) for one in several]


def _painting(one: AnyImage | Painting | tuple[AnyImage, float]) -> Painting:
    if isinstance(one, Painting):
        return one
    if isinstance(one, str):
        return painting(one)
    if isinstance(one, tuple):
        image, weight = one
        return Painting(as_picture(image), weight)
    return Painting(one if isinstance(one, Path) else as_picture(one))
