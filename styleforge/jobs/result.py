"""A picture that was made, with all that goes into its file. The only place that saves one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from styleforge.images.exif import with_resolution
from styleforge.images.geometry import Size, resize, size_of
from styleforge.images.load import Picture
from styleforge.images.save import Depth, check_output, encode_image, save_image, to_levels
from styleforge.jobs.recipe import AnyRecipe
from styleforge.transfers.matching import Sources


@dataclass(frozen=True)
class Kept:
    """What a file tells beside its pixels: how they were made, and the photo's EXIF."""

    recipe: bool = True
    metadata: bool = True


EVERYTHING = Kept()


@dataclass(frozen=True, repr=False)
class Result:
    """``pixels`` (1, 3, H, W), sRGB in [0, 1], on the CPU.

    ``alpha`` (1, 1, H, W) and ``exif`` are the photo's. ``recipe`` says what made the
    picture; None: nobody is to know.
    ``sources`` are where in the paintings its places came from, where neighbors were matched.
    """

    pixels: Tensor
    recipe: AnyRecipe | None
    alpha: Tensor | None = None
    exif: bytes = b""
    depth: Depth = 8
    sources: Sources | None = None

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        recipe: AnyRecipe,
        photo: Picture,
        *,
        depth: Depth = 8,
        sources: Sources | None = None,
    ) -> Result:
        """What became of a photo, whose transparency it keeps."""
        size = size_of(pixels)
        alpha = None if photo.alpha is None else resize(photo.alpha, size)
        return cls(pixels, recipe, alpha, photo.exif, depth, sources)

    def with_only(self, kept: Kept) -> Result:
        """The same picture, telling less."""
        recipe = self.recipe if kept.recipe else None
        return replace(self, recipe=recipe, exif=self.exif if kept.metadata else b"")

    def at_resolution(self, dpi: float | None) -> Result:
        """The same picture, for paper with so many dots per inch; None: as the photo's file."""
        return self if dpi is None else replace(self, exif=with_resolution(self.exif, dpi))

    @property
    def _recipe_text(self) -> str:
        return "" if self.recipe is None else self.recipe.to_json()

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return size_of(self.pixels)

    @property
    def image(self) -> Image.Image:
        """For Pillow: RGB, 8 bits, without transparency."""
        return Image.fromarray(to_levels(self.pixels))

    def save(self, path: Path | str) -> None:
        """Write the file, in place of one that is there, with alpha, EXIF, profile and recipe.

        Raises :class:`UsageError` for a name that no picture can have, :class:`WorkError` where
        the file could not be written.
        """
        path = Path(path)
        check_output(path, inputs=[], force=True, depth=self.depth, size=self.size)
        save_image(
            path,
            self.pixels,
            alpha=self.alpha,
            exif=self.exif,
            recipe=self._recipe_text,
            depth=self.depth,
        )

    def png(self) -> bytes:
        """The bytes of a PNG file with the same in it."""
        return encode_image(
            self.pixels,
            "PNG",
            alpha=self.alpha,
            exif=self.exif,
            recipe=self._recipe_text,
            depth=self.depth,
        )

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Result of {width} x {height} pixels>"

    def _repr_png_(self) -> bytes:
        """How notebooks show it."""
        return self.png()
