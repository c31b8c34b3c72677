from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image
from tqdm import tqdm

import styleforge.transfers.run
from styleforge.cli import transfer_run as run_module
from styleforge.cli.transfer_run import _Bar
from styleforge.core.errors import UsageError
from styleforge.core.files import MACHINE
from styleforge.images.load import load_image
from styleforge.images.opening import read_recipe
from styleforge.jobs.recipe import Input, TransferRecipe, load_recipe
from styleforge.jobs.spelling import painting
from styleforge.jobs.styles import Painting
from styleforge.jobs.transfer import TransferJob
from styleforge.optimize.coarse_to_fine import Progress
from tests.cli.conftest import Command
from tests.pictures import (
    DATE_TIME_ORIGINAL,
    EXIF_IFD,
    MAKE,
    ORIENTATION,
    camera_exif,
    flat,
    noise,
    opened,
)

REPORT = [
    "output",
    "width",
    "height",
    "device",
    "weights",
    "preset",
    "steps",
    "evaluations",
    "seconds",
    "loss",
]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_writes_a_picture_with_its_recipe(transfer: Command) -> None:
    done = transfer("-o", "out.png")
    assert (done.code, done.out) == (0, b"")
    image = opened(Path("out.png").read_bytes())
    assert (image.format, image.size) == ("PNG", (48, 40))
    recipe = load_recipe(Path("out.png"))
    assert recipe.content.path == "c.png"
    assert [style.path for style in recipe.styles] == ["s.png"]
    assert recipe.settings["optimizer"] == {"name": "lbfgs", "steps": 4}
    assert not np.array_equal(np.asarray(image), np.asarray(Image.open("c.png")))


def test_the_summary_names_the_file_the_device_and_the_losses(transfer: Command) -> None:
    first, second = transfer("-o", "out.png").err.splitlines()
    assert first.startswith("Saved out.png (48 x 40) in ")
    assert second.startswith("preset p.yaml, 5 evaluations on cpu (")
    assert ", loss " in second
    assert "(content " in second


def test_a_file_name_is_not_taken_for_markup(transfer: Command) -> None:
    assert "Saved a[bold]b.png (48 x 40)" in transfer("-o", "a[bold]b.png").err


def test_the_default_output_is_in_the_working_directory(folder: Path, command: Command) -> None:
    photos = folder / "photos"
    photos.mkdir()
    noise().save(photos / "cat.jpg")
    noise().save(photos / "b.jpg")
    done = command("transfer", "photos/cat.jpg", "s.png:2", "photos/b.jpg", "-p", "p.yaml")
    assert done.code == 0
    assert (folder / "cat_s_b.png").is_file()
    assert names(photos) == {"cat.jpg", "b.jpg"}


def test_the_default_output_of_long_names_can_be_written(folder: Path, command: Command) -> None:
    content, style = f"{'猫' * 60}.png", f"{'夜' * 60}.png"
    (folder / "c.png").rename(folder / content)
    (folder / "s.png").rename(folder / style)
    assert command("transfer", content, style, "-p", "p.yaml").code == 0
    assert any(name.startswith("猫" * 60 + "_夜") for name in names(folder))


def test_a_dash_writes_a_png_to_standard_output(folder: Path, transfer: Command) -> None:
    before = names(folder)
    done = transfer("-o", "-")
    assert done.code == 0
    assert opened(done.out).format == "PNG"
    assert opened(done.out).size == (48, 40)
    assert "Saved - (48 x 40)" in done.err
    assert names(folder) == before
    transfer("-o", "out.png")
    assert Path("out.png").read_bytes() == done.out


def test_json_is_one_object_on_one_line(transfer: Command) -> None:
    report = transfer("-o", "out.png", "--json").json
    assert list(report) == REPORT
    assert list(report["loss"]) == ["total", "content", "style"]
    assert report["output"] == "out.png"
    assert (report["width"], report["height"]) == (48, 40)
    assert report["device"].startswith("cpu (")
    assert (report["weights"], report["preset"]) == ("original", "p.yaml")
    assert (report["steps"], report["evaluations"]) == (4, 5)
    assert report["loss"]["total"] == pytest.approx(
        report["loss"]["content"] + report["loss"]["style"], rel=1e-5
    )


