"""Keep freed memory for the next evaluation, instead of giving it back to the system each time."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""``mallopt``'s parameters, from glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """For the whole process: large tensors come from memory that is already there.

    glibc maps every large block anew and the system clears it page by page, which takes an
    eighth of the time of an evaluation. Does nothing, and returns False, where the C library is
    another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
