"""Text from outside, such as names of files, as it can be shown."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: what terminals obey
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of reading
    "\u2028\u2029\ud800-\udfff]"  # separators of lines, and bytes that are no UTF-8
)


def printable(text: str) -> str:
    """On one line: what a terminal would obey, or cannot show, as escapes; the rest as it is."""
    return _UNPRINTABLE.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"  # the byte that it stands for in file names
    return character.encode("unicode_escape").decode()
