"""Small photos, a tiny model and a tiny preset: a batch of them takes a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from styleforge.batches.plan import Batch
from styleforge.batches.sources import Task, find_sources, plan_tasks
from styleforge.jobs.styles import OptimizedStyle, Painting, Style, TrainedStyle
from styleforge.presets.transfer import Preset
from tests.cli.test_models import write_model
from tests.pictures import noise

CPU = torch.device("cpu")

PRESET = Preset.model_validate(
    {
        "network": {"normalized": False},
        "content": {"layers": {"conv2_1": 1.0}},
        "style": {"layers": {"conv1_1": 1.0}},
        "optimizer": {"steps": 2},
        "scales": None,
        "size": 40,
    }
)


def write_photos(folder: Path, count: int, *, size: tuple[int, int] = (40, 36)) -> list[Path]:
    """photo1.png, photo2.png, ..., all different."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo{number}.png" for number in range(1, count + 1)]
    for seed, path in enumerate(paths):
        noise(*size, seed=seed).save(path)
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(workplace: Path) -> TrainedStyle:
    """The style cafe of m.safetensors, which carries harvest too."""
    path = workplace / "m.safetensors"
    write_model(path)
    return TrainedStyle("cafe", path, {"cafe": 1.0})


@pytest.fixture
def optimized(workplace: Path) -> OptimizedStyle:
    """The painting s.png, for a few steps."""
    noise(36, 40, seed=99).save(workplace / "s.png")
    return OptimizedStyle("s", [Painting(workplace / "s.png")], "p.yaml", PRESET)


MakeBatch = Callable[..., Batch]


@pytest.fixture
def make_batch(workplace: Path) -> MakeBatch:
    """``make_batch([style], sequence=True)``: photos/ in these styles, into out/."""

    def make(styles: list[Style], *, output: str = "out", **options: bool) -> Batch:
        sources = find_sources(["photos"], Path(output), recursive=False)
        tasks = plan_tasks(sources, [style.name for style in styles], Path(output))
        return Batch(styles, tasks, **options)

    assert workplace == Path.cwd()
    return make


def task_for(source: Path, target: str) -> Task:
    return Task(source, 0, Path(target))
