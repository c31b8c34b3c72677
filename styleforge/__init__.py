"""styleforge: neural style transfer that optimises pictures.

The library in four names: ``load_image``, ``load_preset``, ``Studio``, ``save_image``.
They are imported on first use, because torch takes a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from styleforge.images.load import load_image as load_image
    from styleforge.images.save import save_image as save_image
    from styleforge.presets.transfer import load_preset as load_preset
    from styleforge.transfer.run import Studio as Studio

_HOMES = {
    "load_image": "styleforge.images.load",
    "save_image": "styleforge.images.save",
    "load_preset": "styleforge.presets.transfer",
    "Studio": "styleforge.transfer.run",
}
__all__ = ["Studio", "__version__", "load_image", "load_preset", "save_image"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'styleforge' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
