"""What a generator looks like, as presets and model files spell it. Needs no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from styleforge.core.settings import Section, Whole

_Filters = Annotated[Whole, Field(ge=1, le=2048)]


class TransformerSettings(Section):
    """Johnson et al. 2016: ``width`` filters at full size, twice and four times as many below.

    ``kernel`` is the side of the first and the last kernel. ``output`` is what bounds the
    pastiche: a sigmoid, or a clamp for networks trained elsewhere. ``filters``, where a network
    has others, are those of the three convolutions on the way down and the two on the way up;
    ``normalized_output``: the last convolution is followed by an instance normalisation, too.
    ``underpainting``: pastiches have broad colors of photo and painting, for styles that say so.
    """

    kind: Literal["transformer"] = "transformer"
    width: Whole = Field(default=32, ge=1, le=512)
    blocks: Whole = Field(default=5, ge=0, le=64)
    kernel: Literal[3, 5, 7, 9] = 9
    output: Literal["sigmoid", "clamp"] = "sigmoid"
    filters: Annotated[list[_Filters], Field(min_length=5, max_length=5)] | None = None
    normalized_output: bool = False
    underpainting: bool = False

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if self.filters and "width" in self.model_fields_set and self.width != self.filters[0]:
            raise ValueError(
                f"width {self.width} is not the first of filters ({self.filters[0]}); "
                "leave one of them out"
            )
        return self

    @property
    def down(self) -> tuple[int, int, int]:
        """Filters of the convolutions at full size, half of it and a quarter."""
        first, second, third = (self.filters or [self.width, 2 * self.width, 4 * self.width])[:3]
        return first, second, third

    @property
    def up(self) -> tuple[int, int]:
        """Filters of the convolutions back at half the size and at full size."""
        half, full = self.filters[3:] if self.filters else (2 * self.width, self.width)
        return half, full


class TextureSettings(Section):
    """Ulyanov et al. 2016: noise at ``scales`` sizes, ``width`` filters for each.

    ``content``: the image pyramid joins the noise, for stylisation; without, the network makes
    textures and its padding is circular, so that they tile.
    """

    kind: Literal["texture"] = "texture"
    scales: Whole = Field(default=5, ge=1, le=8)
    width: Whole = Field(default=8, ge=1, le=128)
    content: bool = False
    normalization: Literal["instance", "batch"] = "batch"


GeneratorSettings = Annotated[TransformerSettings | TextureSettings, Field(discriminator="kind")]
