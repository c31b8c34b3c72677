from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import styleforge
from styleforge.core.resources import resource

WITHOUT_TORCH = """
import sys
import styleforge
from styleforge.cli import main
for arguments in (["--help"], ["--version"], ["transfer", "--help"], ["presets", "show", "bold"]):
    sys.argv = ["styleforge", *arguments]
    try:
        main()
    except SystemExit as done:
        assert not done.code, (arguments, done.code)
    assert "torch" not in sys.modules, arguments
"""


def test_help_version_and_presets_import_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"styleforge {styleforge.__version__}\n" in done.stdout


@pytest.mark.slow
def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "styleforge", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"styleforge {styleforge.__version__}\n"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'styleforge' has no attribute 'stylise'"):
        _ = styleforge.stylise


def test_the_version_is_the_packages() -> None:
    assert version("styleforge") == styleforge.__version__


@pytest.mark.parametrize(
    "name", ["presets/painterly.yaml", "sample_images/content", "mean_activations.safetensors"]
)
def test_what_ships_is_found(name: str) -> None:
    assert resource(name).exists()