def test_quiet_prints_nothing(transfer: Command) -> None:
    done = transfer("-o", "out.png", "-q")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert Path("out.png").is_file()


def test_quiet_json_prints_json_only(transfer: Command) -> None:
    done = transfer("-o", "out.png", "-q", "--json")
    assert list(done.json) == REPORT
    assert done.err == ""


def test_verbose_says_the_device_first_and_the_losses(transfer: Command) -> None:
    lines = transfer("-o", "out.png", "-v").err.splitlines()
    assert lines[0].startswith("device cpu (")
    assert lines[0].endswith(", weights original")
    assert lines[1].startswith("48 x 40, step 0: loss ")


def test_no_bar_where_there_is_no_terminal(transfer: Command) -> None:
    err = transfer("-o", "out.png").err
    assert "\r" not in err
    assert "%" not in err


def test_a_bar_with_loss_and_time_left_on_a_terminal(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EagerBar(tqdm):
        def __init__(self, **options: Any) -> None:
            super().__init__(mininterval=0, **options)

    monkeypatch.setattr("styleforge.cli.progress.tqdm", EagerBar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    done = transfer("-o", "out.png")
    assert "%|" in done.err
    assert " left, loss " in done.err
    assert "%|" not in transfer("-o", "out.png", "-f", "-q").err


def test_dry_run_says_what_would_run_and_writes_nothing(folder: Path, transfer: Command) -> None:
    before = names(folder)
    done = transfer("--dry-run", "-o", "out.png")
    lines = done.text.splitlines()
    assert lines[:4] == [
        "content  c.png (48 x 40)",
        "style    s.png (40 x 48), weight 1",
        "output   out.png (48 x 40)",
        "preset   p.yaml, weights original",
    ]
    assert lines[4].startswith("device   cpu (")
    assert lines[5] == "scale    48 x 40, 4 steps, statistics"
    assert lines[6].startswith("takes    5 evaluations, about ")
    assert lines[6].endswith(" MiB of memory")
    assert len(lines) == 7
    assert (done.code, done.err, names(folder)) == (0, "", before)


@pytest.mark.slow
def test_dry_run_names_the_stages(folder: Path, transfer: Command) -> None:
    (folder / "p.yaml").write_text(
        "neighbors: {weight: 100.0, hypercolumns: 64, rounds: 4}\nscales: {start: 64, steps: 3}\n"
        "optimizer: {steps: 8}\nsize: 128\n"
    )
    lines = transfer("--dry-run", "-o", "out.png").text.splitlines()
    assert lines[5:7] == [
        "scale    64 x 54, 3 steps, neighbors of all layers together",
        "scale    128 x 107, 4 rounds of 2 steps, neighbors of each layer",
    ]


def test_dry_run_as_json(folder: Path, transfer: Command) -> None:
    before = names(folder)
    plan = transfer("--dry-run", "--json", "-s", "96").json
    assert plan["output"] == "c_s.png"
    assert plan["scales"] == [[96, 80, 4]]
    assert plan["evaluations"] == 5
    assert plan["seconds"] >= 0
    assert plan["memory_mib"] > 0
    assert list(plan) == [
        "output",
        "device",
        "weights",
        "preset",
        "scales",
        "evaluations",
        "seconds",
        "memory_mib",
    ]
    assert names(folder) == before


def test_dry_run_refuses_what_the_run_would_refuse(transfer: Command) -> None:
    assert transfer("--dry-run", "-o", "no/out.png").code == 2


def test_save_every_writes_snapshots(folder: Path, transfer: Command) -> None:
    before = names(folder)
    assert transfer("-o", "out.jpg", "-n", "6", "--save-every", "3").code == 0
    assert names(folder) - before == {"out.jpg", "out_0003.jpg", "out_0006.jpg"}
    assert opened(Path("out_0003.jpg").read_bytes()).size == (48, 40)
    stopped = replace(load_recipe(Path("out.jpg")), evaluations=4)  # type: ignore[arg-type]
    assert load_recipe(Path("out_0003.jpg")) == stopped
    assert Path("out_0006.jpg").read_bytes() == Path("out.jpg").read_bytes()
    assert Path("out_0003.jpg").read_bytes() != Path("out.jpg").read_bytes()


def test_what_killed_runs_left_of_their_snapshots_is_removed(
    folder: Path, transfer: Command
) -> None:
    left = folder / f".out_0003.png.{2**22 + 1}.{MACHINE}-abcdefg1"
    left.touch()
    assert transfer("-o", "out.png", "-n", "6", "--save-every", "3").code == 0
    assert not left.exists()


def test_save_every_overwrites_no_snapshot_without_force(transfer: Command) -> None:
    Path("out_0002.png").write_bytes(b"mine")
    done = transfer("-o", "out.png", "--save-every", "1")
    assert done.code == 2
    assert done.err == "Error: out_0002.png exists; use --force to overwrite it\n"
    assert Path("out_0002.png").read_bytes() == b"mine"
    assert not Path("out_0001.png").exists()
    assert transfer("-o", "out.png", "--save-every", "1", "-f").code == 0
    assert Path("out_0002.png").read_bytes() != b"mine"


def test_millions_of_snapshots_are_checked_at_once(transfer: Command) -> None:
    Path("out_0000004.png").write_bytes(b"mine")
    Path("out_0000005.png").write_bytes(b"in nobody's way")
    started = time.perf_counter()
    done = transfer("-o", "out.png", "-n", "3000000", "--save-every", "2")
    assert time.perf_counter() - started < 5
    assert done.err == "Error: out_0000004.png exists; use --force to overwrite it\n"
    assert done.code == 2


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("o.jpg", "JPEG"),
        ("o.jpeg", "JPEG"),
        ("o.webp", "WEBP"),
        ("o.tif", "TIFF"),
        ("O.PNG", "PNG"),
    ],
)
def test_the_output_has_the_format_of_its_name(
    transfer: Command, name: str, file_format: str
) -> None:
    assert transfer("-o", name).code == 0
    image = opened(Path(name).read_bytes())
    assert (image.format, image.size) == (file_format, (48, 40))
    assert load_recipe(Path(name)).depth == 8


