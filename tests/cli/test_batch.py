from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from styleforge.batches import job as batch_job
from styleforge.core.files import MACHINE
from styleforge.jobs import painters as painters_module
from styleforge.jobs.painters import NetworkPainter, TransferPainter
from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, load_recipe
from tests.batches.conftest import contents, write_photos
from tests.cli.conftest import Command, Result
from tests.cli.test_models import TINY_TEXTURE, model_folder, write_model
from tests.pictures import noise

PHOTOS = ["photo1", "photo2", "photo3"]
MODEL = ("-m", "m.safetensors")
PAINTING = ("--style", "s.png", "-p", "p.yaml", "-n", "1")


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return model_folder(folder, monkeypatch)


@pytest.fixture
def batch(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``batch("photos", "-o", "out")``; there are photos/, s.png and m.safetensors.

    Its last line is without the time and the folder.
    """
    write_photos(folder / "photos", 3)
    write_model(folder / "m.safetensors")
    monkeypatch.setattr(os, "_exit", sys.exit)  # the tests go on

    def run(*arguments: object) -> Result:
        done = command("batch", *arguments)
        return replace(done, err=re.sub(r"; \d+ s, in \S+$", "", done.err, flags=re.MULTILINE))

    return run


def results(folder: str = "out") -> list[str]:
    return sorted(contents(Path(folder)))


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.text.splitlines()]


def recipe(name: str) -> TransferRecipe | StylizeRecipe:
    return load_recipe(Path(name))


def stylized(name: str) -> StylizeRecipe:
    found = recipe(name)
    assert isinstance(found, StylizeRecipe)
    return found


def transferred(name: str) -> TransferRecipe:
    found = recipe(name)
    assert isinstance(found, TransferRecipe)
    return found


def test_a_folder_through_a_model(batch: Command, command: Command) -> None:
    done = batch("photos", *MODEL, "-o", "out")
    assert (done.code, done.out, done.err) == (0, b"", "3 done, 0 failed, 0 skipped\n")
    assert results() == [f"{photo}_cafe.png" for photo in PHOTOS]
    command("stylize", "photos/photo2.png", *MODEL, "-o", "alone.png")
    assert Path("out/photo2_cafe.png").read_bytes() == Path("alone.png").read_bytes()


def test_a_folder_in_the_style_of_a_painting(batch: Command, command: Command) -> None:
    done = batch("photos", *PAINTING, "-o", "out")
    assert (done.code, done.out, done.err) == (0, b"", "3 done, 0 failed, 0 skipped\n")
    assert results() == [f"{photo}_s.png" for photo in PHOTOS]
    command("transfer", "photos/photo2.png", "s.png", "-p", "p.yaml", "-n", "1", "-o", "alone.png")
    assert Path("out/photo2_s.png").read_bytes() == Path("alone.png").read_bytes()


@pytest.mark.slow
def test_a_second_run_skips_all(batch: Command) -> None:
    batch("photos", *MODEL, "-o", "out")
    before = {name: os.stat(f"out/{name}") for name in results()}  # noqa: PTH116
    done = batch("photos", *MODEL, "-o", "out")
    assert (done.code, done.err) == (0, "0 done, 0 failed, 3 skipped\n")
    assert {name: os.stat(f"out/{name}") for name in results()} == before  # noqa: PTH116
    noise(40, 36, seed=9).save("photos/photo2.png")
    assert batch("photos", *MODEL, "-o", "out").err == "1 done, 0 failed, 2 skipped\n"
    again = batch("photos", *MODEL, "-o", "out", "--strength", "0.5")
    assert again.err == "3 done, 0 failed, 0 skipped\n"
    assert batch("photos", *MODEL, "-o", "out", "-f").err == "3 done, 0 failed, 0 skipped\n"


def test_json_is_a_line_for_every_picture(batch: Command) -> None:
    Path("photos/bad.jpg").write_bytes(b"no picture")
    Path("photos/photo3.png").unlink()
    batch("photos/photo1.png", *MODEL, "-o", "out")
    done = batch("photos", *MODEL, "-o", "out", "--json")
    found = {line.pop("source"): line for line in lines(done)}
    assert all(line.pop("seconds") >= 0 for line in found.values())
    good = {"style": "cafe", "reason": ""}
    assert found == {
        "photos/bad.jpg": {
            "target": "out/bad_cafe.jpg",
            "style": "cafe",
            "status": "failed",
            "reason": "photos/bad.jpg is not an image that can be read",
        },
        "photos/photo1.png": good | {"target": "out/photo1_cafe.png", "status": "skipped"},
        "photos/photo2.png": good | {"target": "out/photo2_cafe.png", "status": "done"},
    }
    assert done.code == 1
    assert done.err == (
        "Error: photos/bad.jpg is not an image that can be read\n1 done, 1 failed, 1 skipped\n"
    )


def test_a_failure_is_told_once_for_all_styles_and_the_rest_goes_on(batch: Command) -> None:
    Path("photos/photo2.png").write_bytes(b"no picture")
    done = batch("photos", *MODEL, "--style", "cafe", "--style", "harvest", "-o", "out")
    assert done.code == 1
    assert done.err == (
        "Error: photos/photo2.png is not an image that can be read\n4 done, 2 failed, 0 skipped\n"
    )
    assert len(results()) == 4


def test_quiet_prints_errors_only(batch: Command) -> None:
    done = batch("photos", *MODEL, "-o", "out", "-q")
    assert (done.code, done.out, done.err) == (0, b"", "")
    Path("photos/bad.jpg").write_bytes(b"no picture")
    done = batch("photos", *MODEL, "-o", "out", "-q", "-v")
    assert (done.code, done.out) == (1, b"")
    assert done.err == "Error: photos/bad.jpg is not an image that can be read\n"


def test_verbose_is_a_line_for_every_picture(batch: Command) -> None:
    Path("photos/bad.jpg").write_bytes(b"no picture")
    batch("photos/photo1.png", *MODEL, "-o", "out")
    done = batch("photos", *MODEL, "-o", "out", "-v")
    *told, error, summary = done.err.splitlines()
    assert sorted(re.sub(r"\d+\.\d", "N", line) for line in told) == [
        "done     out/photo2_cafe.png in N s",
        "done     out/photo3_cafe.png in N s",
        "failed   photos/bad.jpg is not an image that can be read",
        "skipped  out/photo1_cafe.png in N s",
    ]
    assert error == "Error: photos/bad.jpg is not an image that can be read"
    assert summary == "2 done, 1 failed, 1 skipped"


def test_fail_fast_begins_nothing_after_a_failure(batch: Command) -> None:
    write_photos(Path("photos"), 30)
    Path("photos/a.png").write_bytes(b"no picture")
    done = batch("photos", *MODEL, "-o", "out", "--fail-fast")
    assert done.code == 1
    error, summary = done.err.splitlines()
    assert error == "Error: photos/a.png is not an image that can be read"
    counts = re.fullmatch(r"(\d+) done, 1 failed, 0 skipped, (\d+) left", summary)
    assert counts is not None
    assert int(counts[2]) > 0
    assert len(results()) == int(counts[1])
    assert int(counts[1]) + int(counts[2]) == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_what_is_in_flight(
    batch: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write_photos(Path("photos"), 20)
    paint, signals = NetworkPainter.paint, [number]

    def interrupted(*arguments: Any) -> torch.Tensor:
        while signals:
            os.kill(os.getpid(), signals.pop())
        return paint(*arguments)

    monkeypatch.setattr(NetworkPainter, "paint", interrupted)
    done = batch("photos", *MODEL, "-o", "out")
    assert done.code == 130
    told = r"finishing 1; again to stop now\n"
    summary = r"(\d+) done, 0 failed, 0 skipped, (\d+) left, interrupted\n"
    counts = re.fullmatch(told + summary, done.err)
    assert counts is not None
    assert len(results()) == int(counts[1]) >= 1
    assert int(counts[2]) >= 10
    monkeypatch.setattr(NetworkPainter, "paint", paint)
    again = batch("photos", *MODEL, "-o", "out")
    assert again.err == f"{counts[2]} done, 0 failed, {counts[1]} skipped\n"


def test_ctrl_c_in_an_optimised_batch_begins_no_other_picture(
    batch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(Path("photos"), 6)
    paint = TransferPainter.paint

    def interrupted(*arguments: Any) -> torch.Tensor:
        time.sleep(0.5)  # others are read and wait for their turn
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        return paint(*arguments)

    monkeypatch.setattr(TransferPainter, "paint", interrupted)
    done = batch("photos", "--style", "s.png", "-p", "p.yaml", "-o", "out", "--workers", "1")
    assert (done.code, done.err) == (
        130,
        "finishing 1; again to stop now\n1 done, 0 failed, 0 skipped, 5 left, interrupted\n",
    )
    assert len(results()) == 1


def test_it_ends_with_its_time_and_folder(command: Command) -> None:
    write_photos(Path("photos"), 1)
    done = command("batch", "photos", "--style", "mosaic", "-o", "out")
    assert re.fullmatch(r"1 done, 0 failed, 0 skipped; \d+ s, in out\n", done.err)


def test_a_second_ctrl_c_ends_at_once(batch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    paint = NetworkPainter.paint

    signals = [signal.SIGTERM, signal.SIGINT]

    def interrupted(*arguments: Any) -> torch.Tensor:
        while signals:
            os.kill(os.getpid(), signals.pop())
        return paint(*arguments)

    monkeypatch.setattr(NetworkPainter, "paint", interrupted)
    before = set(threading.enumerate())
    done = batch("photos", *MODEL, "-o", "out")
    assert (done.code, done.err) == (
        130,
        "finishing 1; again to stop now\nInterrupted.\n",
    )
    for thread in set(threading.enumerate()) - before:  # or they would write in the next test
        if thread.is_alive():
            thread.join(10)


def test_who_publishes_can_leave_out_recipes(batch: Command) -> None:
    published = ("photos", *MODEL, "-o", "out", "--no-recipe", "--strip-metadata")
    done = batch(*published)
    assert (done.err, done.next) == ("3 done, 0 failed, 0 skipped\n", "")
    for path in Path("out").iterdir():
        assert len(Image.open(path).getexif()) == 0
    cut = Path("out", results()[0])
    cut.write_bytes(cut.read_bytes()[:100])
    assert batch(*published).err == "1 done, 0 failed, 2 skipped\n"
    assert "0 to do, 3 finished" in batch(*published, "--dry-run").text


def test_folders_below(batch: Command) -> None:
    write_photos(Path("photos/below/deep"), 1)
    Path("photos/notes.txt").touch()
    assert batch("photos", *MODEL, "-o", "out").err == "3 done, 0 failed, 0 skipped\n"
    assert batch("photos", *MODEL, "-o", "out", "-r").err == "1 done, 0 failed, 3 skipped\n"
    assert "below/deep/photo1_cafe.png" in results()
    assert batch("photos", *MODEL, "-o", "photos/out", "-r").err == "4 done, 0 failed, 0 skipped\n"
    again = batch("photos", *MODEL, "-o", "photos/out", "-r")
    assert again.err == "0 done, 0 failed, 4 skipped\n", "its own results are no photos"


def test_files_and_patterns(batch: Command) -> None:
    done = batch("photos/photo3.png", "photos/photo[12].png", *MODEL, "-o", "out")
    assert done.err == "3 done, 0 failed, 0 skipped\n"


def test_names_of_results(batch: Command) -> None:
    name = "{style}/{number:02}-{stem}.jpg"
    assert batch("photos", *MODEL, "-o", "out", "--name", name).code == 0
    assert results() == [f"cafe/0{number}-photo{number}.jpg" for number in (1, 2, 3)]


def test_every_photo_in_every_style(batch: Command) -> None:
    Path("t.png").write_bytes(Path("s.png").read_bytes())
    done = batch("photos", *PAINTING, "--style", "t.png:2", "-o", "out")
    assert done.err == "6 done, 0 failed, 0 skipped\n"
    assert results() == sorted(f"{photo}_{style}.png" for photo in PHOTOS for style in "st")
    for photo in PHOTOS:
        pixels = [np.asarray(Image.open(f"out/{photo}_{style}.png")) for style in "st"]
        assert np.array_equal(*pixels), "the same painting; one weight is as good as another"


def test_blends_of_paintings(batch: Command) -> None:
    noise(40, 48, seed=3).save("t.png")
    batch("photos/photo1.png", "--style", "s.png:0.7+t.png:0.3", *PAINTING[2:], "-o", "out")
    assert results() == ["photo1_s+t.png"]
    styles = transferred("out/photo1_s+t.png").styles
    assert [(style.path, style.weight) for style in styles] == [("s.png", 0.7), ("t.png", 0.3)]
    noise(40, 48, seed=4).save("u+v.png")
    batch("photos/photo1.png", "--style", "u+v.png", *PAINTING[2:], "-o", "out")
    assert [style.path for style in transferred("out/photo1_u+v.png").styles] == ["u+v.png"]


def test_a_blend_may_be_of_many_paintings(batch: Command) -> None:
    many = [f"{'long' * 12}{number}.png" for number in range(6)]
    for name in many:
        shutil.copy("s.png", name)
    blend = "+".join(f"{name}:0.1" for name in many)
    assert len(blend) > 255
    name = ("--name", "{stem}.png")
    done = batch("photos/photo1.png", "--style", blend, *PAINTING[2:], *name, "-o", "out")
    assert done.err == "1 done, 0 failed, 0 skipped\n"


def test_blends_and_styles_of_a_model(batch: Command) -> None:
    styles = ("--style", "cafe:0.7+harvest:0.3", "--style", "harvest")
    assert batch("photos/photo1.png", *MODEL, *styles, "-o", "out").code == 0
    assert stylized("out/photo1_cafe+harvest.png").styles == {"cafe": 0.7, "harvest": 0.3}
    assert stylized("out/photo1_harvest.png").styles == {"harvest": 1.0}


def test_trained_styles_and_models_by_name(home: Path, batch: Command) -> None:
    write_model(home / "mine.safetensors", styles=("sea", "harvest"))
    for options in (("--style", "harvest"), ("-m", "harvest"), ("-m", "mine", "--style", "sea")):
        assert batch("photos/photo1.png", *options, "-o", "out").code == 0
    assert results() == ["photo1_harvest.png", "photo1_sea.png"]
    assert Path(stylized("out/photo1_sea.png").model.path) == home / "mine.safetensors"
    mixed = batch("photos/photo1.png", "--style", "sea", *PAINTING, "-o", "out")
    assert mixed.err == "1 done, 0 failed, 1 skipped\n", "a trained style beside a painting"


def test_options_reach_the_painters(batch: Command) -> None:
    Path("photos/photo1.png").rename("a.png")
    options = ("--strength", "0.25", "--colors", "keep", "-s", "20", "--depth", "16", "-d", "cpu")
    assert batch("a.png", *MODEL, *options, "-o", "out").code == 0
    made = stylized("out/a_cafe.png")
    assert (made.strength, made.colors, made.size, made.depth) == (0.25, "keep", 20, 16)
    options = ("-s", "36", "-n", "3", "--beta", "7", "--memory", "4GiB")
    assert batch("a.png", "--style", "s.png", "-p", "p.yaml", *options, "-o", "out").code == 0
    settings = transferred("out/a_s.png").settings
    assert (settings["size"], settings["style"]["beta"]) == (36, 7)
    assert settings["optimizer"]["steps"] == 3
    assert transferred("out/a_s.png").preset == "p.yaml"


def test_the_environment_names_device_and_memory(
    batch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFORGE_DEVICE", "gpu")
    message = "Error: unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps\n"
    assert batch("photos", *MODEL, "-o", "out").err == message
    monkeypatch.setenv("STYLEFORGE_DEVICE", "cpu")
    monkeypatch.setenv("STYLEFORGE_MEMORY", "much")
    message = "Error: --memory is a size such as 8GiB or 500MiB (not 'much')\n"
    assert batch("photos", *MODEL, "-o", "out").err == message


@pytest.mark.parametrize("options", [("--workers", "2"), ("--threads", "1"), ()], ids=str)
def test_workers_and_threads_change_nothing(batch: Command, options: tuple[str, ...]) -> None:
    batch("photos", *MODEL, "-o", "one", "--workers", "1", "--threads", "1")
    assert batch("photos", *MODEL, "-o", "out", *options).code == 0
    assert contents(Path("out")) == contents(Path("one"))


@pytest.mark.parametrize(
    ("options", "cores", "expected"),
    [
        (("--workers", "2"), 4, (2, 2)),
        (("--threads", "3"), 4, (1, 3)),
        (("--threads", "8"), 4, (1, 8)),
        (("--workers", "3", "--threads", "5"), 4, (3, 5)),
        (("--sequence",), 4, (1, 4)),
        (("--sequence", "--threads", "2"), 4, (1, 2)),
    ],
    ids=str,
)
def test_the_split_that_was_asked_for(
    batch: Command,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    cores: int,
    expected: tuple[int, int],
) -> None:
    taken = []
    run_local = batch_job.run_local

    def watched(own: Any, painters: Any, split: Any, **others: Any) -> Any:
        taken.append((split.workers, split.threads))
        return run_local(own, painters, split, **others)

    monkeypatch.setattr(batch_job, "run_local", watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    assert batch("photos/photo1.png", *PAINTING, "-o", "out", *options).code == 0
    assert taken == [expected]


def test_a_sequence(batch: Command) -> None:
    assert batch("photos", *PAINTING, "-o", "out", "--sequence").code == 0
    starts = [transferred(f"out/{photo}_s.png").init for photo in PHOTOS]
    assert starts[0] is None
    assert [start and start.path for start in starts[1:]] == [
        *("out/photo1_s.png", "out/photo2_s.png"),
    ]
    again = batch("photos", *PAINTING, "-o", "out", "--sequence")
    assert again.err == "0 done, 0 failed, 3 skipped\n"


def test_rerun_of_a_sequences_frame_writes_the_same_bytes(batch: Command, command: Command) -> None:
    assert batch("photos", *PAINTING, "-o", "out", "--sequence").code == 0
    assert command("rerun", "out/photo2_s.png", "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("out/photo2_s.png").read_bytes()
    Path("photos/photo1.png").rename("first.png")
    done = command("rerun", "out/photo2_s.png", "-o", "third.png")
    assert done.err == (
        "Error: out/photo2_s.png was made from photos/photo1.png, which is not there; "
        "say where it is with --init-photo\n"
    )
    moved = ("--init-photo", "first.png")
    assert command("rerun", "out/photo2_s.png", "-o", "third.png", *moved).code == 0
    done = command("rerun", "out/photo2_s.png", "-o", "f.png", "--init-photo", "s.png")
    assert done.err == (
        "Error: s.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --init-photo\n"
    )


def test_a_dry_run_writes_nothing(batch: Command, folder: Path) -> None:
    before = contents(folder)
    done = batch("photos", *MODEL, "-o", "out", "--dry-run")
    assert (done.code, done.err) == (0, "")
    *told, device, takes = done.text.splitlines()
    assert told == [
        "photos   3",
        "sizes    40 x 36",
        "styles   cafe",
        "output   out: 3 to do, 0 finished",
    ]
    assert device.startswith("device   cpu (")
    assert re.fullmatch(r"takes    about \d+ s one after the other", takes)
    assert contents(folder) == before
    assert not Path("out").exists()


@pytest.mark.parametrize("options", [MODEL, PAINTING], ids=["model", "painting"])
def test_a_dry_run_counts_what_is_there(
    batch: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(painters_module, "_PROBE_SIDE", 32)
    monkeypatch.setattr("styleforge.transfers.estimate._PROBE_SIDES", (32,))
    batch("photos/photo1.png", *options, "-o", "out")
    Path("photos/text.jpg").write_bytes(b"no picture")
    noise(1, 1).save("photos/tiny.png")
    noise(2000, 40).save("photos/strip.png")
    plan = batch("photos", *options, "-o", "out", "--dry-run", "--json").json
    assert plan.pop("device").startswith("cpu (")
    assert plan.pop("seconds") >= 0
    assert plan == {
        "pictures": 6,
        "unreadable": 1,
        "styles": ["cafe" if options == MODEL else "s"],
        "to_do": 5,
        "finished": 1,
        "smallest": [1, 1],
        "largest": [2000, 40],
        "output": "out",
    }
    words = batch("photos", *options, "-o", "out", "--dry-run").text
    assert words.startswith("photos   6, 1 cannot be read\nsizes    1 x 1 to 2000 x 40\n")
    forced = batch("photos", *options, "-o", "out", "--dry-run", "--json", "-f").json
    assert (forced["to_do"], forced["finished"]) == (6, 0)


HINT = 'tell them apart with --name, such as "{stem}_{suffix}_{style}{ext}"'


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("photos",), "say in which style: --style painting.jpg, or --style NAME of a network", 2),
        (("no", *MODEL), "no such file or folder: no", 2),
        (("photos/*.gif", *MODEL), "no pictures in photos/*.gif", 2),
        (("photos", "-m", "no.safetensors"), "no such model file: no.safetensors", 4),
        (
            ("photos", *MODEL, "--style", "caffe"),
            "m has no style 'caffe' (did you mean cafe?); it has cafe, harvest",
            2,
        ),
        (("photos", "--style", "no.jpg"), "no such file: no.jpg", 2),
        (
            ("photos", "--style", "s.png:0"),
            "s.png:0: the weight of a style must be positive (not 0)",
            2,
        ),
        (
            ("photos", *PAINTING, "--style", "x/s.png"),
            "two styles are named s; name it once, or rename a file",
            2,
        ),
        (
            ("photos", *MODEL, "--style", "cafe", "--style", "cafe"),
            "two styles are named cafe; name it once, or rename a file",
            2,
        ),
        (
            ("photos", "--style", "s.png", "-p", "zzz"),
            "unknown preset 'zzz'; there are painterly, bold, gatys2016, gram, photo, preview, "
            "or give the path of a .yaml file",
            2,
        ),
        (
            ("photos", "--style", "s.png", "-p", "init.yaml"),
            "init: a batch starts from content, noise, recolored (not 'c.png')",
            2,
        ),
        (("photos", *MODEL, "--strength", "2"), "--strength is from 0 to 1 (not 2)", 2),
        (
            ("photos", *MODEL, "--colors", "x"),
            "--colors is style, content, luminance, keep (not 'x')",
            2,
        ),
        (("photos", *MODEL, "-s", "-1"), "--size is from 0 to 32768 (not -1)", 2),
        (("photos", *MODEL, "--depth", "12"), "--depth is 8 or 16 (not 12)", 2),
        (
            ("photos", *MODEL, "--engine", "spark"),
            "Invalid value for '--engine': Value error, 'spark' is not one of 'local', 'torchrun', "
            "'ray'.",
            2,
        ),
        (
            ("photos", *MODEL, "--address", "auto"),
            "--address is of a Ray cluster; use it with --engine ray",
            2,
        ),
        (
            ("photos", *PAINTING, "--threads", "100000"),
            "--workers times --threads is at most 4096 (not 100000)",
            2,
        ),
        (
            ("photos", *PAINTING, "--sequence", "--workers", "2"),
            "--sequence goes frame by frame: with --engine local and one worker",
            2,
        ),
        (
            ("photos", *PAINTING, "--sequence", "--engine", "ray"),
            "--sequence goes frame by frame: with --engine local and one worker",
            2,
        ),
        (
            ("photos", *MODEL, "--sequence"),
            "--sequence is for paintings, and cafe is a trained style; leave it out",
            2,
        ),
        (
            ("photos", *MODEL, "--engine", "torchrun"),
            "--engine torchrun is for processes that torchrun starts: "
            "torchrun --nproc-per-node 2 -m styleforge batch ... --engine torchrun",
            2,
        ),
        (
            ("photos", *MODEL, "--name", "{foo}.png"),
            "--name '{foo}.png' is not a pattern; "
            "it can hold {stem}, {style}, {ext}, {suffix}, {number}",
            2,
        ),
        (
            ("photos", *MODEL, "--name", "{suffix}.png"),
            "photos/photo1.png and photos/photo2.png would both become out/png.png; "
            + HINT.replace("suffix", "number"),
            2,
        ),
        (
            ("photos", "x", *MODEL, "--name", "{stem}.png"),
            "photos/photo1.png and x/photo1.jpg would both become out/photo1.png; " + HINT,
            2,
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_told_before_anything_is_written(
    home: Path,
    batch: Command,
    folder: Path,
    arguments: tuple[str, ...],
    message: str,
    code: int,
) -> None:
    Path("x").mkdir()
    shutil.copy("s.png", "x/s.png")
    noise().save("x/photo1.jpg")
    Path("init.yaml").write_text("init: c.png\n")
    before = contents(folder)
    done = batch(*arguments, "-o", "out")
    assert (done.code, done.out, done.err) == (code, b"", f"Error: {message}\n")
    assert contents(folder) == before
    assert not home.exists()


def test_an_output_that_is_an_input_or_no_folder(batch: Command, folder: Path) -> None:
    for output, message in (
        ("photos", "photos is also an input; choose another folder for the output"),
        (".", "photos has no pictures outside of the output, .; choose another folder"),
        ("s.png", "s.png cannot be made a folder (File exists)"),
        ("s.png/x", "s.png/x cannot be made a folder (Not a directory)"),
    ):
        done = batch("photos", *MODEL, "-o", output)
        assert (done.code, done.err) == (2, f"Error: {message}\n")
    assert set(contents(folder)) == {
        *("c.png", "s.png", "p.yaml", "m.safetensors"),
        *(f"photos/{photo}.png" for photo in PHOTOS),
    }


def test_a_style_is_never_overwritten(batch: Command) -> None:
    Path("out").mkdir()
    shutil.copy("s.png", "out/photo1_s.png")
    options = ("--style", "out/photo1_s.png", "-p", "p.yaml", "--name", "photo1_s.png", "-f")
    done = batch("photos/photo1.png", *options, "-o", "out")
    assert done.code == 2
    assert done.err == (
        "Error: out/photo1_s.png is one of the styles; choose another folder for the output\n"
    )
    assert Path("out/photo1_s.png").read_bytes() == Path("s.png").read_bytes()


def test_a_file_of_someone_else_is_kept_unless_forced(batch: Command) -> None:
    Path("out").mkdir()
    shutil.copy("c.png", "out/photo2_cafe.png")
    done = batch("photos", *MODEL, "-o", "out")
    reason = "out/photo2_cafe.png exists and is not of styleforge; --force overwrites it"
    assert done.err == f"Error: photos/photo2.png: {reason}\n2 done, 1 failed, 0 skipped\n"
    assert done.code == 1
    assert Path("out/photo2_cafe.png").read_bytes() == Path("c.png").read_bytes()
    assert batch("photos", *MODEL, "-o", "out", "-f").code == 0


def test_a_style_that_cannot_be_used_is_told_at_once(batch: Command) -> None:
    write_model(Path("oak.safetensors"), TINY_TEXTURE, styles=("oak",))
    done = batch("photos", "-m", "oak.safetensors", "-o", "out")
    message = "Error: oak makes textures: use texture with --model oak.safetensors\n"
    assert (done.code, done.err) == (2, message)
    noise(2000, 40).save("strip.png")
    for options in ((), ("--workers", "1")):
        done = batch("photos", "--style", "strip.png", *PAINTING[2:], "-o", "out", *options)
        assert done.err == (
            "Error: a style image is 2000 x 40 pixels: its longer side may be at most "
            "16 times its shorter; crop it\n"
        )
        assert done.code == 2


def test_what_a_killed_batch_has_left_is_cleared_away(batch: Command) -> None:
    Path("out").mkdir()
    dead, mine = 2**22 + 1, os.getpid()
    stale = [
        f".photo1_cafe.png.{dead}.{MACHINE}-abcdefg1",
        f".photo3_cafe.png.{dead}.{MACHINE}-_bcdefg2",
    ]
    others = [
        f".photo1_cafe.png.{mine}.{MACHINE}-abcdefg1",  # of a process that lives
        f".photo9_cafe.png.{dead}.{MACHINE}-abcdefg1",  # of another batch
        ".photo1_cafe.png.swp",
    ]
    for name in [*stale, *others]:
        Path("out", name).touch()
    assert batch("photos", *MODEL, "-o", "out").code == 0
    assert results() == sorted([*others, *(f"{photo}_cafe.png" for photo in PHOTOS)])


def test_engine_ray_needs_ray(batch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = batch("photos", *MODEL, "-o", "out", "--engine", "ray")
    assert done.err == "Error: --engine ray needs Ray: pip install 'styleforge[ray]'\n"
    assert done.code == 2
