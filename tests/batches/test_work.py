from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from styleforge.batches.work import Outcome, essence, is_finished, perform
from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.core.files import file_sha256
from styleforge.images.load import load_image
from styleforge.images.opening import read_recipe
from styleforge.images.save import save_image, to_levels
from styleforge.jobs.look import Look
from styleforge.jobs.painters import Frame, NetworkPainter, TransferPainter
from styleforge.jobs.recipe import Before, Input, load_recipe
from styleforge.jobs.styles import OptimizedStyle, TrainedStyle
from tests.batches.conftest import CPU, contents, task_for, write_photos
from tests.pictures import MAKE, ORIENTATION, camera_exif, flat, noise, opened

MEMORY = 2**40


@pytest.fixture
def photo(workplace: Path) -> Path:
    assert write_photos(workplace / "photos", 1)
    return Path("photos/photo1.png")


@pytest.fixture
def network(trained: TrainedStyle) -> NetworkPainter:
    return trained.painter(CPU, MEMORY)


@pytest.fixture
def transfer(optimized: OptimizedStyle) -> TransferPainter:
    return optimized.painter(CPU, MEMORY)


def status(outcome: Outcome) -> str:
    assert outcome.reason == ""
    assert outcome.seconds > 0
    return outcome.status


def test_a_task_writes_what_the_painter_makes(network: NetworkPainter, photo: Path) -> None:
    task = task_for(photo, "out/deep/a.png")
    outcome = perform(task, network)
    assert (outcome.task, status(outcome)) == (task, "done")
    expected = to_levels(network.paint(load_image(photo)))
    assert np.array_equal(np.asarray(Image.open(task.target)), expected)
    assert load_recipe(task.target) == network.recipe(Input(str(photo), file_sha256(photo)))
    assert [path.name for path in task.target.parent.iterdir()] == ["a.png"]


def test_what_is_finished_is_skipped_and_not_touched(network: NetworkPainter, photo: Path) -> None:
    task = task_for(photo, "out/a.png")
    perform(task, network)
    before = task.target.stat()
    assert status(perform(task, network)) == "skipped"
    after = task.target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert status(perform(task, network, force=True)) == "done"
    assert task.target.stat().st_ino != before.st_ino


def test_names_and_places_do_not_count(network: NetworkPainter, photo: Path) -> None:
    perform(task_for(photo, "out/a.png"), network)
    renamed = photo.rename("renamed.png").resolve()
    elsewhere = replace(network, model=replace(network.model, path=Path("moved.safetensors")))
    assert status(perform(task_for(renamed, "out/a.png"), elsewhere)) == "skipped"


def test_a_result_under_another_name_is_no_result(network: NetworkPainter, photo: Path) -> None:
    perform(task_for(photo, "out/a.png"), network)
    assert status(perform(task_for(photo, "out/b.png"), network)) == "done"


@pytest.mark.parametrize(
    "change",
    [
        {"look": Look(strength=0.5)},
        {"look": Look(colors="keep")},
        {"styles": {"harvest": 1.0}},
        {"look": Look(size=20)},
        {"look": Look(seed=1)},
        {"look": Look(depth=16)},
    ],
    ids=["strength", "colors", "styles", "size", "seed", "depth"],
)
def test_what_changed_is_redone(
    network: NetworkPainter, photo: Path, change: dict[str, Any]
) -> None:
    task = task_for(photo, "out/a.png")
    perform(task, network)
    other = replace(network, **change)
    assert status(perform(task, other)) == "done"
    assert status(perform(task, other)) == "skipped"


def test_a_changed_source_model_or_preset_is_redone(
    network: NetworkPainter, transfer: TransferPainter, photo: Path
) -> None:
    task = task_for(photo, "out/a.png")
    perform(task, network)
    retrained = replace(network, model=replace(network.model, sha256="another"))
    assert status(perform(task, retrained)) == "done"
    noise(40, 36, seed=5).save(photo)
    assert status(perform(task, retrained)) == "done"
    assert status(perform(task, transfer)) == "done", "another way to make it"
    assert status(perform(task, transfer)) == "skipped"
    settings = transfer.template.settings
    described = replace(transfer.template, settings=settings | {"description": "new words"})
    assert status(perform(task, replace(transfer, template=described))) == "skipped"
    seeded = replace(transfer.template, settings=settings | {"seed": 1})
    assert status(perform(task, replace(transfer, template=seeded))) == "done"


