"""The files that ship with styleforge: presets, sample photographs, mean activations."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path, user_data_path


def resource(name: str) -> Path:
    """A shipped file or folder: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "data" / name
    return installed if installed.exists() else package.parent / name


def model_folders() -> list[Path]:
    """Where models are looked for by name: the user's folder, then those that ship."""
    return [user_data_path("styleforge") / "models", resource("models")]


def config_file() -> Path:
    """Where one's own defaults are, if there are any."""
    return user_config_path("styleforge") / "config.yaml"
