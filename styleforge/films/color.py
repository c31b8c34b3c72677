"""How a film's numbers stand for colors, as in its header or as players guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from styleforge.core.errors import UsageError
from styleforge.images.geometry import Size

if TYPE_CHECKING:
    import av

UNSPECIFIED, BT709, SMPTE170M = 2, 1, 6
"""Code points of matrices, primaries and transfer curves (ITU-T H.273)."""

LIMITED, FULL = 1, 2
"""FFmpeg's numbers for levels from 16 to 235, and from 0 to 255."""

_HDR = {16: "PQ", 18: "HLG"}
"""Transfer curves of high dynamic range, whose numbers are no sRGB."""

_HIGH_DEFINITION = 720
"""Lines from which on players take BT.709 where a film says nothing."""

_SWSCALE = {BT709: 1, 4: 4, 5: 5, SMPTE170M: 5, 7: 7, 9: 9, 10: 9}
"""libswscale's own numbers for matrices; what it does not know is guessed as by players."""


class Color(NamedTuple):
    """Matrix, primaries and transfer curve by H.273, and the range of levels by FFmpeg.

    Films are painted in their own primaries and curve, as if they were sRGB, whose primaries are
    BT.709's; what is written says the same of itself, and so looks as it was meant.
    """

    matrix: int
    primaries: int
    transfer: int
    range: int

    @property
    def swscale(self) -> int:
        """The matrix as libswscale numbers it."""
        return _SWSCALE[self.matrix]


def color_of(frame: av.VideoFrame, size: Size) -> Color:
    """What a film of this stored (width, height) says, from its first frame.

    Raises :class:`UsageError` for high dynamic range.
    """
    if frame.color_trc in _HDR:
        raise UsageError(
            f"the film's colors are {_HDR[frame.color_trc]} (high dynamic range), which cannot be "
            "painted; convert it to SDR first"
        )
    usual = BT709 if size[1] >= _HIGH_DEFINITION else SMPTE170M
    matrix = frame.colorspace if frame.colorspace in _SWSCALE else usual
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    if frame.format.is_rgb:
        return Color(BT709, BT709, BT709, LIMITED)
    known = [
        value if value not in (0, UNSPECIFIED) else matrix
        for value in (frame.color_primaries, frame.color_trc)
    ]
    return Color(matrix, known[0], known[1], FULL if full else LIMITED)
