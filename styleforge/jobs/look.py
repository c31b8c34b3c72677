"""What is asked of a trained network's pictures, beside their style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from styleforge.core.errors import UsageError
from styleforge.images.geometry import check_longest
from styleforge.images.save import Depth
from styleforge.presets.transfer import ColorChoice


def check_seed(seed: int) -> None:
    """Raise :class:`UsageError` for one that torch could not take."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"`seed` is from 0 to 2^63 - 1 (not {seed})")


@dataclass(frozen=True)
class Look:
    """Longest side (0: the photo's own), and how much and in which colors it is painted.

    ``seed`` is of a texture network's noise, ``depth`` bits per channel of the file. Raises
    :class:`UsageError` for what no network could do.
    """

    size: int = 0
    strength: float = 1.0
    colors: str = "style"
    seed: int = 0
    depth: Depth = 8

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 <= self.strength <= 1:
            raise UsageError(f"`strength` is from 0 to 1 (not {self.strength:g})")
        check_longest(self.size)
        if self.colors not in get_args(ColorChoice):
            raise UsageError(
                f"`colors` is {', '.join(get_args(ColorChoice))} (not {self.colors!r})"
            )
