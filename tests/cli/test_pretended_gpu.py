"""Every command on a GPU that a CPU pretends to be (tests/pretended.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageOps

from styleforge.losses.tiles import Tiling
from styleforge.training.folder import TrainingFolder
from styleforge.transfers.studio import Studio
from tests.batches.conftest import write_photos
from tests.cli.conftest import PRESET, Command
from tests.cli.test_models import TINY_TEXTURE, write_model
from tests.conftest import mostly_slow
from tests.pretended import KINDS, pretend

NEIGHBORS = """
content: {layers: {conv2_1: 1.0}}
style: {layers: {conv1_1: 1.0}}
neighbors:
  {weight: 100, layers: {conv1_2: 0.5, conv2_2: 0.5}, hypercolumns: 32, rounds: 2, sketch: 0.5}
optimizer: {steps: 4}
scales: {start: 32, steps: 2}
size: 48
"""
TRAINING = """
generator: {kind: transformer, width: 2, blocks: 1, kernel: 3}
content: {layers: {conv1_2: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 2, batch: 2, crop: 32, warm_up: 1, identity: 1, validate_every: 1}
"""
TEXTURE = """
generator: {kind: texture, scales: 2, width: 2}
content: {alpha: 0, layers: {conv1_1: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 1, batch: 2, crop: 32}
"""
TRANSFER = "transfer c.png s.png -p p.yaml -o out.png"
NEIGHBORLY = "transfer c.png s.png -p n.yaml -o out.png"
TRAIN = "train s.png --data photos -o out.safetensors --workers 0"
COMMANDS = [
    TRANSFER,
    "stylize c.png -m m.safetensors -o out.png",
    f"{TRAIN} -p t.yaml",
    "texture s.png -s 40 -n 2 -o out.png",
    "styles c.png -s 40 -o out.png",
    "batch photos -m m.safetensors -o out",
    NEIGHBORLY,
    f"{TRANSFER} --optimizer adam",
    f"{TRANSFER} --style n.png --mask left.png --mask right.png",
    f"{TRANSFER} --style-mask top.png",
    f"{TRANSFER} --colors luminance --strength 0.7 --animate out.gif --save-every 2",
    f"{TRANSFER} --set style.statistic=sliced-wasserstein",
    f"{TRANSFER} --set style.statistic=mean-std",
    f"{TRANSFER} --set style.statistic=covariance",
    f"{NEIGHBORLY} --optimizer adam --source-map map.png",
    f"{NEIGHBORLY} --style n.png --strength 0.3",
    "stylize c.png -m m.safetensors --style cafe:1 --style harvest:2 --strength 0.5 -o out.png",
    f"{TRAIN} -p t.yaml --statistic neighbors --add-to m.safetensors",
    f"{TRAIN} -p x.yaml",
    "texture -m x.safetensors -s 40 -o out.png",
    "dream c.png --layer conv2_1 -s 40 -n 2 -o out.png",
    "reconstruct content c.png --layer conv2_1 -s 40 -n 2 -o out.png",
    "reconstruct style s.png --layer conv1_1 -s 40 -n 2 -o out.png",
    "inspect c.png --layer conv2_1 -o out.png",
    "sheet c.png s.png --set beta=1,10 -p p.yaml -o out.png",
    "batch photos --style s.png -p p.yaml -o out",
    "batch photos --style s.png -p n.yaml -o out --sequence",
]

EACH_KIND = pytest.mark.parametrize("kind", ["cuda", pytest.param("mps", marks=pytest.mark.slow)])


@pytest.fixture(autouse=True)
def _inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"p": PRESET, "n": NEIGHBORS, "t": TRAINING, "x": TEXTURE}
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    write_model(folder / "m.safetensors")
    write_model(folder / "x.safetensors", TINY_TEXTURE, styles=("wood",))
    write_photos(folder / "photos", 3)
    Image.open("s.png").rotate(180).save("n.png")
    left, top = Image.new("L", (48, 40)), Image.new("L", (40, 48))
    left.paste(255, (0, 0, 24, 40))
    top.paste(255, (0, 0, 40, 24))
    for name, mask in {"left": left, "right": ImageOps.invert(left), "top": top}.items():
        mask.save(f"{name}.png")
    monkeypatch.setattr(TrainingFolder, "draw", lambda _: None)


@EACH_KIND
@pytest.mark.parametrize("line", mostly_slow(COMMANDS, quick=5))
def test_it_runs_on_one_device_and_no_recorded_step_waits(
    line: str, kind: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend(monkeypatch, kind):
        done = command(*line.split(), "-d", kind)
    assert done.code == 0, done.err


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("line", [TRANSFER, NEIGHBORLY])
def test_each_precision(
    line: str, precision: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend(monkeypatch, "cuda"):
        done = command(*line.split(), "-d", "cuda", "--precision", precision)
    assert done.code == 0, done.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", [TRANSFER, NEIGHBORLY])
def test_in_tiles(line: str, kind: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    tiling = Tiling.of(16, ["conv2_2"])
    monkeypatch.setattr(Studio, "tiling", lambda *_: tiling)
    with pretend(monkeypatch, kind):
        done = command(*line.split(), "-d", kind)
    assert done.code == 0, done.err
    assert "evaluating in tiles of 16" in done.err
