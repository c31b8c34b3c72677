from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.images.contact_sheet import GAP, TEXT
from styleforge.images.geometry import resize
from styleforge.losses.objective import Loss
from styleforge.presets.training import TrainingPreset, load_training_preset
from styleforge.training import job as training_job
from styleforge.training import training as training_module
from styleforge.training.distributed import Processes
from styleforge.training.folder import TrainingFolder
from styleforge.training.objective import BatchObjective
from styleforge.training.photographs import Photographs, central_crop
from styleforge.training.training import Training
from styleforge.transfers import estimate
from tests.conftest import CAFE, mostly_slow
from tests.training.conftest import (
    STYLIZING_TEXTURE,
    TEXTURE,
    TRANSFORMER,
    Train,
    assert_same,
    matching,
    preset,
    weights_of,
)

CELL = 256
STEPS = 4


def kind_of_training(kind: str) -> tuple[TrainingPreset, dict[str, Any]]:
    """The preset, and what the fixture ``train`` should be called with."""
    if kind == "texture":
        return preset(TEXTURE, steps=STEPS), {"photographs": None}
    if kind == "stylizing texture":
        return preset(STYLIZING_TEXTURE, steps=STEPS), {}
    two: dict[str, Any] = {"styles": ["cafe", "chelsea"]}
    if kind == "neighbors":
        return matching(preset(TRANSFORMER, steps=STEPS), "neighbors"), two
    if kind == "texture by neighbors":
        return matching(preset(TEXTURE, steps=STEPS), "neighbors"), {"photographs": None}
    return preset(TRANSFORMER, steps=STEPS), two


KINDS = pytest.mark.parametrize(
    "kind",
    mostly_slow(
        ["transformer", "texture", "stylizing texture", "neighbors", "texture by neighbors"]
    ),
)


def steps_of(training: Training, count: int | None = None) -> list[tuple[float, ...]]:
    """Take so many steps, or all that are left; their losses and those of their validations."""
    return [(*p.loss, *(p.validation or ())) for p in islice(training, count)]


def assert_same_training(found: Training, expected: Training) -> None:
    assert found.trainer.step_count == expected.trainer.step_count
    assert found.best == expected.best
    assert_same(weights_of(found.trainer.generator), weights_of(expected.trainer.generator))
    assert_same(weights_of(found.trainer.average), weights_of(expected.trainer.average))


@KINDS
def test_a_training_stopped_at_any_step_goes_on_as_if_it_had_not_been(
    kind: str, train: Train, tmp_path: Path
) -> None:
    settings, options = kind_of_training(kind)
    folder = TrainingFolder(tmp_path / "model.safetensors")
    folder.path.mkdir()
    whole = train(settings, **options)
    losses = steps_of(whole)
    assert len(losses) == STEPS
    for stop in range(1, STEPS):
        stopped = train(settings, **options)
        assert steps_of(stopped, stop) == losses[:stop]
        folder.save_checkpoint(stopped.state())
        resumed = train(settings, **options)
        resumed.load_state(folder.load_checkpoint())
        assert steps_of(resumed) == losses[stop:]
        assert_same_training(resumed, whole)


@pytest.mark.slow
def test_a_training_can_be_iterated_over_in_parts(train: Train) -> None:
    whole, parts = train(preset()), train(preset())
    assert steps_of(whole) == [*steps_of(parts, 2), *steps_of(parts, 1), *steps_of(parts)]
    assert steps_of(parts) == []
    assert_same_training(parts, whole)


@pytest.mark.slow
def test_workers_change_nothing(train: Train) -> None:
    assert steps_of(train(preset(), workers=1)) == steps_of(train(preset()))


@pytest.mark.parametrize("statistic", mostly_slow(["gram", "neighbors"]))
def test_adding_a_style_goes_on_after_a_stop_too(train: Train, statistic: str) -> None:
    options: dict[str, Any] = {"styles": ["cafe", "chelsea"], "first_style": 1}
    settings = matching(preset(), statistic)
    whole, stopped, resumed = (train(settings, **options) for _ in range(3))
    steps_of(whole)
    steps_of(stopped, 2)
    resumed.load_state(stopped.state())
    steps_of(resumed)
    assert_same_training(resumed, whole)


