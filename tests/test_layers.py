"""The rooms of the house: imports point downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "styleforge"

ROOMS = [
    ["core"],
    ["presets"],
    ["images"],
    ["vgg", "losses"],
    ["optimize"],
    ["transfers"],
    ["synthesis", "networks", "films"],
    ["jobs"],
    ["training", "batches"],
    ["api"],
    ["trial", "studio"],
    ["cli"],
]
"""From the cellar up; what stands beside each other does not import each other."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """``styleforge.images.load`` -> images."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of styleforge that a file imports, and whether as soon as it is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in late
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) not in late


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module, _ in imports(path):
        if not module.startswith("styleforge."):
            continue
        other = room_of(module)
        assert other == own or floor(other) < floor(own), f"{own} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_imports_no_torch(path: Path) -> None:
    assert not [module for module, _ in imports(path) if module.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_but_the_command_line_prints_or_knows_it(path: Path) -> None:
    if path.parent.name == "cli" or path.name == "__main__.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "print" not in called
    known = {module.split(".")[0] for module, _ in imports(path)}
    assert not known & {"typer", "tqdm"}
    assert not known & {"rich"}
