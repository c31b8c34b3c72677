"""Every command of the README runs, at a small size."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from styleforge.cli import app
from tests.conftest import CAFE, CHELSEA, SAMPLES

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SMALL = {
    "transfer": ["-s", "48", "-n", "1", "--force"],
    "batch": ["-s", "48"],
    "sheet": ["--set", "size=48", "--set", "optimizer.steps=1"],
    "score": ["-s", "64"],
    "reconstruct": ["-s", "48", "-n", "1"],
    "inspect": ["-s", "64"],
    "dream": ["-s", "48", "-n", "1"],
    "train": ["-n", "1", "--crop", "32", "--batch", "1", "--style-size", "64"],
}

OPTIMIZED = {"batch": ["-n", "1"], "texture": ["-n", "1", "-s", "48x48"]}
"""What else makes these commands small where they optimise."""


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.split("&&")[-1] for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [command[1:] for command in commands if command[:1] == ["styleforge"]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README's commands name."""
    for name, source in {"photo.jpg": CHELSEA, "painting.jpg": CAFE}.items():
        (tmp_path / name).write_bytes(source.read_bytes())
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(CAFE.read_bytes())
    for name, left in {"left.png": 255, "right.png": 0}.items():
        mask = Image.new("L", (451, 300), 255 - left)
        mask.paste(left, (0, 0, 225, 300))
        mask.save(tmp_path / name)
    top = Image.new("L", Image.open(CAFE).size)
    top.paste(255, (0, 0, top.width, top.height // 2))
    top.save(tmp_path / "top.png")
    for photos in ("photos", "frames"):
        (tmp_path / photos).mkdir()
        for name in ("1.jpg", "2.jpg"):
            (tmp_path / photos / name).write_bytes(CHELSEA.read_bytes())
    (tmp_path / "sample_images").symlink_to(SAMPLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_has_commands() -> None:
    assert len(_commands()) >= 8


@pytest.mark.slow
def test_all_commands_run_in_order(folder: Path) -> None:
    for command in _commands():
        painted = OPTIMIZED.get(command[0], []) if "painting.jpg" in command else []
        result = CliRunner().invoke(app, [*command, *SMALL.get(command[0], []), *painted])
        assert result.exit_code == 0, (command, result.output)
    assert (folder / "photo_painting.png").is_file()


def test_the_python_example_runs(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(code.replace('"size": 256', '"size": 48, "optimizer.steps": 1'), {})
    assert (folder / "out.png").is_file()


def test_the_preset_shown_is_the_default(tmp_path: Path) -> None:
    from styleforge.presets.transfer import load_preset

    (text,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    shown = load_preset(str(tmp_path / "mine.yaml")).model_dump(exclude={"description"})
    assert shown == load_preset("painterly").model_dump(exclude={"description"})
