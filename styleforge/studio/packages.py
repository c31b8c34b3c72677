"""What the studio needs beside styleforge's own packages."""

from __future__ import annotations

import importlib.util

from styleforge.core.errors import UsageError

_PACKAGES = ("starlette", "uvicorn", "websockets")


def check_installed() -> None:
    """Raise :class:`UsageError` where they are missing."""
    if any(importlib.util.find_spec(name) is None for name in _PACKAGES):
        raise UsageError("the studio needs some more packages: pip install 'styleforge[studio]'")