def test_16_bits(transfer: Command) -> None:
    for name in ("out.png", "out.tif", "out8.png"):
        assert transfer("-o", name, "--depth", 8 if "8" in name else 16).code == 0
    _, _, rows, info = png.Reader(bytes=Path("out.png").read_bytes()).read()
    array = np.stack(list(rows)).astype(np.uint16).reshape(40, 48, 3)
    assert info["bitdepth"] == 16
    assert np.array_equal(tifffile.imread("out.tif"), array)
    assert len(np.unique(array)) > 1000, "more than 8 bits are in it"
    eight = np.asarray(Image.open("out8.png"))
    assert np.abs(array / 257 - eight).max() <= 0.5, "both are rounded"
    assert load_recipe(Path("out.png")).depth == 16


def test_size_zero_keeps_the_photos_own(folder: Path, transfer: Command) -> None:
    noise(70, 53).save(folder / "c.png")
    assert transfer("-o", "out.png", "-s", "0").code == 0
    assert opened(Path("out.png").read_bytes()).size == (70, 53)


def test_alpha_and_exif_are_kept(folder: Path, transfer: Command) -> None:
    array = flat(200, 30, 60, 255)
    array[:, :24, 3] = 0  # the left half of the stored picture is invisible
    Image.fromarray(array).save(folder / "c.png", exif=camera_exif(orientation=6))
    assert transfer("-o", "out.png").code == 0
    image = opened(Path("out.png").read_bytes())
    assert (image.mode, image.size) == ("RGBA", (40, 48)), "upright"
    rows = np.asarray(image)[..., 3]
    assert rows[:22].max() == 0
    assert rows[26:].min() == 255
    exif = image.getexif()
    assert ORIENTATION not in exif
    assert exif[MAKE] == "Canon"
    assert exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] == "2020:01:02 03:04:05"
    assert transfer("-o", "small.png", "-s", "44").code == 0
    assert opened(Path("small.png").read_bytes()).size == (37, 44)


