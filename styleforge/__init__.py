"""styleforge: neural style transfer, as a command and as a library.

>>> import styleforge
>>> styleforge.transfer("photo.jpg", "painting.jpg", preset="preview").save("out.png")

Names are imported on first use, because torch takes a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from styleforge.api import batch as batch
    from styleforge.api import stylize as stylize
    from styleforge.api import texture as texture
    from styleforge.api import train as train
    from styleforge.api import transfer as transfer
    from styleforge.api import transfer_steps as transfer_steps
    from styleforge.api import video as video
    from styleforge.core.errors import ModelError as ModelError
    from styleforge.core.errors import OutOfMemoryError as OutOfMemoryError
    from styleforge.core.errors import StyleforgeError as StyleforgeError
    from styleforge.core.errors import UsageError as UsageError
    from styleforge.core.errors import WeightsError as WeightsError
    from styleforge.core.errors import WorkError as WorkError
    from styleforge.images.load import Picture as Picture
    from styleforge.images.load import load_image as load_image
    from styleforge.images.save import save_image as save_image
    from styleforge.jobs.result import Result as Result
    from styleforge.jobs.styles import Painting as Painting
    from styleforge.presets.transfer import load_preset as load_preset
    from styleforge.transfers.run import StyleTransfer as StyleTransfer
    from styleforge.transfers.studio import Studio as Studio

_HOMES = {
    "styleforge.api": [
        "batch",
        "stylize",
        "texture",
        "train",
        "transfer",
        "transfer_steps",
        "video",
    ],
    "styleforge.core.errors": [
        "ModelError",
        "OutOfMemoryError",
        "StyleforgeError",
        "UsageError",
        "WeightsError",
        "WorkError",
    ],
    "styleforge.images.load": ["Picture", "load_image"],
    "styleforge.images.save": ["save_image"],
    "styleforge.jobs.result": ["Result"],
    "styleforge.jobs.styles": ["Painting"],
    "styleforge.presets.transfer": ["load_preset"],
    "styleforge.transfers.run": ["StyleTransfer"],
    "styleforge.transfers.studio": ["Studio"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'styleforge' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
