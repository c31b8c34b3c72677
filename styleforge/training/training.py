"""A whole training: from photographs, styles and a preset to the best model, resumable."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, Field, TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader

from styleforge.core.devices import Precision
from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.images.contact_sheet import sheet
from styleforge.networks.model_file import Model
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import TransformerNetwork, one_style
from styleforge.optimize.evaluation import LossValues
from styleforge.presets.networks import GeneratorSettings
from styleforge.presets.training import TrainingPreset
from styleforge.training.distributed import Processes, check_batch
from styleforge.training.objective import BatchObjective
from styleforge.training.photographs import Batches, Crops, Photographs, central_crop, stacked
from styleforge.training.start import start_as_nearest
from styleforge.training.trainer import Trainer
from styleforge.transfers.estimate import available_memory, bytes_per_pixel, working_memory
from styleforge.transfers.loss_network import loss_network
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights

_GENERATOR_BYTES = 4000
"""Of a generator's forward and backward pass, per pixel (measured: 3800 of those that ship)."""

_CONTENTS = "contents of the photographs"
_START_PHOTOS = 3
_SHEET_PHOTOS = 3
_SHEET_SIDE = 256

Batch = tuple[Tensor | None, list[int], int]
"""Photos (B, 3, H, W), their sample numbers, and files passed over; no photos for textures."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands after a step. ``validation`` is there every so many steps."""

    step: int
    loss: LossValues
    validation: LossValues | None
    is_best: bool
    unreadable: int
    note: str


class _State(BaseModel, strict=True):
    """The types of what a training goes on from; the trainer checks its own."""

    made_from: dict[str, Any]
    trainer: dict[str, Any]
    best: float = Field(ge=float("-inf"))  # not NaN, which nothing would be less than
    seconds: float = Field(ge=0, allow_inf_nan=False)