def test_the_same_command_writes_the_same_bytes(transfer: Command) -> None:
    for name in ("a.png", "b.png"):
        transfer("-o", name, "--init", "noise")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    transfer("-o", "c2.png", "--init", "noise", "--seed", "1")
    pixels = [np.asarray(Image.open(name)) for name in ("a.png", "c2.png")]
    assert not np.array_equal(*pixels)


def test_an_initial_image_from_a_file(folder: Path, transfer: Command) -> None:
    noise(30 * 2, 50, seed=5).save(folder / "i.png")
    assert transfer("-o", "out.png", "--init", "i.png", "-n", "0").code == 0
    recipe = load_recipe(Path("out.png"))
    assert recipe.init is not None
    assert recipe.init.path == "i.png"
    assert opened(Path("out.png").read_bytes()).size == (48, 40), "the size is the content's"
    assert transfer("-o", "i.png", "--init", "i.png", "-f").code == 2, "an input is never replaced"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[TransferJob]:
    """The jobs that would have run."""
    caught: list[TransferJob] = []
    monkeypatch.setattr(run_module, "run", lambda job, _: caught.append(job))
    return caught


SETTINGS: list[tuple[str, str, str, Any]] = [
    ("--size", "STYLEFORGE_SIZE", "size", 64),
    ("--steps", "STYLEFORGE_STEPS", "optimizer.steps", 7),
    ("--optimizer", "STYLEFORGE_OPTIMIZER", "optimizer.name", "adam"),
    ("--init", "STYLEFORGE_INIT", "init", "noise"),
    ("--alpha", "STYLEFORGE_ALPHA", "content.alpha", 2.5),
    ("--beta", "STYLEFORGE_BETA", "style.beta", 77.0),
    ("--neighbors", "STYLEFORGE_NEIGHBORS", "neighbors.weight", 12.5),
    ("--strength", "STYLEFORGE_STRENGTH", "strength", 0.75),
    ("--tv", "STYLEFORGE_TV", "tv", 0.125),
    ("--statistic", "STYLEFORGE_STATISTIC", "style.statistic", "mean-std"),
    ("--style-scale", "STYLEFORGE_STYLE_SCALE", "style.scale", 1.5),
    ("--colors", "STYLEFORGE_COLORS", "colors", "luminance"),
    ("--pooling", "STYLEFORGE_POOLING", "network.pooling", "max"),
    ("--weights", "STYLEFORGE_WEIGHTS", "network.weights", "original"),
    ("--seed", "STYLEFORGE_SEED", "seed", 9),
]


def setting(job: TransferJob, key: str) -> Any:
    value: Any = job.request.preset
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("option", "variable", "key", "value"), SETTINGS)
def test_a_setting_by_option_and_by_environment(
    transfer: Command,
    jobs: list[TransferJob],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    variable: str,
    key: str,
    value: Any,
) -> None:
    transfer("-o", "a.png")
    transfer("-o", "a.png", option, value)
    monkeypatch.setenv(variable, str(value))
    transfer("-o", "a.png")
    by_preset, by_option, by_environment = (setting(job, key) for job in jobs)
    assert by_option == by_environment == value
    assert by_preset != value