@pytest.mark.parametrize("kind", ["picture", "bytes", "newer"])
def test_a_file_of_someone_else_is_refused_and_kept(
    network: NetworkPainter, photo: Path, kind: str
) -> None:
    target = Path("out/a.png")
    target.parent.mkdir()
    if kind == "bytes":
        target.write_bytes(b"mine")
    else:
        recipe = json.dumps({"styleforge": {"format": 99}}) if kind == "newer" else ""
        save_image(target, load_image(photo).pixels, recipe=recipe)
    before = target.read_bytes()
    outcome = perform(task_for(photo, str(target)), network)
    assert (outcome.status, outcome.reason) == (
        "failed",
        "out/a.png exists and is not of styleforge; `force` overwrites it",
    )
    assert target.read_bytes() == before
    assert status(perform(task_for(photo, str(target)), network, force=True)) == "done"
    assert load_recipe(target)


def test_a_result_that_was_cut_short_is_redone_only_by_force(
    network: NetworkPainter, photo: Path
) -> None:
    """Nothing of ours is ever half-written, so a damaged file is someone else's."""
    task = task_for(photo, "out/a.png")
    perform(task, network)
    whole = task.target.read_bytes()
    task.target.write_bytes(whole[:60])
    assert perform(task, network).status == "failed"
    perform(task, network, force=True)
    assert task.target.read_bytes() == whole


