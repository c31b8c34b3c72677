"""Presets of a training: the same losses as a transfer's, a generator, and a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from styleforge.core.settings import Number, Section, Whole
from styleforge.presets.networks import GeneratorSettings, TextureSettings, TransformerSettings
from styleforge.presets.transfer import (
    Losses,
    StyleLayers,
    TrainingStatisticName,
    find_preset,
    read_preset,
    shipped_presets,
)

FOLDER = "presets/training"
DEFAULT_TRAINING_PRESET = "quick"
LEAST_STYLE, LARGEST_STYLE = 32, 8192
"""Pixels of a painting's longest side."""


class TrainingStyle(StyleLayers):
    """``size``: the style image's longest side in pixels, which decides how large strokes are.

    ``statistic`` is what of a layer's features is matched.
    """

    size: Whole = Field(default=256, ge=LEAST_STYLE, le=LARGEST_STYLE)
    statistic: TrainingStatisticName = "gram"


STABLE_CROP = 64
"""Least side of a crop of which moved windows are compared."""


class Schedule(Section):
    """Steps of Adam, each on a batch of crops of so many pixels a side.

    The learning rate rises over ``warm_up`` steps and falls to zero by a cosine. ``average`` is
    the decay of the running mean of the weights, which is what is kept. For the first
    ``identity`` steps the network learns to give photos back, by their pixels: these steps need no
    VGG, and what is then trained to paint has not to find the content first. What belongs to
    single styles, scales and shifts, learns ``style_rate`` times as fast as all else.
    ``stability`` weighs that a moved photo is painted as the photo is, which films want.
    """

    steps: Whole = Field(default=10000, ge=1)
    batch: Whole = Field(default=4, ge=1)
    crop: Whole = Field(default=256, ge=32, le=4096)
    learning_rate: Number = Field(default=1e-3, gt=0, allow_inf_nan=False)
    style_rate: Number = Field(default=1.0, gt=0, allow_inf_nan=False)
    warm_up: Whole = Field(default=100, ge=0)
    average: Number = Field(default=0.998, ge=0, lt=1)
    identity: Whole = Field(default=0, ge=0)
    stability: Number = Field(default=0.0, ge=0, allow_inf_nan=False)
    validate_every: Whole = Field(default=250, ge=1)


class TrainingPreset(Losses):
    """All settings of a training.

    ``base`` names a model whose weights the training begins with, instead of random ones; its
    generator counts. ``underpainting``: the network's pictures have the photo's areas in the
    painting's colors, and of the network's own the detail.
    """

    base: str = ""
    underpainting: bool = False
    style: TrainingStyle = TrainingStyle()
    generator: GeneratorSettings = TransformerSettings()
    training: Schedule = Schedule()

    @model_validator(mode="after")
    def _either_base_or_generator(self) -> Self:
        if self.base and self.generator != TransformerSettings():
            raise ValueError(f"base: {self.base} has a generator of its own; leave one of them out")
        return self

    @model_validator(mode="after")
    def _stability_sees_enough(self) -> Self:
        training = self.training
        if training.stability and not isinstance(self.generator, TransformerSettings):
            raise ValueError("training.stability: is of transformer networks; leave it out")
        if training.stability and training.crop < STABLE_CROP:
            raise ValueError(f"training.crop: {STABLE_CROP} or more, with training.stability")
        return self

    @model_validator(mode="after")
    def _painted_over(self) -> Self:
        if self.underpainting and isinstance(self.generator, TextureSettings):
            raise ValueError("underpainting: is of transformer networks; leave it out")
        if isinstance(self.generator, TransformerSettings) and self.generator.underpainting:
            raise ValueError("generator.underpainting: say it outside of generator")
        if self.underpainting and self.training.identity:
            raise ValueError("training.identity: 0 with underpainting, which gives no photo back")
        return self

    @model_validator(mode="after")
    def _more_than_photos(self) -> Self:
        steps, identity = self.training.steps, self.training.identity
        if steps <= identity:
            raise ValueError(
                f"training.steps: the first {identity} only learn to give photos back, so that "
                f"{steps} would paint nothing; take more, or less of training.identity"
            )
        return self

    @model_validator(mode="after")
    def _something_to_see_at_every_scale(self) -> Self:
        if isinstance(self.generator, TextureSettings):
            scales, crop = self.generator.scales, self.training.crop
            if crop < 2**scales:
                raise ValueError(
                    f"training.crop: {scales} scales need at least {2**scales} pixels (not {crop})"
                )
        return self


def training_presets() -> list[str]:
    """Names of the training presets that ship."""
    return shipped_presets(FOLDER)


def load_training_preset(name: str, overrides: Mapping[str, Any] | None = None) -> TrainingPreset:
    """A shipped training preset by name, or any by path. Raises :class:`UsageError`."""
    return read_preset(TrainingPreset, find_preset(name, FOLDER), overrides)