def test_option_over_environment_over_preset_over_default(
    folder: Path, command: Command, jobs: list[TransferJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("transfer", "c.png", "s.png", "-o", "a.png")
    monkeypatch.setenv("STYLEFORGE_PRESET", "p.yaml")
    command(*arguments)
    monkeypatch.setenv("STYLEFORGE_SIZE", "56")
    command(*arguments)
    command(*arguments, "-s", "64")
    (folder / "q.yaml").write_text("")
    monkeypatch.delenv("STYLEFORGE_SIZE")
    command(*arguments, "-p", "q.yaml")
    assert [job.request.preset.size for job in jobs] == [48, 56, 64, 512]
    assert [job.request.preset_name for job in jobs] == ["p.yaml"] * 3 + ["q.yaml"]


def test_the_default_preset_is_painterly(command: Command, jobs: list[TransferJob]) -> None:
    command("transfer", "c.png", "s.png", "-o", "a.png")
    assert jobs[0].request.preset_name == "painterly"
    assert jobs[0].size == (512, 427)


def test_precision_and_memory_by_option_and_by_environment(
    transfer: Command, jobs: list[TransferJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer("-d", "cpu")
    transfer("-d", "cpu", "--precision", "float32", "--memory", "2GiB")
    monkeypatch.setenv("STYLEFORGE_PRECISION", "float32")
    monkeypatch.setenv("STYLEFORGE_MEMORY", "2GiB")
    transfer("-d", "cpu")
    usual, by_option, by_environment = (job.request for job in jobs)
    assert (usual.precision, usual.memory) == ("auto", None)
    assert by_option == by_environment
    assert (by_option.precision, by_option.memory) == ("float32", 2**31)
    assert [job.style.style.precision for job in jobs] == ["float32"] * 3, (
        "on a CPU there is no other"
    )


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("bf16", "--precision bf16 needs a CUDA GPU; use --precision float32"),
        ("tf32", "--precision tf32 needs a CUDA GPU; use --precision float32"),
        ("half", "unknown precision 'half'; use auto, float32, tf32, bf16"),
    ],
)
def test_a_precision_that_a_cpu_has_not(transfer: Command, precision: str, message: str) -> None:
    done = transfer("-d", "cpu", "--precision", precision)
    assert (done.code, done.err) == (2, f"Error: {message}\n")


def test_layers_replace_the_presets(transfer: Command, jobs: list[TransferJob]) -> None:
    transfer(
        *("--content-layer", "relu3_1"),
        *("--style-layer", "conv1_1=0.5", "--style-layer", "pool2=1e-1"),
    )
    transfer("--style-layer", "conv1_1", "--style-layer", "conv2_1")
    first, second = (job.request.preset for job in jobs)
    assert first.content.layers == {"relu3_1": 1.0}
    assert first.style.layers == {"conv1_1": 0.5, "pool2": 0.1}
    assert second.style.layers == {"conv1_1": 0.5, "conv2_1": 0.5}
    assert second.content.layers == {"conv1_1": 1.0}


def test_several_styles_with_weights_and_a_name_with_a_colon(
    folder: Path, command: Command
) -> None:
    noise(seed=2).save(folder / "odd:2.png")
    done = command(
        *("transfer", "c.png", "s.png:0.7", "odd:2.png", "odd:2.png:0.3"),
        *("-p", "p.yaml", "-o", "out.png"),
    )
    assert done.code == 0
    recipe = load_recipe(Path("out.png"))
    assert [(style.path, style.weight) for style in recipe.styles] == [
        ("s.png", 0.7),
        ("odd:2.png", 1.0),
        ("odd:2.png", 0.3),
    ]


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("a.jpg", "a.jpg", 1.0),
        ("me@home.jpg:2", "me@home.jpg", 2.0),
        ("a.jpg:0.3", "a.jpg", 0.3),
        ("a.jpg:1e-2", "a.jpg", 0.01),
        ("C:/a.jpg", "C:/a.jpg", 1.0),
        ("C:/a.jpg:2", "C:/a.jpg", 2.0),
        ("a:b.jpg", "a:b.jpg", 1.0),
        ("there:5", "there:5", 1.0),
        ("there:5:5", "there:5", 5.0),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_style_argument(text: str, path: str, weight: float) -> None:
    Path("there:5").write_bytes(b"")
    assert painting(text) == Painting(Path(path), weight)


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf"])
def test_a_style_argument_with_a_weight_that_is_none(weight: str) -> None:
    with pytest.raises(UsageError) as caught:
        painting(f"a.jpg:{weight}")
    assert str(caught.value) == (
        f"a.jpg:{weight}: the weight of a style must be positive (not {weight})"
    )


def test_a_style_argument_with_layers() -> None:
    expected = Painting(Path("a.jpg"), 0.3, ("conv1_1", "pool2"))
    assert painting("a.jpg:0.3@conv1_1+pool2") == expected


def test_styles_for_different_layers(folder: Path, command: Command) -> None:
    noise(seed=2).save(folder / "fine.png")
    layers = ("--style-layer", "conv1_1", "--style-layer", "conv2_1")
    done = command(
        *("transfer", "c.png", "s.png:2@conv2_1", "fine.png@conv1_1"),
        *("-p", "p.yaml", *layers, "-o", "out.png"),
    )
    assert (done.code, done.text) == (0, "")
    recipe = load_recipe(Path("out.png"))
    assert isinstance(recipe, TransferRecipe)
    assert [(style.weight, style.layers) for style in recipe.styles] == [
        (2.0, ["conv2_1"]),
        (1.0, ["conv1_1"]),
    ]


def masks(folder: Path) -> tuple[str, str]:
    """White on the left, and on the right."""
    left = np.zeros((40, 48), np.uint8)
    left[:, :24] = 255
    Image.fromarray(left).save(folder / "left.png")
    Image.fromarray(255 - left).save(folder / "right.png")
    return "left.png", "right.png"


def test_a_mask_leaves_the_photo_where_it_is_black(folder: Path, transfer: Command) -> None:
    left, _ = masks(folder)
    assert transfer("--mask", left, "-o", "out.png").code == 0
    found, photo = (np.asarray(Image.open(name)) for name in ("out.png", "c.png"))
    assert np.array_equal(found[:, 24:], photo[:, 24:])
    assert not np.array_equal(found[:, :24], photo[:, :24])
    recipe = load_recipe(Path("out.png"))
    assert isinstance(recipe, TransferRecipe)
    assert recipe.masks == [Input(left, load_image(left).sha256)]
    assert transfer("--mask", left, "-o", left, "-f").code == 2, "an input is never replaced"


def test_masks_for_two_styles(folder: Path, transfer: Command) -> None:
    left, right = masks(folder)
    noise(seed=2).save(folder / "t.png")
    assert transfer("t.png", "--mask", left, "--mask", right, "-o", "out.png").code == 0
    assert transfer("t.png", "-o", "blended.png").code == 0
    pair = [np.asarray(Image.open(name)) for name in ("out.png", "blended.png")]
    assert not np.array_equal(*pair)


def painting_masks() -> tuple[str, str]:
    """White above, and below, of the painting's shape."""
    upper = np.zeros((48, 40), np.uint8)
    upper[:24] = 255
    Image.fromarray(upper).save("upper.png")
    Image.fromarray(255 - upper).save("lower.png")
    return "upper.png", "lower.png"


@pytest.mark.slow
@pytest.mark.parametrize("way", [("--neighbors", "100"), ()], ids=["neighbors", "gram"])
def test_a_style_mask_changes_what_is_taken(transfer: Command, way: tuple[str, ...]) -> None:
    pictures = []
    for mask in painting_masks():
        assert transfer("--style-mask", mask, *way, "-o", "out.png", "-f").code == 0
        pictures.append(np.asarray(Image.open("out.png")))
        recipe = load_recipe(Path("out.png"))
        assert isinstance(recipe, TransferRecipe)
        assert recipe.style_masks == [Input(mask, load_image(mask).sha256)]
    assert not np.array_equal(*pictures)


@pytest.mark.slow
def test_a_source_map_is_written_beside_the_picture(transfer: Command) -> None:
    named = ("-o", "out.png", "--source-map", "map.png")
    assert transfer(*named, "--neighbors", "100").code == 0
    width, height = Image.open("map.png").size
    assert height == 40
    assert width == 48 + 12 + round(40 * 40 / 48), "the map, a gap and the painting as high"
    done = transfer(*named, "--neighbors", "100", "-o", "other.png")
    assert (done.code, done.err) == (2, "Error: map.png exists; use --force to overwrite it\n")


def test_after_an_interruption_in_the_sketch_there_is_no_source_map(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = Path("p.yaml").read_text()
    Path("p.yaml").write_text(preset + "neighbors: {weight: 100.0, sketch: 1.0}\nstrength: 1.0\n")
    after_step(1, monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    assert transfer("-o", "out.png", "--source-map", "map.png").code == 130
    assert Path("out.png").exists()
    assert not Path("map.png").exists()


def after_step(number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    show = _Bar.show

    def show_and_act(bar: _Bar, progress: Progress) -> None:
        show(bar, progress)
        if progress.step == number:
            action()

    monkeypatch.setattr(_Bar, "show", show_and_act)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_the_picture(
    transfer: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    transfer("-o", "four.png", "-n", "4")
    after_step(4, monkeypatch, lambda: os.kill(os.getpid(), number))
    done = transfer("-o", "out.png", "-n", "50", "--json")
    assert done.code == 130
    assert "Interrupted: saved what there is as out.png (48 x 40)" in done.err
    assert list(done.json) == REPORT
    assert done.json["steps"] == 4
    kept, expected = (load_image(name).pixels for name in ("out.png", "four.png"))
    assert torch.equal(kept, expected), "the picture after four steps"
    assert load_recipe(Path("out.png")).settings["optimizer"]["steps"] == 50


def test_an_interruption_writes_to_standard_output_too(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(4, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    done = transfer("-o", "-", "-n", "50")
    assert done.code == 130
    assert opened(done.out).size == (48, 40)


def test_an_interruption_before_the_first_step_leaves_nothing(
    folder: Path, transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = names(folder)
    monkeypatch.setattr(TransferJob, "start", interrupted)
    done = transfer("-o", "out.png", "--json")
    assert (done.code, done.err) == (130, "Interrupted.\n")
    assert done.json == {"error": "interrupted", "exit_code": 130}
    assert names(folder) == before


def out_of_memory_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    minimize = styleforge.transfers.run.minimize

    def failing(*arguments: Any, **options: Any) -> Iterator[Any]:
        for iterate in minimize(*arguments, **options):
            if iterate.step == step:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield iterate

    monkeypatch.setattr(styleforge.transfers.run, "minimize", failing)


def test_out_of_memory_saves_the_picture_so_far(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer("-o", "four.png", "-n", "4")
    out_of_memory_at(5, monkeypatch)
    done = transfer("-o", "out.png", "-n", "9")
    assert done.code == 3
    assert done.err == (
        "step 0 at 48 x 40: out of memory: goes on in smaller tiles\n"
        "Error: out of memory at 48 x 40 pixels; try --size 24; "
        "the picture so far was saved as out.png\n"
    )
    so_far, four = (load_image(name).pixels for name in ("out.png", "four.png"))
    assert so_far.shape == four.shape
    assert (so_far - four).abs().mean() < 0.1


def test_a_loss_that_is_not_finite_at_a_finer_scale_saves_the_coarser_picture(
    transfer: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "p.yaml").write_text(
        (folder / "p.yaml").read_text().replace("scales: null", "scales: {start: 48, steps: 3}")
    )
    minimize = styleforge.transfers.run.minimize

    def failing(objective: Any, start: Any, **options: Any) -> Iterator[Any]:
        if max(start.shape) == 80:
            raise FloatingPointError("the loss of the initial image is not finite")
        yield from minimize(objective, start, **options)

    monkeypatch.setattr(styleforge.transfers.run, "minimize", failing)
    done = transfer("-o", "out.png", "-s", "80")
    assert done.code == 2
    assert done.err == (
        "Error: the loss of the initial image is not finite; use smaller weights; "
        "the picture so far was saved as out.png\n"
    )
    assert opened(Path("out.png").read_bytes()).size == (80, 67)


def test_out_of_memory_writes_to_standard_output_too(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_at(5, monkeypatch)
    done = transfer("-o", "-", "-n", "9")
    assert done.code == 3
    assert done.err.endswith("the picture so far was saved as standard output\n")
    assert opened(done.out).size == (48, 40)


def test_out_of_memory_at_once_writes_nothing(
    folder: Path, transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(folder)
    out_of_memory_at(0, monkeypatch)
    done = transfer("-o", "out.png")
    assert done.code == 3
    assert done.err == "Error: out of memory at 48 x 40 pixels; try --size 24\n"
    assert names(folder) == before


def test_a_picture_that_memory_cannot_hold_is_refused_at_once(
    folder: Path, transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(folder)
    monkeypatch.setattr("styleforge.transfers.estimate.free_memory", lambda _: 2**24)
    done = transfer("-o", "out.png", "-s", "2048")
    assert done.code == 3
    assert done.err.startswith("Error: 2048 x 1707 pixels need about ")
    assert done.err.count("\n") == 1
    assert names(folder) == before


def test_a_full_disk_at_the_end_rescues_the_picture(
    folder: Path, transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from styleforge.images import save as output
    from tests.images.test_save import no_space

    write = output.write_atomically
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(
        output,
        "write_atomically",
        lambda to, content: no_space() if to == Path("out.png") else write(to, content),
    )
    done = transfer("-o", "out.png")
    (rescued,) = folder.glob("styleforge-*/out.png")
    assert done.code == 1
    assert done.err == (
        f"Error: out.png could not be written (no space left); the picture was saved as {rescued}\n"
    )
    assert json.loads(read_recipe(rescued))


def test_a_multi_scale_run_counts_and_interrupts_at_the_final_size(
    transfer: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "p.yaml").write_text(
        (folder / "p.yaml").read_text().replace("scales: null", "scales: {start: 48, steps: 3}")
    )
    report = transfer("-o", "out.png", "-s", "80", "--json").json
    assert (report["steps"], report["evaluations"]) == (7, 9)
    after_step(3, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert transfer("-o", "early.png", "-s", "80").code == 130
    assert opened(Path("early.png").read_bytes()).size == (80, 67), "enlarged from 48 x 40"


@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own(folder: Path) -> None:
    start = [sys.executable, "-m", "styleforge", "transfer", "c.png", "s.png", "-v"]
    process = subprocess.Popen(
        [*start, "-p", "p.yaml", "-n", "100000", "--optimizer", "adam", "-o", "out.png"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "step 0" in line:
            break
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Interrupted: saved what there is as out.png" in err
    assert "Traceback" not in err
    assert load_recipe(folder / "out.png").settings["optimizer"]["steps"] == 100000


def test_a_picture_for_a_closed_pipe_is_no_traceback(
    transfer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Closed()))
    done = transfer("-o", "-", "-q")
    assert done.code == 1
    assert done.err == ""


def test_a_preview_ends_as_the_result(transfer: Command) -> None:
    assert transfer("-o", "out.png", "--preview", "now.png").code == 0
    assert np.array_equal(np.asarray(Image.open("now.png")), np.asarray(Image.open("out.png")))
    assert transfer("-o", "out2.png", "--preview", "now.png").code == 0, "it is replaced"


@pytest.mark.parametrize(
    ("preview", "message"),
    [
        ("out.png", "out.png: --preview and --output are the same file"),
        ("c.png", "c.png is one of the inputs; choose another output"),
        ("no/now.png", "no such folder: no"),
        ("now.txt", "now.txt: the name must end in one of .png, .jpg, .jpeg, .webp, .tif, .tiff"),
    ],
)
def test_a_preview_that_cannot_be_kept(transfer: Command, preview: str, message: str) -> None:
    done = transfer("-o", "out.png", "--preview", preview)
    assert (done.code, done.err) == (2, f"Error: {message}\n")
