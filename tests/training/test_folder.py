from __future__ import annotations

import copy
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.files import MACHINE
from styleforge.networks.model_file import ModelInfo, ModelStyle, load_model
from styleforge.training.folder import FORMAT, TrainingFolder
from styleforge.training.job import go_on
from styleforge.training.trainer import Trainer
from styleforge.training.training import Training
from tests.pictures import opened
from tests.training.conftest import (
    TEXTURE,
    Train,
    assert_same,
    brightness,
    generator_for,
    preset,
    weights_of,
)

OTHER = "^the checkpoint was made with other .*; resume with the same, or start anew with `force`$"


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    folder = TrainingFolder(tmp_path / "cafe.safetensors")
    folder.path.mkdir()
    return folder


def names(folder: TrainingFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


def record(step: int, *, content: float = 1.0) -> dict[str, Any]:
    terms = {"total": 2.0 / step + content, "content": content, "style": 2.0 / step, "tv": 0.0}
    return {"step": step, "loss": terms, "validation": terms}


def test_it_lies_beside_the_model(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "cafe.safetensors")
    assert folder.path == tmp_path / "cafe.training"
    assert not folder.path.exists()
    assert {folder.checkpoint.name, folder.best.name, folder.log.name} == {
        "last.pt",
        "best.safetensors",
        "log.jsonl",
    }


def test_a_checkpoint_comes_back_as_it_was(folder: TrainingFolder) -> None:
    settings = preset(TEXTURE)
    trainer = Trainer(generator_for(settings), brightness, settings, styles=1)
    trainer.step(None, [0, 1])
    folder.save_checkpoint({"trainer": trainer.state(), "best": float("inf"), "seconds": 1.5})
    assert names(folder) == {"last.pt"}
    state = folder.load_checkpoint()
    assert (state["best"], state["seconds"], state["format"]) == (float("inf"), 1.5, FORMAT)
    other = Trainer(generator_for(settings), brightness, settings, styles=1)
    other.load_state(state["trainer"])
    for each in (trainer, other):
        each.step(None, [2, 3])
    assert_same(weights_of(other.generator), weights_of(trainer.generator))


def test_the_state_of_a_training_holds_no_code(folder: TrainingFolder, train: Train) -> None:
    training = train(preset(steps=2))
    list(training)
    folder.save_checkpoint(training.state())
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(folder.checkpoint)
    assert unsafe == []


def test_a_checkpoint_with_code_is_not_run(folder: TrainingFolder) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder.path / "evil"),)

    torch.save({"format": FORMAT, "state": Evil()}, folder.checkpoint)
    with pytest.raises(UsageError, match="is damaged"):
        folder.load_checkpoint()
    assert names(folder) == {"last.pt"}


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", saved({"format": FORMAT})[:-100], saved({}), saved([1])],
    ids=["empty", "text", "cut short", "without a format", "a list"],
)
def test_a_damaged_checkpoint(folder: TrainingFolder, content: bytes) -> None:
    folder.checkpoint.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        folder.load_checkpoint()
    assert str(caught.value) == f"{folder.checkpoint} is damaged; start anew with `force`"


def test_a_checkpoint_of_a_newer_version(folder: TrainingFolder) -> None:
    folder.checkpoint.write_bytes(saved({"format": FORMAT + 1}))
    with pytest.raises(UsageError) as caught:
        folder.load_checkpoint()
    assert str(caught.value) == f"{folder.checkpoint} was made by a newer styleforge; upgrade it"


def test_a_checkpoint_of_an_older_version(folder: TrainingFolder) -> None:
    folder.checkpoint.write_bytes(saved({"format": FORMAT - 1}))
    with pytest.raises(UsageError) as caught:
        folder.load_checkpoint()
    assert (
        str(caught.value)
        == f"{folder.checkpoint} was made by an older styleforge; start anew with `force`"
    )


def test_no_checkpoint(folder: TrainingFolder) -> None:
    with pytest.raises(UsageError) as caught:
        folder.load_checkpoint()
    assert str(caught.value) == f"nothing to resume: {folder.checkpoint} does not exist"


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    folder.save_checkpoint(record(1))
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        folder.save_checkpoint(record(2))
    assert folder.load_checkpoint()["step"] == 1
    assert names(folder) == {"last.pt"}