def test_the_training_goes_on_where_its_time_and_best_loss_were(train: Train) -> None:
    stopped, resumed = train(preset()), train(preset())
    steps_of(stopped, 3)
    assert stopped.seconds > 0
    assert stopped.best < float("inf")
    resumed.load_state(stopped.state() | {"seconds": 100.0})
    assert (resumed.best, resumed.seconds) == (stopped.best, 100.0)
    steps_of(resumed, 1)
    assert 100 < resumed.seconds < 110


@pytest.fixture
def fewer(photographs: Photographs) -> Photographs:
    return replace(photographs, training=photographs.training[1:])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": preset(batch=1)}, "settings"),
        ({"settings": matching(preset(), "neighbors")}, "settings"),
        ({"styles": ["chelsea"]}, "styles"),
        ({"styles": ["cafe", "chelsea"]}, "styles"),
        ({"photographs": "fewer"}, "photographs"),
        ({"styles": ["chelsea"], "photographs": "fewer"}, "styles and photographs"),
        (
            {"settings": preset(TEXTURE), "styles": ["chelsea"], "photographs": None},
            "settings and styles and photographs",
        ),
    ],
)
def test_another_training_is_not_gone_on_with(
    changes: dict[str, Any], named: str, train: Train, fewer: Photographs
) -> None:
    state = train(preset()).state()
    if changes.get("photographs") == "fewer":
        changes = {**changes, "photographs": fewer}
    settings = changes.get("settings", preset())
    options = {name: value for name, value in changes.items() if name != "settings"}
    other = train(settings, **options)
    before = weights_of(other.trainer.generator)
    with pytest.raises(UsageError) as caught:
        other.load_state(state)
    assert str(caught.value) == (
        f"the checkpoint was made with other {named}; resume with the same, or start anew with "
        "`force`"
    )
    assert_same(weights_of(other.trainer.generator), before)


def test_adding_styles_is_another_training(train: Train) -> None:
    styles = ["cafe", "chelsea"]
    state = train(preset(), styles=styles, first_style=1).state()
    with pytest.raises(UsageError, match="was made with other settings; "):
        train(preset(), styles=styles).load_state(state)


def test_a_checkpoint_from_before_there_were_statistics_is_of_gram_matrices(train: Train) -> None:
    state = train(preset()).state()
    del state["made_from"]["settings"]["style"]["statistic"]
    train(preset()).load_state(state)
    with pytest.raises(UsageError, match="was made with other settings; "):
        train(matching(preset(), "neighbors")).load_state(state)


def over_an_underpainting(settings: TrainingPreset) -> TrainingPreset:
    generator = settings.generator.model_copy(update={"underpainting": True})
    return settings.model_copy(update={"generator": generator, "underpainting": True})


def test_a_checkpoint_from_before_there_were_underpaintings_has_none(train: Train) -> None:
    state = train(preset()).state()
    settings = state["made_from"]["settings"]
    del settings["underpainting"], settings["generator"]["underpainting"]
    train(preset()).load_state(state)
    with pytest.raises(UsageError, match="was made with other settings; "):
        train(over_an_underpainting(preset())).load_state(state)


def test_another_description_is_the_same_training(train: Train) -> None:
    renamed = preset().model_copy(update={"description": "other words"})
    train(renamed).load_state(train(preset()).state())


def test_it_validates_every_so_many_steps_and_at_the_end(train: Train) -> None:
    progress = list(train(preset(validate_every=2)))
    assert [p.step for p in progress] == [1, 2, 3, 4, 5]
    assert [p.step for p in progress if p.validation is not None] == [2, 4, 5]
    assert {p.note for p in progress} == {""}
    assert all(p.unreadable == 0 for p in progress)


@pytest.mark.slow
def test_the_best_is_the_lowest_validation_loss_so_far(train: Train) -> None:
    training = train(preset(steps=8, validate_every=1, learning_rate=0.3))
    totals, flags = [], []
    for progress in training:
        assert progress.validation is not None
        totals.append(progress.validation.total)
        flags.append(progress.is_best)
    assert flags == [total < min([float("inf"), *totals[:i]]) for i, total in enumerate(totals)]
    assert training.best == min(totals)