def test_what_goes_wrong_with_one_picture_is_an_outcome(
    network: NetworkPainter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = photo.read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    Path("text.jpg").write_bytes(b"this is not a photo")
    Path("gone.jpg").symlink_to("nowhere")
    for name, reason in (
        ("cut.png", "cut.png is damaged or cut short (image file is truncated)"),
        ("text.jpg", "text.jpg is not an image that can be read"),
        ("gone.jpg", "no such file: gone.jpg"),
        ("two\n  lines.jpg", "no such file: two\n  lines.jpg"),
    ):
        outcome = perform(task_for(Path(name), "out/a.png"), network)
        assert (outcome.status, outcome.reason) == ("failed", reason)
    assert not Path("out").exists()
    for error, reason in (
        (OutOfMemoryError("out of memory at 9 x 9 pixels"), "out of memory at 9 x 9 pixels"),
        (MemoryError(), "out of memory"),
    ):

        def paint(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(NetworkPainter, "paint", paint)
        assert perform(task_for(photo, "out/a.png"), network).reason == reason


def test_a_source_that_may_not_be_read(
    network: NetworkPainter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("styleforge.batches.work.file_sha256", denied)
    outcome = perform(task_for(photo, "out/a.png"), network)
    assert outcome.reason == "photos/photo1.png cannot be read (permission denied)"


def test_a_place_that_cannot_be_written_is_an_outcome(network: NetworkPainter, photo: Path) -> None:
    Path("file").touch()
    assert perform(task_for(photo, "file/a.png"), network).status == "failed"
    deep = replace(network, look=Look(depth=16))
    outcome = perform(task_for(photo, "out/a.jpg"), deep)
    assert outcome.reason == "out/a.jpg: 16 bits need a .png or .tif file"
    outcome = perform(task_for(photo, str(photo)), network, force=True)
    assert outcome.reason == f"{photo} is one of the inputs; choose another output"


def test_a_bug_is_an_outcome_that_says_so(
    network: NetworkPainter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(*_: object) -> None:
        raise ZeroDivisionError("half a pixel")

    monkeypatch.setattr(NetworkPainter, "paint", paint)
    outcome = perform(task_for(photo, "out/a.png"), network)
    assert outcome.status == "failed"
    assert outcome.reason == "ZeroDivisionError: half a pixel (a bug; please report it)"


def test_a_name_that_is_too_long_is_an_outcome(network: NetworkPainter, photo: Path) -> None:
    target = Path("out") / ("x" * 252 + ".png")
    outcome = perform(task_for(photo, str(target)), network)
    assert outcome.reason == f"{target}: the name is too long; 255 bytes are the limit"


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_result_is_made_again(network: NetworkPainter, photo: Path, damage: str) -> None:
    task = task_for(photo, "out/a.png")
    perform(task, network)
    whole = task.target.read_bytes()
    middle = whole.index(b"IDAT") + 20
    cut = whole[:-40] if damage == "cut" else whole[:middle] + b"?" + whole[middle + 1 :]
    task.target.write_bytes(cut)
    assert status(perform(task, network)) == "done"
    assert task.target.read_bytes() == whole
    assert status(perform(task, network)) == "skipped"


def test_inputs_are_not_touched(
    network: NetworkPainter, transfer: TransferPainter, photo: Path
) -> None:
    before = contents(Path())
    times = {name: Path(name).stat().st_mtime_ns for name in before}
    for painter, target in ((network, "out/a.png"), (transfer, "out/b.png")):
        assert (
            perform(task_for(photo, target), painter, before=task_for(photo, str(photo))).status
            == "done"
        )
    after = contents(Path())
    assert set(after) - set(before) == {"out/a.png", "out/b.png"}
    assert {name: after[name] for name in before} == before
    assert {name: Path(name).stat().st_mtime_ns for name in before} == times


@pytest.mark.parametrize("target", ["out/a.png", "out/a.webp", "out/a.tif"])
def test_alpha_and_exif_are_kept(network: NetworkPainter, photo: Path, target: str) -> None:
    array = flat(200, 30, 60, 255)
    array[:, :24, 3] = 0  # the left half of the stored picture is invisible
    Image.fromarray(array).save(photo, exif=camera_exif(orientation=6))
    small = replace(network, look=Look(size=24))
    assert perform(task_for(photo, target), small).status == "done"
    image = opened(Path(target).read_bytes())
    assert (image.mode, image.size) == ("RGBA", (20, 24)), "upright"
    alpha = np.asarray(image.getchannel("A"))
    assert (alpha[:10].max(), alpha[14:].min()) == (0, 255)
    exif = image.getexif()
    assert ORIENTATION not in exif
    assert exif[MAKE] == "Canon"


def test_a_jpeg_is_laid_on_white(network: NetworkPainter, photo: Path) -> None:
    Image.fromarray(flat(200, 30, 60, 0)).save(photo)
    assert perform(task_for(photo, "out/a.jpg"), network).status == "done"
    image = Image.open("out/a.jpg")
    assert (image.mode, image.getextrema()) == ("RGB", ((255, 255),) * 3)


def test_it_starts_from_the_frame_before(transfer: TransferPainter, photo: Path) -> None:
    noise(40, 36, seed=6).save("last.png")
    noise(40, 36, seed=7).save("before.png")
    task, before = task_for(photo, "out/a.png"), task_for(Path("last.png"), "before.png")
    assert status(perform(task, transfer)) == "done"
    assert status(perform(task, transfer, before=before)) == "done"
    last, result = load_image("last.png"), load_image("before.png")
    content = Input(str(photo), file_sha256(photo))
    assert load_recipe(task.target) == transfer.recipe(
        content, Before(Input.of(last), Input.of(result))
    )
    expected = to_levels(transfer.paint(load_image(photo), Frame(last, result)))
    assert np.array_equal(np.asarray(Image.open(task.target)), expected)
    assert status(perform(task, transfer, before=before)) == "skipped"
    result.path.rename("moved.png")
    moved = task_for(Path("last.png"), "moved.png")
    assert status(perform(task, transfer, before=moved)) == "skipped"
    noise(40, 36, seed=8).save("moved.png")
    assert status(perform(task, transfer, before=moved)) == "done"


def test_only_the_painting_waits_for_its_turn(
    network: NetworkPainter, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, painted = threading.Lock(), []
    paint = NetworkPainter.paint

    def watched(*arguments: Any) -> Any:
        painted.append(turn.locked())
        return paint(*arguments)

    monkeypatch.setattr(NetworkPainter, "paint", watched)
    task = task_for(photo, "out/a.png")
    assert perform(task, network, turn=turn).status == "done"
    assert painted == [True]
    assert not turn.locked()
    with turn:
        assert perform(task, network, turn=turn).status == "skipped", "without a turn"


def test_the_essence_of_a_recipe() -> None:
    recipe = {
        "preset": "bold",
        "settings": {"description": "words", "size": 4, "layers": {"conv1_1": 1.0}, "sides": [1]},
        "content": {"path": "a.jpg", "sha256": "1", "weight": 1.0},
        "styles": [{"path": "b.jpg", "sha256": "2"}, {"path": "c.jpg", "sha256": "3"}],
        "init": None,
        "device": "cpu",
        "versions": {"torch": "2"},
        "masks": [],
    }
    assert essence(recipe) == {
        "settings": {"size": 4, "layers": {"conv1_1": 1.0}, "sides": [1]},
        "content": {"sha256": "1", "weight": 1.0},
        "styles": [{"sha256": "2"}, {"sha256": "3"}],
        "init": None,
        "masks": [],
    }


def test_a_recipe_is_found_in_every_format(network: NetworkPainter, photo: Path) -> None:
    recipe = network.recipe(Input(str(photo), file_sha256(photo)))
    for suffix in ("png", "jpg", "jpeg", "webp", "tif", "tiff"):
        target = Path(f"out/a.{suffix}")
        assert not is_finished(target, recipe)
        assert perform(task_for(photo, str(target)), network).status == "done"
        assert read_recipe(target) == recipe.to_json()
        assert is_finished(target, recipe)
        assert not is_finished(target, replace(recipe, strength=0.5))
    with pytest.raises(UsageError):
        is_finished(photo, recipe)


def test_a_pipe_is_an_outcome(network: NetworkPainter, workplace: Path) -> None:
    os.mkfifo(workplace / "pipe.png")
    outcome = perform(task_for(Path("pipe.png"), "out/a.png"), network)
    assert outcome.reason == "pipe.png is a pipe or a device, not a file"