def test_the_log_has_one_line_of_json_for_each_record(folder: TrainingFolder) -> None:
    assert folder.records() == []
    records = [record(step) for step in (2, 4, 6)]
    for each in records:
        folder.append(each)
    lines = folder.log.read_text().splitlines()
    assert [json.loads(line) for line in lines] == folder.records() == records


def test_steps_that_will_be_taken_again_are_dropped_from_the_log(folder: TrainingFolder) -> None:
    for step in (2, 4, 6):
        folder.append(record(step))
    folder.forget_after(5)
    assert folder.records() == [record(2), record(4)]
    folder.forget_after(4)
    folder.append(record(6))
    assert folder.records() == [record(2), record(4), record(6)]
    folder.forget_after(0)
    assert folder.records() == []


def test_a_line_that_a_crash_cut_short_is_left_out(folder: TrainingFolder) -> None:
    folder.append(record(1))
    with folder.log.open("a") as file:
        file.write('{"step": 2, "lo')
    assert folder.records() == [record(1)]
    folder.forget_after(1)
    assert folder.log.read_text() == json.dumps(record(1)) + "\n"


def test_there_is_nothing_to_forget_at_first(folder: TrainingFolder) -> None:
    folder.forget_after(0)
    assert folder.records() == []


def test_the_best_model_can_be_loaded(folder: TrainingFolder) -> None:
    settings = preset()
    network = generator_for(settings)
    info = ModelInfo(generator=settings.generator, styles=[ModelStyle(name="cafe")])
    folder.save_best(info, network)
    assert names(folder) == {"best.safetensors"}
    model = load_model(folder.best)
    assert model.info == info
    assert_same(weights_of(model.network), weights_of(network))


def test_the_sheet_is_a_jpeg(folder: TrainingFolder) -> None:
    folder.save_sheet(torch.rand(1, 3, 20, 30))
    image = opened(folder.sheet.read_bytes())
    assert (image.format, image.size) == ("JPEG", (30, 20))


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", [1.0, 0.0], ids=["photos", "a texture"])
def test_the_losses_are_drawn(folder: TrainingFolder, content: float) -> None:
    for step in (2, 4):
        folder.append(record(step, content=content))
    folder.draw()
    assert opened(folder.plot.read_bytes()).format == "PNG"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every value in a checkpoint."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items if isinstance(value, dict | list) else ():
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


def flipped(value: Any) -> Any:
    """Something of another type or shape."""
    if isinstance(value, Tensor):
        return torch.full((*value.shape, 2), torch.nan)
    return [value] if isinstance(value, str | dict) else "text"


def outcome(folder: TrainingFolder, training: Training) -> str:
    """Of going on from the checkpoint and taking a step."""
    try:
        go_on(folder, training)
    except UsageError as error:
        if str(error) == f"{folder.checkpoint} is damaged; start anew with `force`":
            return "damaged"
        return re.sub(OTHER, "of another training", str(error))
    next(iter(training))
    return "went on"


@pytest.mark.slow
def test_a_checkpoint_with_any_value_of_another_type_is_gone_on_from_or_refused(
    train: Train, folder: TrainingFolder
) -> None:
    training = train(preset(steps=2))
    next(iter(training))
    whole = training.state()
    for path in places(whole):
        state = copy.deepcopy(whole)
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = flipped(inner[path[-1]])
        folder.save_checkpoint(state)
        assert outcome(folder, training) in ("went on", "damaged", "of another training"), path


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, "[]", '{"step": 1}', '{"step": "x", "loss": 1, "validation": {}}', "\xff"],
)
def test_lines_of_the_log_that_are_damaged_are_left_out(folder: TrainingFolder, line: str) -> None:
    folder.append(record(1))
    with folder.log.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    folder.append(record(2))
    assert folder.records() == [record(1), record(2)]
    folder.draw()


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_train_in_one_folder(folder: TrainingFolder) -> None:
    start = [sys.executable, "-c", HOLD, str(folder.path / ".lock")]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError) as caught, folder.held():
            pass
        assert str(caught.value) == (
            f"another process trains in {folder.path}; wait for its end or choose another output"
        )
        other.kill()
    with folder.held():
        pass


def test_what_a_killed_training_has_left_half_written_is_cleared_away(
    folder: TrainingFolder,
) -> None:
    half = folder.path / f".last.pt.{2**22 + 1}.{MACHINE}-abcdefgh"
    half.touch()
    with folder.held():
        assert not half.exists()
