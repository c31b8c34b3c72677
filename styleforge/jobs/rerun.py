"""From a recipe back to the request that it was made from, and the job that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from styleforge.core.errors import UsageError
from styleforge.core.files import check_regular, file_sha256
from styleforge.core.settings import validate
from styleforge.films.reading import Span
from styleforge.images.elsewhere import is_elsewhere
from styleforge.images.geometry import Print
from styleforge.images.load import Picture
from styleforge.jobs import dream, reconstruct, texture
from styleforge.jobs.dream import DreamRequest
from styleforge.jobs.look import Look
from styleforge.jobs.recipe import (
    AnyRecipe,
    Input,
    StylizeRecipe,
    SynthesisRecipe,
    TransferRecipe,
    VideoRecipe,
)
from styleforge.jobs.reconstruct import ReconstructRequest
from styleforge.jobs.styles import Painting
from styleforge.jobs.stylize import StylizeJob, StylizeRequest
from styleforge.jobs.synthesis import SynthesisJob
from styleforge.jobs.texture import TextureRequest
from styleforge.jobs.transfer import TransferJob, TransferRequest
from styleforge.jobs.video import VideoJob, VideoRequest
from styleforge.presets.transfer import INITIAL_IMAGES, Preset

AnyRequest = TypeVar("AnyRequest")


@dataclass(frozen=True)
class Again:
    """A picture to be made once more, and where its inputs are now, where that is known.

    Empty ``device``: the one that it was made on.
    """

    picture: Path
    output: str
    content: str | Path | None = None
    styles: Sequence[str | Path] = ()
    init: Path | None = None
    init_photo: Path | None = None
    masks: Sequence[Path] = ()
    style_masks: Sequence[Path] = ()
    keyframes: Sequence[Path] = ()
    model: Path | None = None
    device: str = ""
    force: bool = False

    def __post_init__(self) -> None:
        output = Path(self.output)
        if output.exists() and self.picture.exists() and output.samefile(self.picture):
            raise UsageError(f"{output} is what is made again; choose another output")

    def found_image(self, now: str | Path | None, before: str, option: str) -> str | Path:
        """Also at an address, but only if that is said now."""
        if isinstance(now, str) and is_elsewhere(now):
            return now
        return self.found(now, before, option)

    def found(self, now: str | Path | None, before: str, option: str) -> Path:
        """Raises :class:`UsageError` where an input is in neither place, or at an address.

        Who made the recipe may not choose what is fetched.
        """
        if is_elsewhere(now or before):
            raise UsageError(
                f"{self.picture} was made from {before}; "
                f"name a file with the same in it with `{option}`"
            )
        path = Path(now or before)
        check_regular(path)
        if not path.is_file():
            raise UsageError(
                f"{self.picture} was made from {path}, which is not there; "
                f"say where it is with `{option}`"
            )
        return path

    def all_found(
        self, now: Sequence[str | Path], before: Sequence[Input], option: str
    ) -> list[str | Path]:
        """Raises :class:`UsageError` where one of several inputs is in neither place."""
        if now and len(now) != len(before):
            raise UsageError(
                f"{self.picture} was made with {len(before)} `{option}`, not {len(now)}"
            )
        wanted: Sequence[str | Path | None] = now or [None] * len(before)
        return [
            self.found_image(path, used.path, option)
            for path, used in zip(wanted, before, strict=True)
        ]


def inputs_of(recipe: AnyRecipe) -> list[tuple[str, Input]]:
    """The files that a rerun would open, by the option that says where they are now."""
    if isinstance(recipe, VideoRecipe):
        of_frames = [named for named in inputs_of(recipe.painted) if named[0] != "content"]
        by_hand = [("keyframe", one.picture) for one in recipe.keyframes]
        return [("content", recipe.film), *of_frames, *by_hand]
    if isinstance(recipe, SynthesisRecipe):
        return [("model" if n == "model" else "content", i) for n, i in recipe.inputs.items()]
    if isinstance(recipe, StylizeRecipe):
        named = [("model", recipe.model), ("content", recipe.content)]
        return [*named, *(("mask", mask) for mask in recipe.masks)]
    single = [("init", recipe.init), ("init_photo", recipe.init_photo)]
    return [
        ("content", recipe.content),
        *(("style", style) for style in recipe.styles),
        *((option, one) for option, one in single if one is not None),
        *(("mask", mask) for mask in recipe.masks),
        *(("style_mask", mask) for mask in recipe.style_masks),
    ]


def weights_file(recipe: AnyRecipe) -> Input | None:
    """The file of VGG-19's weights that a rerun would read, where the recipe names one."""
    if isinstance(recipe, VideoRecipe):
        return weights_file(recipe.painted)
    if not isinstance(recipe, TransferRecipe):
        return None
    named = recipe.settings.get("network", {}).get("weights", "auto")
    known = ("auto", "original", "torchvision")
    return None if named in known else Input(str(named), recipe.weights.get("sha256", ""))