class Training:
    """Iterate over it to its end, or stop early; ``state()`` goes on later where it was.

    ``styles`` are images (1, 3, H, W) in [0, 1], one for each of the model's, ``sizes`` their
    longest sides in pixels where they are not the preset's, or 0. ``photographs`` are
    None for textures. The model's network is trained in place; those of its styles that are
    trained begin as the most alike of ``known``, a network of the same layers, where there is one.
    """

    def __init__(
        self,
        model: Model,
        styles: Sequence[Tensor],
        photographs: Photographs | None,
        preset: TrainingPreset,
        *,
        weights: Weights,
        device: torch.device,
        sizes: Sequence[int] = (),
        first_style: int | None = None,
        known: TransformerNetwork | None = None,
        workers: int = 0,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes()
        check_batch(preset.training.batch, processes)
        self.model = model
        self.preset = preset
        self.best = float("inf")
        self.seconds = 0.0
        self._first_style = first_style
        self._photographs = photographs
        self._processes = processes
        self._workers = workers
        precision: Precision = "bf16" if device.type == "cuda" else "float32"
        network = loss_network(weights, preset, precision=precision).to(device)
        check_memory(network, preset, device=device, memory=available_memory(device))
        self._crops = self._validation_crops()
        self._sizes = [*sizes] or [0] * len(styles)
        self._device = device
        objective = BatchObjective(network, styles, preset, self._sizes)
        generator = model.network.to(device).to(memory_format=torch.channels_last)
        if preset.underpainting:
            assert isinstance(generator, TransformerNetwork)
            assert generator.underpainting is not None
            for style in range(first_style or 0, len(styles)):
                generator.underpainting.learn(style, styles[style].to(device))
        if known is not None:
            assert isinstance(generator, TransformerNetwork)
            photos = self._crops[:_START_PHOTOS].to(device)
            start_as_nearest(generator, first_style or 0, known.to(device), objective, photos)
        self.trainer = Trainer(
            generator,
            objective,
            preset,
            styles=len(model.info.styles),
            first_style=first_style,
            processes=processes,
        )

    def __iter__(self) -> Iterator[TrainingProgress]:
        started = time.perf_counter() - self.seconds
        steps = self.preset.training.steps
        while self.trainer.step_count < steps:
            for photos, numbers, unreadable in self._batches(self.trainer.step_count):
                expected = self.trainer.step_count + 1
                loss = self.trainer.step(photos, numbers)
                went_back = self.trainer.step_count != expected
                self.seconds = time.perf_counter() - started
                yield self._progress(loss, unreadable, went_back=went_back)
                if went_back:
                    break

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as plain values and tensors."""
        return {
            "made_from": self._made_from(),
            "trainer": self.trainer.state(),
            "best": self.best,
            "seconds": self.seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`. Raises :class:`UsageError` if it is of another training.

        Raises RuntimeError, ValueError and the like if it is damaged.
        """
        _State.model_validate(state)
        now = self._made_from()
        before = {_CONTENTS: now[_CONTENTS], **_as_now(state["made_from"])}  # old ones have none
        changed = [name for name, value in now.items() if before.get(name) != value]
        if "photographs" in changed and _CONTENTS in changed:
            changed.remove(_CONTENTS)
        if changed:
            raise UsageError(
                f"the checkpoint was made with other {' and '.join(changed)}; "
                "resume with the same, or start anew with `force`"
            )
        self.trainer.load_state(state["trainer"])
        self.best = state["best"]
        self.seconds = state["seconds"]

    def network(self) -> nn.Module:
        """What has been learned so far: the averaged network."""
        return copy.deepcopy(self.trainer.average)

    def sheet(self, network: nn.Module) -> Tensor:
        """Validation photos in all styles, or some textures, by a network."""
        device = self._device
        names = [style.name for style in self.model.info.styles]
        with torch.no_grad():
            if isinstance(network, TextureNetwork):
                return sheet([self._textures(network, device)], cell=_SHEET_SIDE)
            photos = [photo[None] for photo in self._crops[:_SHEET_PHOTOS]]
            rows = [
                [
                    photo,
                    *(
                        network(photo.to(device), one_style(i, len(names)).to(device))
                        for i in range(len(names))
                    ),
                ]
                for photo in photos
            ]
        return sheet(rows, cell=_SHEET_SIDE, columns=["photo", *names])

    def _textures(self, network: TextureNetwork, device: torch.device) -> list[Tensor]:
        side = self.preset.training.crop
        pictures = []
        for seed in range(_SHEET_PHOTOS):
            noise = network.noise((side, side), torch.Generator().manual_seed(seed))
            photo = self._crops[seed % len(self._crops)][None] if len(self._crops) else None
            image = None if photo is None else photo.to(device)
            pictures.append(network([z.to(device) for z in noise], image))
        return pictures

    def _progress(self, loss: LossValues, unreadable: int, *, went_back: bool) -> TrainingProgress:
        step, schedule = self.trainer.step_count, self.preset.training
        if went_back:
            note = f"the loss was not finite: went back to step {step}, half the learning rate"
            return TrainingProgress(step, loss, None, False, unreadable, note)
        validation, is_best = None, False
        if step % schedule.validate_every == 0 or step == schedule.steps:
            validation = self._validate()
            is_best = validation.total < self.best
            self.best = min(self.best, validation.total)
            self.trainer.mark_good()
        return TrainingProgress(step, loss, validation, is_best, unreadable, "")

    def _validate(self) -> LossValues:
        """Mean loss over all validation photos and all styles, or as many textures."""
        batch = self.preset.training.batch
        photographs = len(self._crops)
        count = max(photographs, len(self.model.info.styles)) if photographs else batch
        losses = []
        for start in range(0, count, batch):
            numbers = list(range(start, min(start + batch, count)))
            photos = self._crops[[n % photographs for n in numbers]] if photographs else None
            losses.append((len(numbers), self.trainer.validate(photos, numbers)))
        terms = zip(*([n / count * term for term in loss] for n, loss in losses), strict=True)
        return LossValues(*map(sum, terms))

    def _validation_crops(self) -> Tensor:
        if self._photographs is None:
            return torch.empty(0)
        crop = self.preset.training.crop
        crops = []
        for path in self._photographs.validation:
            try:
                crops.append(central_crop(path, crop))
            except Exception:
                continue
        if not crops:
            raise UsageError("none of the photographs kept for validation can be read")
        return torch.stack(crops)

    def _batches(self, first: int) -> Iterator[Batch]:
        schedule, processes = self.preset.training, self._processes
        numbers = Batches(
            range(first, schedule.steps),
            schedule.batch,
            rank=processes.rank,
            processes=processes.count,
        )
        if self._photographs is None:
            return ((None, batch, 0) for batch in numbers)
        crops = Crops(self._photographs.training, crop=schedule.crop, seed=self.preset.seed)
        return iter(
            DataLoader(crops, batch_sampler=numbers, num_workers=self._workers, collate_fn=stacked)
        )

    def _made_from(self) -> dict[str, Any]:
        """What must be the same when a training is resumed."""
        photographs, generator = self._photographs, self.model.info.generator.model_dump()
        settings = self.preset.model_dump(exclude={"description"})
        return {
            "settings": {**settings, "generator": generator, "first_style": self._first_style},
            "styles": [
                f"{style.sha256}@{size}" if size else style.sha256
                for style, size in zip(self.model.info.styles, self._sizes, strict=True)
            ],
            "photographs": "" if photographs is None else photographs.fingerprint,
            _CONTENTS: "" if photographs is None else photographs.contents,
        }


def check_memory(
    network: VGG19, preset: TrainingPreset, *, device: torch.device, memory: int
) -> None:
    """Raise :class:`OutOfMemoryError`, with a crop that fits, where a step's batch would not."""
    batch, crop = preset.training.batch, preset.training.crop
    a_pixel = bytes_per_pixel(network) + _GENERATOR_BYTES
    there = working_memory(memory, device)
    needed = batch * crop**2 * a_pixel
    if needed <= there:
        return
    fitting = math.isqrt(int(there / a_pixel / batch)) // 32 * 32
    advice = f"try `crop` {fitting}" if fitting else "use a smaller `batch`"
    raise OutOfMemoryError(
        f"{batch} crops of {crop} x {crop} pixels need about {needed / 2**30:.1f} GiB of memory "
        f"and {there / 2**30:.1f} GiB are there; {advice}"
    )


def _as_now(made_from: dict[str, Any]) -> dict[str, Any]:
    """Settings that there were not yet when the checkpoint was made were what is the default."""
    settings = made_from["settings"]
    own = ("generator", "first_style")  # a preset need not have the former, and has not the latter
    known = {name: x for name, x in settings.items() if name not in own}
    filled = TrainingPreset.model_validate(known).model_dump(exclude={"description", *own})
    generator = TypeAdapter(GeneratorSettings).validate_python(settings["generator"]).model_dump()
    return {**made_from, "settings": {**settings, **filled, "generator": generator}}
