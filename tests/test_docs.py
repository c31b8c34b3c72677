"""The README and the pages of docs/: commands run, at a small size; links lead somewhere."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from styleforge.cli import app
from tests.conftest import CAFE, CHELSEA, SAMPLES
from tests.films.made import pan, save

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    SAMPLES / "README.md",
]
SMALL = {
    "studio": ["--help"],  # it would go on until Ctrl-C; tests/studio has it
    "transfer": ["-s", "48", "-n", "1", "--force"],
    "batch": ["-s", "48"],
    "sheet": ["-s", "48", "-n", "1"],
    "score": ["-s", "64"],
    "reconstruct": ["-s", "48", "-n", "1"],
    "video": ["-s", "48"],
    "inspect": ["-s", "64"],
    "dream": ["-s", "48", "-n", "1"],
    "train": ["-n", "1", "--crop", "32", "--batch", "1", "--style-size", "64"],
}

PRINTED = ["--dpi", "12", "-n", "1", "--set", "scales.steps=1"]
"""And these, whose size is that of their paper."""

OPTIMIZED = {"batch": ["-n", "1"], "video": ["-n", "1"], "texture": ["-n", "1", "-s", "48x48"]}
"""What else makes these commands small where they optimise."""

NOT_OURS = ["delaunay", "hoitsu", "hokusai", "kandinsky", "monet", "turner"]
"""Paintings that the gallery names and the sample images do not hold."""


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def _commands(page: Path) -> list[list[str]]:
    """The arguments of each styleforge command, in order; in console blocks, after a prompt."""
    blocks: list[tuple[str, str]] = re.findall(
        r"```(sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    lines = [
        line.removeprefix("$ ").split("&&")[-1]
        for language, block in blocks
        for line in block.splitlines()
        if language == "sh" or line.startswith("$ ")
    ]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [command[1:] for command in commands if command[:1] == ["styleforge"]]


WITH_COMMANDS = [page for page in PAGES if _commands(page)]
WITH_PYTHON = [page for page in PAGES if _blocks(page, "python")]


def _mask(path: Path, size: tuple[int, int], white: tuple[int, int, int, int]) -> None:
    mask = Image.new("L", size)
    mask.paste(255, white)
    mask.save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages' commands name."""
    (tmp_path / "photo.jpg").write_bytes(CHELSEA.read_bytes())
    for name in ("painting", "a", "b", *NOT_OURS):
        (tmp_path / f"{name}.jpg").write_bytes(CAFE.read_bytes())
    for photos in ("photos", "frames"):
        (tmp_path / photos).mkdir()
        for name in ("1.jpg", "2.jpg"):
            (tmp_path / photos / name).write_bytes(CHELSEA.read_bytes())
    width, height = Image.open(CHELSEA).size
    _mask(tmp_path / "left.png", (width, height), (0, 0, width // 2, height))
    _mask(tmp_path / "right.png", (width, height), (width // 2, 0, width, height))
    width, height = Image.open(CAFE).size
    _mask(tmp_path / "top.png", (width, height), (0, 0, width, height // 2))
    rocket = SAMPLES / "content" / "rocket.jpg"
    bridge = SAMPLES / "style" / "vangogh_langlois_bridge.jpg"
    for before, picture in {"": rocket, "painted_": bridge}.items():
        width, height = Image.open(picture).size
        _mask(tmp_path / f"{before}sky.png", (width, height), (0, 0, width, height // 2))
        _mask(tmp_path / f"{before}ground.png", (width, height), (0, height // 2, width, height))
    (tmp_path / "sample_images").symlink_to(SAMPLES)
    clip = pan(5)
    save(tmp_path / "clip.mp4", clip, sound="aac")
    for name, frame in {"first": clip[0], "later": clip[2]}.items():
        Image.fromarray(frame).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/gallery.md"])
def test_the_page_has_commands(page: str) -> None:
    assert len(_commands(ROOT / page)) >= 5


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_all_commands_of_the_page_run_in_order(page: Path) -> None:
    for command in _commands(page):
        painted = OPTIMIZED.get(command[0], []) if "painting.jpg" in command else []
        small = PRINTED if "--print" in command else SMALL.get(command[0], [])
        result = CliRunner().invoke(app, [*command, *small, *painted])
        assert result.exit_code == 0, (command, result.output)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_the_python_of_the_page_runs(page: Path) -> None:
    for code in _blocks(page, "python"):
        quick = code.replace('"size": 256', '"size": 48, "optimizer.steps": 1')
        exec(quick.replace("size=256", "size=48, steps=1"), {})
        for saved in re.findall(r'(?:save_image|save)\("(.*?)"', code):
            assert Path(saved).is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_session_answers_what_the_page_says() -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    page = str(ROOT / "docs" / "python.md")
    assert doctest.testfile(page, module_relative=False, optionflags=options).failed == 0


def test_the_preset_shown_is_the_default(tmp_path: Path) -> None:
    from styleforge.presets.transfer import load_preset

    (text,) = _blocks(ROOT / "docs" / "guide.md", "yaml")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    shown = load_preset(str(tmp_path / "mine.yaml")).model_dump(exclude={"description"})
    assert shown == load_preset("painterly").model_dump(exclude={"description"})


def _text(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say after its #, as GitHub spells it."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_of_the_page_exist(page: Path) -> None:
    targets = re.findall(r"\]\((.*?)\)", _text(page))
    for target in (target for target in targets if "://" not in target):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 1200