def transfer_again(recipe: TransferRecipe, again: Again) -> TransferJob:
    """Raises :class:`UsageError` where an input is not there, or another one than it was."""
    photo = again.found_image(again.content, recipe.content.path, "content")
    paths = again.all_found(again.styles, recipe.styles, "style")
    paintings = [
        Painting(path, used.weight, tuple(used.layers))
        for path, used in zip(paths, recipe.styles, strict=True)
    ]
    settings = dict(recipe.settings)
    if not recipe.init and settings.get("init", "content") not in INITIAL_IMAGES:
        raise UsageError(f"{again.picture} holds a recipe whose init has no hash")
    if recipe.init:
        settings["init"] = str(again.found(again.init, recipe.init.path, "init"))
    before = recipe.init_photo
    request = TransferRequest(
        photo=photo,
        paintings=paintings,
        init_photo=again.found(again.init_photo, before.path, "init_photo") if before else None,
        preset_name=recipe.preset,
        preset=validate(Preset, settings, str(again.picture)),
        masks=again.all_found(again.masks, recipe.masks, "mask"),
        style_masks=again.all_found(again.style_masks, recipe.style_masks, "style_mask"),
        output=again.output,
        device=again.device or recipe.device,
        precision=recipe.precision,
        depth=recipe.depth,
        printed=Print(dpi=recipe.dpi),
        turns=recipe.turns,
        evaluations=recipe.evaluations,
        weights_sha256=recipe.weights.get("sha256", ""),
        force=again.force,
    )
    job = TransferJob.prepare(request)
    _check_same(job.inputs, inputs_of(recipe))
    return job


def stylize_again(recipe: StylizeRecipe, again: Again) -> StylizeJob:
    """Raises :class:`UsageError` where an input is not there, or another one than it was."""
    request = StylizeRequest(
        photo=again.found_image(again.content, recipe.content.path, "content"),
        styles=recipe.styles,
        model=str(again.found(again.model, recipe.model.path, "model")),
        output=again.output,
        look=Look(recipe.size, recipe.strength, recipe.colors, recipe.seed, recipe.depth),
        masks=again.all_found(again.masks, recipe.masks, "mask"),
        device=again.device or recipe.device,
        printed=Print(dpi=recipe.dpi),
        force=again.force,
        model_sha256=recipe.model.sha256,
    )
    job = StylizeJob.prepare(request)
    _check_same(job.inputs, inputs_of(recipe)[1:])  # the model's hash was checked as it was loaded
    return job


def video_again(recipe: VideoRecipe, again: Again) -> VideoJob:
    """Raises :class:`UsageError` where an input is not there, or another one than it was."""
    film = again.found(again.content, recipe.film.path, "content")
    by_hand = [one.picture for one in recipe.keyframes]
    pictures = again.all_found(again.keyframes, by_hand, "keyframe")
    numbers = [one.number for one in recipe.keyframes]
    request = VideoRequest(
        film=film,
        keyframes=[(n, Path(path)) for n, path in zip(numbers, pictures, strict=True)],
        output=again.output,
        span=Span(recipe.start, recipe.stop),
        codec=recipe.codec,
        crf=recipe.crf,
        sound=recipe.sound,
        steadiness=recipe.steady,
        device=again.device or recipe.device,
        force=again.force,
        wanted=recipe.size,
    )
    job = VideoJob.prepare(_in_style(request, recipe.painted, again))
    _check_sha256(job.recipe.film.sha256, recipe.film, film, "content")
    _check_painted(job.recipe.painted, recipe.painted)
    for one, used in zip(job.keyframes, by_hand, strict=True):
        _check_sha256(one.picture.sha256, used, one.picture.path, "keyframe")
    return job