def three_to_check_with(photographs: Photographs) -> Photographs:
    return replace(photographs, validation=photographs.training[:3])


def test_the_validation_loss_is_the_mean_over_the_photos_kept_for_it(
    train: Train, photographs: Photographs
) -> None:
    three = three_to_check_with(photographs)
    training = train(preset(steps=1, batch=2), photographs=three)
    (progress,) = training
    crops = [central_crop(path, 32)[None] for path in three.validation]
    apart = [training.trainer.validate(crop, [i]) for i, crop in enumerate(crops)]
    for found, terms in zip(progress.validation, zip(*apart, strict=True), strict=True):
        assert found == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_a_photo_to_check_with_that_cannot_be_read_is_left_out(
    train: Train, photographs: Photographs, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not a photograph")
    three = three_to_check_with(photographs)
    with_bad = replace(three, validation=[tmp_path / "text.jpg", *three.validation])
    settings = preset(steps=1)
    assert steps_of(train(settings, photographs=with_bad)) == steps_of(
        train(settings, photographs=three)
    )


def test_no_photo_to_check_with_can_be_read(
    train: Train, photographs: Photographs, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train(preset(), photographs=replace(photographs, validation=[tmp_path / "gone.jpg"]))
    assert str(caught.value) == "none of the photographs kept for validation can be read"


def test_files_passed_over_are_counted(
    train: Train, photographs: Photographs, tmp_path: Path
) -> None:
    paths = [*photographs.training, tmp_path / "gone.jpg"]
    settings = preset(steps=1, batch=len(paths))
    (progress,) = train(settings, photographs=replace(photographs, training=paths))
    assert progress.unreadable == 1


def test_a_loss_that_is_not_finite_is_noted_and_its_steps_are_taken_again(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsOnce(BatchObjective):
        calls = 0

        def __call__(self, pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
            FailsOnce.calls += 1
            loss = super().__call__(pastiches, photos, styles)
            if FailsOnce.calls == 5:  # after two steps, a validation and another step
                return Loss(*(term * float("nan") for term in loss))
            return loss

    monkeypatch.setattr(training_module, "BatchObjective", FailsOnce)
    progress = list(train(preset(validate_every=2)))
    assert [p.step for p in progress] == [1, 2, 3, 2, 3, 4, 5]
    assert [p.note for p in progress if p.note] == [
        "the loss was not finite: went back to step 2, half the learning rate"
    ]
    assert progress[3].note
    assert progress[3].validation is None
    assert progress[4].loss == progress[2].loss, "the same photos again"
    assert progress[5].loss.total < float("inf")


def cell(sheet: Tensor, row: int, column: int, *, top: int) -> Tensor:
    y, x = top + row * (CELL + GAP), GAP + column * (CELL + GAP)
    return sheet[..., y : y + CELL, x : x + CELL]


def test_the_sheet_shows_photos_to_check_with_in_every_style(
    train: Train, photographs: Photographs
) -> None:
    three = three_to_check_with(photographs)
    settings = preset(learning_rate=0.1)
    training = train(settings, styles=["cafe", "chelsea"], photographs=three)
    steps_of(training, 3)
    sheet, top = training.sheet(training.network()), TEXT + 2 * GAP
    assert sheet.shape == (1, 3, top + 3 * (CELL + GAP), GAP + 3 * (CELL + GAP))
    network = training.trainer.average
    for row, path in enumerate(three.validation):
        crop = central_crop(path, 32)[None]
        pastiches = [network(crop, torch.tensor([mixture])) for mixture in ([1.0, 0], [0, 1.0])]
        for column, image in enumerate([crop, *pastiches]):
            found = cell(sheet, row, column, top=top)
            torch.testing.assert_close(found, resize(image, (CELL, CELL)), atol=0.003, rtol=0)
    labels = sheet[:, :, :top].amin((0, 1, 2)) < 0.5
    assert [bool(labels[GAP + i * (CELL + GAP) :][:CELL].any()) for i in range(3)] == [True] * 3, (
        "each column has its name"
    )


def test_the_sheet_of_a_single_photo_has_one_row(train: Train) -> None:
    training = train(preset())
    sheet = training.sheet(training.network())
    assert sheet.shape == (1, 3, TEXT + 2 * GAP + CELL + GAP, GAP + 2 * (CELL + GAP))


@pytest.mark.slow
@pytest.mark.parametrize("generator", [TEXTURE, STYLIZING_TEXTURE], ids=["texture", "stylizing"])
def test_the_sheet_of_a_texture_network_shows_three(
    generator: dict[str, Any], train: Train, photographs: Photographs
) -> None:
    settings = preset(generator, steps=30)  # so many that the running statistics are right
    training = train(settings, photographs=photographs if "content" in generator else None)
    steps_of(training)
    sheet = training.sheet(training.network())
    assert sheet.shape == (1, 3, GAP + CELL + GAP, GAP + 3 * (CELL + GAP))
    shown = [cell(sheet, 0, column, top=GAP) for column in range(3)]
    assert not shown[0].equal(shown[1])
    assert not shown[1].equal(shown[2])
    assert sheet.equal(training.sheet(training.network()))


def test_a_batch_that_the_processes_cannot_share(train: Train) -> None:
    with pytest.raises(UsageError) as caught:
        train(preset(batch=4), processes=Processes(count=3))
    assert str(caught.value) == "a batch of 4 cannot be shared by 3 processes"


RUN = preset(steps=36, validate_every=6)


def request(folder: Path, output: str, *, resume: bool = False) -> training_job.TrainingRequest:
    """What the command line would ask for."""
    return training_job.TrainingRequest(
        styles=[training_job.Lesson("cafe", folder / "cafe.jpg")],
        data=folder / "photos",
        output=folder / output,
        preset_name="p.yaml",
        preset=load_training_preset(str(folder / "p.yaml")),
        device="cpu",
        resume=resume,
    )


def history(folder: Path, output: str) -> list[dict[str, Any]]:
    """The training's log without what differs from run to run."""
    timing = ("seconds", "images_per_second")
    records = TrainingFolder(folder / output).records()
    return [{k: v for k, v in record.items() if k not in timing} for record in records]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_process_that_is_stopped_is_resumed_to_the_same_weights(
    number: signal.Signals, code: int, photo_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(photo_folder, tmp_path / "photos")
    shutil.copy(CAFE, tmp_path / "cafe.jpg")
    (tmp_path / "p.yaml").write_text(RUN.to_yaml())
    start = [sys.executable, "-m", "styleforge", "train", "--style", "cafe.jpg", "-p", "p.yaml"]
    process = subprocess.Popen(
        [*start, "--data", "photos", "-d", "cpu", "-o", "stopped.safetensors"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 12: validation loss "):
            break
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in err
    step = TrainingFolder(tmp_path / "stopped").load_checkpoint()["trainer"]["step"]
    assert 12 <= step < RUN.training.steps
    assert ("Interrupted at step" in err) == (number == signal.SIGINT)
    if number == signal.SIGINT:
        assert err.splitlines()[-1] == f"Interrupted at step {step}: --resume goes on from there"
    assert not (tmp_path / "stopped.safetensors").exists()

    resumed = request(tmp_path, "stopped.safetensors", resume=True)
    training_job.run(resumed)
    training_job.run(request(tmp_path, "whole.safetensors"))
    assert_same(*(load_file(tmp_path / f"{name}.safetensors") for name in ("stopped", "whole")))
    assert history(tmp_path, "stopped") == history(tmp_path, "whole")
    assert [record["step"] for record in history(tmp_path, "whole")] == [6, 12, 18, 24, 30, 36]


def test_a_batch_that_does_not_fit_is_refused_with_a_crop_that_would(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "free_memory", lambda _: 2**30)
    with pytest.raises(OutOfMemoryError) as caught:
        train(preset(batch=4, crop=1024))
    found = re.fullmatch(
        r"4 crops of 1024 x 1024 pixels need about (\d+\.\d) GiB of memory and 1\.0 GiB are there; "
        r"try `crop` (\d+)",
        str(caught.value),
    )
    assert found, caught.value
    train(preset(batch=4, crop=int(found[2])))
    with pytest.raises(OutOfMemoryError, match="use a smaller `batch`"):
        train(preset(batch=4096, crop=1024))
