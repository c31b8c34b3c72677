"""What a generator looks like, as presets and model files spell it. Needs no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from styleforge.core.settings import Section, Whole


class TransformerSettings(Section):
    """Johnson et al. 2016: ``width`` filters at full size, twice and four times as many below.

    ``kernel`` is the side of the first and the last kernel. ``output`` is what bounds the
    pastiche: a sigmoid, or a clamp for networks trained elsewhere.
    """

    kind: Literal["transformer"] = "transformer"
    width: Whole = Field(default=32, ge=1, le=512)
    blocks: Whole = Field(default=5, ge=0, le=64)
    kernel: Literal[3, 5, 7, 9] = 9
    output: Literal["sigmoid", "clamp"] = "sigmoid"


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