def _in_style(
    request: VideoRequest, painted: TransferRecipe | StylizeRecipe, again: Again
) -> VideoRequest:
    """What was painted after, once more."""
    if isinstance(painted, StylizeRecipe):
        look = Look(0, painted.strength, painted.colors, painted.seed)
        model = str(again.found(again.model, painted.model.path, "model"))
        return replace(request, styles=painted.styles, model=model, look=look)
    paths = again.all_found(again.styles, painted.styles, "style")
    paintings = [
        Painting(path, used.weight, tuple(used.layers))
        for path, used in zip(paths, painted.styles, strict=True)
    ]
    preset = validate(Preset, painted.settings, str(again.picture))
    return replace(
        request,
        paintings=paintings,
        preset_name=painted.preset,
        preset=preset,
        precision=painted.precision,
    )


def _check_painted(
    now: TransferRecipe | StylizeRecipe, before: TransferRecipe | StylizeRecipe
) -> None:
    """Raise :class:`UsageError` where a painting or the network is not the one that it was."""
    for (option, used), (_, expected) in zip(inputs_of(now), inputs_of(before), strict=True):
        _check_sha256(used.sha256, expected, used.path, option)


def synthesis_again(recipe: SynthesisRecipe, again: Again) -> SynthesisJob:
    """Raises :class:`UsageError` where an input is not there, or another one than it was."""
    prepare: Mapping[str, Callable[[dict[str, Any]], SynthesisJob]] = {
        "texture": lambda fields: texture.prepare(_valid(TextureRequest, fields, again)),
        "dream": lambda fields: dream.prepare(_valid(DreamRequest, fields, again)),
        "reconstruct content": partial(_reconstruct, "content", again),
        "reconstruct style": partial(_reconstruct, "style", again),
    }
    if recipe.command not in prepare:
        raise UsageError(f"{again.picture} was made by a newer styleforge; upgrade to repeat it")
    fields = {
        **_same_inputs(recipe, again),
        **recipe.options,
        "output": again.output,
        "device": again.device or recipe.device,
        "force": again.force,
    }
    return prepare[recipe.command](fields)


def _reconstruct(of: str, again: Again, fields: dict[str, Any]) -> SynthesisJob:
    """Recipes name the only layer of a photo, and all of a painting."""
    layer = fields.pop("layer", None) or []
    fields["layers"] = [layer] if isinstance(layer, str) else layer
    return reconstruct.prepare(_valid(ReconstructRequest, {"of": of, **fields}, again))


def _valid(kind: type[AnyRequest], fields: dict[str, Any], again: Again) -> AnyRequest:
    """A request from a recipe's options. Raises :class:`UsageError` for what it cannot have."""
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        places = (item["loc"] for item in error.errors())  # of a key that is no Unicode: none
        wrong = ", ".join(str(place[0]) if place else "keys" for place in places)
        raise UsageError(
            f"{again.picture} holds a recipe whose {wrong} cannot be understood"
        ) from None


def _same_inputs(recipe: SynthesisRecipe, again: Again) -> dict[str, str]:
    """The request's fields that are files. Raises :class:`UsageError` for other files."""
    found = {}
    for name, used in recipe.inputs.items():
        now, option = (again.model, "model") if name == "model" else (again.content, "content")
        path = again.found(now, used.path, option)
        _check_sha256(file_sha256(path), used, path, option)
        found[name] = str(path)
    return found


def _check_same(used: Sequence[Picture], expected: Sequence[tuple[str, Input]]) -> None:
    """Raise :class:`UsageError` where a file is not a recipe's; those are listed by option."""
    for picture, (option, one) in zip(used, expected, strict=True):
        _check_sha256(picture.sha256, one, picture.name, option)


def _check_sha256(found: str, expected: Input, path: Path | str | None, option: str) -> None:
    if found != expected.sha256:
        raise UsageError(
            f"{path} is not the file the picture was made from (its SHA-256 differs); "
            f"name the right one with `{option}`"
        )
