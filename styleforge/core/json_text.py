"""JSON from files that others may have written."""

from __future__ import annotations

import json
from typing import Any

_MOST_NESTED = 100
"""Deeper values could be read, but not be copied, checked or written again."""


def parse_json(text: str) -> Any:
    """The value. Raises ValueError for what is no JSON, too deep, or a number without end."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return value
    raise ValueError("the JSON is nested too deeply")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
