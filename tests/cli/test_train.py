from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from styleforge.cli import train_run
from styleforge.images.load import load_image
from styleforge.networks.model_file import load_info, load_model
from styleforge.presets.networks import TextureSettings, TransformerSettings
from styleforge.presets.training import load_training_preset, training_presets
from styleforge.presets.transfer import TrainingStatisticName
from styleforge.training.folder import FORMAT, TrainingFolder
from styleforge.training.job import TrainingRequest, _Record
from styleforge.training.trainer import Trainer
from styleforge.training.training import TrainingProgress
from tests.cli.conftest import Command
from tests.cli.test_models import TINY, TINY_TEXTURE, write_model
from tests.conftest import mostly_slow
from tests.pictures import noise, opened

PRESET = """
generator: {kind: transformer, width: 2, blocks: 1, kernel: 3}
network: {normalized: false}
content: {layers: {conv1_2: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 4, batch: 2, crop: 32, learning_rate: 0.01, warm_up: 1, validate_every: 2}
"""
TEXTURE = """
generator: {kind: texture, scales: 2, width: 2}
network: {normalized: false}
content: {alpha: 0, layers: {conv1_1: 1.0}}
style: {beta: 10, size: 48, layers: {conv1_1: 1.0}}
training: {steps: 2, batch: 2, crop: 32, validate_every: 1}
"""
FILES = {".lock", "best.safetensors", "last.pt", "log.jsonl", "loss.png", "sheet.jpg"}
MODEL = Path("m.safetensors")
KEPT = Path("m.training")


@pytest.fixture
def bare(folder: Path, command: Command) -> Command:
    """``bare(...)``: styleforge train, with t.yaml, x.yaml (a texture's) and photos/ in place."""
    (folder / "t.yaml").write_text(PRESET)
    (folder / "x.yaml").write_text(TEXTURE)
    below = folder / "photos" / "below"
    below.mkdir(parents=True)
    for seed in range(4):
        noise(48, 40, seed=seed).save(below.parent / f"{seed}.png")
    noise(40, 44, seed=5).save(below / "5.JPG")
    (below / "text.jpg").write_bytes(b"this is not a photo")
    (below / "notes.txt").write_text("")
    return lambda *options: command("train", *options)


@pytest.fixture
def train(bare: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``train("--force")``: s.png into m.safetensors, by the quick preset, without its plot."""
    monkeypatch.setattr(TrainingFolder, "draw", lambda _: None)
    usual = ("--style", "s.png", "--data", "photos", "-p", "t.yaml", "-o", MODEL)
    return lambda *options: bare(*usual, *options)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def log(folder: Path = KEPT) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same_weights(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def after_step(number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    add = _Record.add

    def add_and_act(record: _Record, progress: TrainingProgress) -> None:
        add(record, progress)
        if progress.step == number:
            action()

    monkeypatch.setattr(_Record, "add", add_and_act)


def send(*numbers: signal.Signals) -> Callable[[], None]:
    def action() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return action


@pytest.mark.slow
def test_a_training_from_photographs_to_a_stylized_photo(
    folder: Path, bare: Command, command: Command
) -> None:
    before = names(folder)
    done = bare(
        *("--style", "night-cafe=s.png", "--data", "photos", "-p", "t.yaml", "-o", MODEL),
        *("--licence", "CC0"),
    )
    assert (done.code, done.out) == (0, b"")
    lines = done.err.splitlines()
    parameters = sum(x.numel() for x in load_file(MODEL).values())
    assert lines[:4] == [
        "style    night-cafe: s.png",
        "data     4 photographs to learn from, 1 to check with, 1 files that are not images",
        "         200 or more would be better",
        f"network  transformer, {parameters} parameters; 4 steps of 2 crops of 32 pixels",
    ]
    assert lines[4].startswith("device   cpu (")
    sheet_line = "sheet    m.training/sheet.jpg: unseen photos, painted anew every 2 steps"
    assert lines[5] == sheet_line
    number = r"[\d.e+-]+"
    for step, line in zip((2, 4), lines[6:8], strict=True):
        assert re.fullmatch(
            rf"step {step}: validation loss {number} \(content {number}, style {number}\), "
            rf"{number} images/s(, the best so far)?",
            line,
        )
    assert re.fullmatch(r"Saved m.safetensors after 4 steps in \d+ s", lines[8])
    assert lines[9:] == ["log, plot and sheet are in m.training"]

    assert names(folder) - before == {MODEL.name, KEPT.name}
    assert names(KEPT) == FILES
    assert [record["step"] for record in log()] == [2, 4]
    assert log()[0]["best"] is True
    assert log()[0]["loss"].keys() == log()[0]["validation"].keys()
    assert opened((KEPT / "loss.png").read_bytes()).format == "PNG"
    sheet = opened((KEPT / "sheet.jpg").read_bytes())
    assert (sheet.format, sheet.width > 2 * 256) == ("JPEG", True), "a photo and its pastiche"

    info = load_info(MODEL)
    assert info.generator == TINY
    assert [style.name for style in info.styles] == ["night-cafe"]
    assert info.styles[0].sha256 == load_image("s.png").sha256
    assert info.licence == "CC0"
    assert info.recipe["preset"] == "t.yaml"
    assert info.recipe["settings"]["training"]["steps"] == 4
    assert (info.recipe["photographs"], info.recipe["processes"]) == (4, 1)

    done = command("stylize", "c.png", "-m", MODEL)
    assert done.code == 0
    assert opened(Path("c_night-cafe.png").read_bytes()).size == (48, 40)


@pytest.mark.slow
def test_the_model_is_the_best_of_all_validations(train: Command) -> None:
    train("--steps", "6")
    best = min(log(), key=lambda record: record["validation"]["total"])
    assert same_weights(MODEL, KEPT / "best.safetensors")
    assert load_info(MODEL).recipe["steps"] == best["step"]


def test_quiet_prints_nothing(train: Command) -> None:
    done = train("-q", "-n", "1")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert MODEL.is_file()


@pytest.mark.slow
def test_json_is_one_object_on_one_line(train: Command) -> None:
    report = train("--json", "-q", "-n", "3").json
    assert report.pop("seconds") >= 0
    assert report.pop("validation") == min(record["validation"]["total"] for record in log())
    assert report == {
        "output": "m.safetensors",
        "interrupted": False,
        "steps": 3,
        "styles": ["s"],
    }


@pytest.mark.slow
def test_the_same_training_makes_the_same_weights(train: Command) -> None:
    train("-n", "2")
    MODEL.rename("first.safetensors")
    train("-f", "-n", "2")
    assert same_weights(MODEL, Path("first.safetensors"))
    train("-f", "-n", "2", "--seed", "1")
    assert not same_weights(MODEL, Path("first.safetensors"))


@pytest.mark.slow
def test_files_that_cannot_be_read_are_passed_over_and_counted(train: Command) -> None:
    whole = Path("photos/1.png").read_bytes()
    for name in ("1.png", "2.png"):
        Path("photos", name).write_bytes(whole[:2000])
    done = train()
    assert done.code == 0
    assert "1 files that are not images" in done.err
    assert log()[-1]["unreadable"] > 0


@pytest.mark.slow
def test_nothing_is_overwritten_without_force(train: Command) -> None:
    train("-n", "3")
    before = {path: path.read_bytes() for path in (MODEL, *KEPT.iterdir())}
    done = train()
    assert done.err == "Error: m.safetensors exists; use --force to overwrite it\n"
    assert done.code == 2
    assert {path: path.read_bytes() for path in (MODEL, *KEPT.iterdir())} == before
    MODEL.unlink()
    done = train()
    assert done.err == (
        "Error: m.training holds a training; use --resume to go on with it or --force to start "
        "anew\n"
    )
    assert done.code == 2
    assert train("--force", "-n", "1").code == 0
    assert [record["step"] for record in log()] == [1]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_an_interrupted_training_goes_on_to_the_same_result(
    train: Command, monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals
) -> None:
    train("-o", "whole.safetensors")
    with monkeypatch.context() as patch:
        after_step(step, patch, send(number))
        done = train()
    assert done.code == 130
    assert done.err.endswith(f"\nInterrupted at step {step}: --resume goes on from there\n")
    assert not MODEL.exists()
    assert (KEPT / "last.pt").is_file()
    done = train("--resume")
    assert done.code == 0
    assert "\nSaved m.safetensors after 4 steps in " in done.err
    assert same_weights(MODEL, Path("whole.safetensors"))
    losses = [
        [(record["step"], record["validation"], record["best"]) for record in log(folder)]
        for folder in (KEPT, Path("whole.training"))
    ]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_checkpoint(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("-o", "whole.safetensors")
    with monkeypatch.context() as patch:
        after_step(3, patch, send(signal.SIGINT, signal.SIGINT))
        done = train()
    assert done.code == 130
    assert train("--resume").code == 0
    assert same_weights(MODEL, Path("whole.safetensors"))
    assert [record["step"] for record in log()] == [2, 4]


@pytest.mark.slow
def test_a_training_killed_before_its_checkpoint_logs_no_step_twice(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = TrainingFolder.save_checkpoint

    def save_until_step_2(folder: TrainingFolder, state: dict[str, Any]) -> None:
        if state["trainer"]["step"] > 2:
            raise KeyboardInterrupt
        save(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingFolder, "save_checkpoint", save_until_step_2)
        assert train().code == 130
    assert [record["step"] for record in log()] == [2, 4]
    assert train("--resume").code == 0
    assert [record["step"] for record in log()] == [2, 4]


def test_two_trainings_into_one_output(train: Command) -> None:
    with TrainingFolder(MODEL).held():
        done = train()
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"Error: another process trains in {KEPT}; wait for its end or choose another output"
    )


@pytest.mark.slow
def test_an_interruption_in_the_photos_own_folder_can_be_resumed(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training's own sheet and plot are no photographs."""
    with monkeypatch.context() as patch:
        after_step(2, patch, send(signal.SIGINT))
        assert train("-o", "photos/m.safetensors", "-n", "3").code == 130
    assert train("-o", "photos/m.safetensors", "--resume", "-n", "3").code == 0


@pytest.mark.slow
def test_a_finished_training_can_be_resumed(train: Command) -> None:
    train("-n", "1")
    before = MODEL.read_bytes()
    MODEL.unlink()
    assert train("--resume", "-n", "1").code == 0
    assert MODEL.read_bytes() == before
    done = train("--resume", "-n", "1", "--dry-run")
    assert done.code == 0
    assert done.text.splitlines()[-1].startswith("takes    0 steps, about 0 s")


@pytest.mark.slow
def test_another_training_is_not_resumed(folder: Path, train: Command) -> None:
    train("-n", "1")
    before = (KEPT / "last.pt").read_bytes()
    (folder / "others").mkdir()
    for seed in range(3):
        noise(48, 40, seed=seed).save(folder / "others" / f"other{seed}.png")
    for options, what in (
        (("-n", "1", "--beta", "11"), "settings"),
        (("-n", "1", "--statistic", "neighbors"), "settings"),
        (("-n", "2"), "settings"),
        (("-n", "1", "--style", "c.png"), "styles"),
        (("-n", "1", "--data", "others"), "photographs"),
        (("-n", "1", "--seed", "1", "--data", "others"), "settings and photographs"),
    ):
        done = train("--resume", *options)
        assert done.err.endswith(
            f"\nError: the checkpoint was made with other {what}; "
            "resume with the same, or start anew with --force\n"
        )
        assert done.code == 2
        assert (KEPT / "last.pt").read_bytes() == before


def test_a_checkpoint_that_is_missing_or_damaged(folder: Path, train: Command) -> None:
    done = train("--resume", "-q")
    assert done.err == "Error: nothing to resume: m.training/last.pt does not exist\n"
    assert (done.code, KEPT.exists()) == (2, False)
    KEPT.mkdir()
    (KEPT / "last.pt").write_bytes(b"junk")
    done = train("--resume", "-q")
    assert done.err == "Error: m.training/last.pt is damaged; start anew with --force\n"
    torch.save({"format": FORMAT + 1}, KEPT / "last.pt")
    done = train("--resume", "-q")
    assert done.err == "Error: m.training/last.pt was made by a newer styleforge; upgrade it\n"
    assert done.code == 2
    assert names(folder) & {MODEL.name, KEPT.name} == {KEPT.name}


@pytest.mark.parametrize("statistic", mostly_slow(get_args(TrainingStatisticName)))
def test_a_training_by_any_statistic(train: Command, statistic: str) -> None:
    train("-n", "2", "-o", "gram.safetensors")
    done = train("-n", "2", "--statistic", statistic)
    assert done.code == 0
    assert load_info(MODEL).recipe["settings"]["style"]["statistic"] == statistic
    assert same_weights(MODEL, Path("gram.safetensors")) == (statistic == "gram")


@pytest.mark.slow
def test_an_interrupted_training_by_neighbors_goes_on_to_the_same_result(
    folder: Path, train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two styles that are added to a network, each with neighbors of its own."""
    write_model(folder / "two.safetensors")
    options = ("--add-to", "two.safetensors", "--style", "third=c.png", "--statistic", "neighbors")
    train(*options, "-o", "whole.safetensors")
    with monkeypatch.context() as patch:
        after_step(1, patch, send(signal.SIGTERM))
        assert train(*options).code == 130
    done = train(*options[:-1], "gram", "--resume")
    assert (done.code, "was made with other settings; " in done.err) == (2, True)
    assert train(*options, "--resume").code == 0
    assert same_weights(MODEL, Path("whole.safetensors"))


def test_several_styles_in_one_network(train: Command) -> None:
    noise(40, 48, seed=9).save("b.png")
    assert train("--style", "second=b.png", "-n", "3").code == 0
    model = load_model(MODEL)
    assert model.style_names == ["s", "second"]
    scale = load_file(MODEL)["encoder.0.normalization.scale"]
    assert scale.shape == (2, 2)
    assert not torch.equal(scale[0], scale[1])


def test_an_added_style_leaves_the_others_as_they_are(
    folder: Path, train: Command, command: Command
) -> None:
    write_model(folder / "two.safetensors")
    assert train("--add-to", "two.safetensors", "--style", "third=c.png", "-n", "2").code == 0
    before, after = load_file("two.safetensors"), load_file(MODEL)
    assert before.keys() == after.keys()
    for name, old in before.items():
        new = after[name]
        if "normalization" in name:
            assert torch.equal(new[:2], old)
            assert not torch.equal(new[2], old.mean(0))
            assert not torch.equal(new[3], old.mean(0))
        else:
            assert torch.equal(new, old)
    info = load_info(MODEL)
    assert [style.name for style in info.styles] == ["cafe", "harvest", "s", "third"]
    assert info.recipe["added_to"] == {"steps": 7}
    assert info.licence == "CC0", "that of the network that it was added to"
    for name, model in (("old.png", "two.safetensors"), ("new.png", MODEL)):
        command("stylize", "c.png", "-m", model, "--style", "harvest", "-o", name)
    assert np.array_equal(np.asarray(Image.open("old.png")), np.asarray(Image.open("new.png")))


@pytest.mark.slow
@pytest.mark.slow
def test_a_training_from_a_base_has_its_network_and_licence(folder: Path, train: Command) -> None:
    write_model(folder / "two.safetensors", TINY.model_copy(update={"width": 3}))
    based = PRESET.replace("generator: ", "base: two.safetensors\nx: ").splitlines()
    lines = [line for line in based if not line.startswith("x: ")]
    (folder / "b.yaml").write_text("\n".join(lines))
    assert train("-p", "b.yaml", "--style", "third=c.png", "-o", "whole.safetensors").code == 0
    info = load_info(Path("whole.safetensors"))
    assert isinstance(info.generator, TransformerSettings)
    assert info.generator.width == 3
    assert [style.name for style in info.styles] == ["s", "third"]
    assert (info.recipe["based_on"], info.licence) == ({"steps": 7}, "CC0")
    with pytest.MonkeyPatch.context() as patch:
        after_step(1, patch, send(signal.SIGTERM))
        assert train("-p", "b.yaml", "--style", "third=c.png").code == 130
    assert train("-p", "b.yaml", "--style", "third=c.png", "--resume").code == 0
    assert same_weights(MODEL, Path("whole.safetensors"))
    done = train("-p", "b.yaml", "-o", "two.safetensors", "-f")
    assert done.err == "Error: two.safetensors is one of the inputs; choose another output\n"


@pytest.mark.slow
def test_an_underpainting_is_in_the_paintings_colors(folder: Path, train: Command) -> None:
    (folder / "u.yaml").write_text(f"{PRESET}underpainting: true\n")
    write_model(folder / "two.safetensors")
    for options, known in (((), [1]), (("--add-to", "two.safetensors", "-f"), [0, 0, 1])):
        assert train("-p", "u.yaml", "-n", "2", *options).code == 0
        tensors = load_file(MODEL)
        assert tensors["underpainting.known"].tolist() == known
        luminance = load_image(Path("s.png")).pixels.mean((0, 2, 3)) @ torch.tensor(
            [0.299, 0.587, 0.114]
        )
        torch.testing.assert_close(tensors["underpainting.mean"][-1, 0], luminance)


@pytest.mark.slow
def test_one_painting_at_two_sizes_is_two_styles(bare: Command) -> None:
    usual = ("--data", "photos", "-p", "t.yaml", "-o", "two.safetensors")
    done = bare("fine=s.png@32", "bold=s.png@64", *usual)
    assert done.code == 0
    assert done.err.startswith("style    fine: s.png at 32 pixels\n")
    styles = load_info(Path("two.safetensors")).styles
    assert [style.name for style in styles] == ["fine", "bold"]
    assert styles[0].sha256 == styles[1].sha256
    resumed = bare("fine=s.png@32", "bold=s.png@48", *usual, "--resume")
    assert "the checkpoint was made with other styles" in resumed.err


@pytest.mark.slow
def test_an_interrupted_addition_goes_on_to_the_same_result(
    folder: Path, train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(folder / "two.safetensors")
    train("--add-to", "two.safetensors", "-o", "whole.safetensors")
    with monkeypatch.context() as patch:
        after_step(1, patch, send(signal.SIGTERM))
        assert train("--add-to", "two.safetensors").code == 130
    assert train("--add-to", "two.safetensors", "--resume").code == 0
    assert same_weights(MODEL, Path("whole.safetensors"))


def test_the_generator_of_the_network_that_is_added_to_counts(folder: Path, train: Command) -> None:
    write_model(folder / "two.safetensors", TINY.model_copy(update={"width": 3}))
    done = train("--add-to", "two.safetensors", "-p", "x.yaml", "-n", "1")
    assert done.code == 0
    assert "\nnetwork  transformer, " in done.err
    assert load_info(MODEL).recipe["settings"]["generator"]["width"] == 3


@pytest.mark.slow
def test_a_texture_needs_no_photographs(bare: Command, command: Command, folder: Path) -> None:
    done = bare("--style", "wood=s.png", "-p", "x.yaml", "-o", MODEL)
    assert (done.code, done.out) == (0, b"")
    lines = done.err.splitlines()
    assert lines[0] == "style    wood: s.png"
    assert lines[1].startswith("network  texture, ")
    assert names(KEPT) == FILES
    info = load_info(MODEL)
    assert info.generator == TextureSettings(scales=2, width=2)
    assert info.recipe["photographs"] == 0
    assert command("texture", "-m", MODEL, "-s", "48x32").code == 0
    assert (folder / "wood_48x32.png").is_file()


@pytest.mark.slow
def test_an_interrupted_texture_goes_on_to_the_same_result(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("-p", "x.yaml", "-o", "whole.safetensors")
    with monkeypatch.context() as patch:
        after_step(1, patch, send(signal.SIGTERM))
        assert train("-p", "x.yaml").code == 130
    assert train("-p", "x.yaml", "--resume").code == 0
    assert same_weights(MODEL, Path("whole.safetensors"))


@pytest.mark.parametrize("preset", mostly_slow(["t.yaml", "x.yaml"]))
def test_dry_run_says_what_it_would_take_and_writes_nothing(
    folder: Path, train: Command, preset: str
) -> None:
    before = names(folder)
    done = train("--dry-run", "-p", preset, "-n", "9")
    *lines, last = done.text.splitlines()
    assert lines[0] == "style    s: s.png"
    assert "; 9 steps of 2 crops of 32 pixels" in done.text
    assert lines[-1].startswith("device   cpu (")
    assert re.fullmatch(r"takes    9 steps, about \d+ s \(\d\.\d\d s a step\)", last)
    assert (done.code, done.err, names(folder)) == (0, "", before)
    done = train("--dry-run", "-p", preset, "-n", "9", "--statistic", "neighbors")
    assert (done.code, done.err, names(folder)) == (0, "", before)


def test_dry_run_as_json(train: Command) -> None:
    plan = train("--dry-run", "--json", "-n", "9").json
    assert plan.pop("seconds") >= 0
    assert plan == {
        "output": "m.safetensors",
        "photographs": len(names(Path("photos"))) - 1,
        "steps": 9,
    }


def test_dry_run_of_a_single_step(train: Command) -> None:
    assert "\ntakes    1 steps, about " in train("--dry-run", "-n", "1").text


def test_dry_run_refuses_what_the_training_would_refuse(train: Command) -> None:
    MODEL.write_bytes(b"mine")
    done = train("--dry-run")
    assert (done.code, done.out) == (2, b"")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[TrainingRequest]:
    """The trainings that would have run."""
    caught: list[TrainingRequest] = []
    monkeypatch.setattr(train_run, "run", lambda request, **_: caught.append(request))
    return caught


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("--steps", "training.steps", 7),
        ("--batch", "training.batch", 3),
        ("--crop", "training.crop", 40),
        ("--beta", "style.beta", 5.5),
        ("--statistic", "style.statistic", "neighbors"),
        ("--style-size", "style.size", 64),
        ("--seed", "seed", 9),
    ],
)
def test_an_option_overrides_the_preset(
    train: Command, requests: list[TrainingRequest], option: str, key: str, value: Any
) -> None:
    train()
    train(option, value)
    found = []
    for request in requests:
        setting: Any = request.preset
        for part in key.split("."):
            setting = getattr(setting, part)
        found.append(setting)
    assert found[1] == value
    assert found[0] != value


def test_the_default_preset_is_quick(bare: Command, requests: list[TrainingRequest]) -> None:
    bare("--style", "s.png", "-o", MODEL)
    assert requests[0].preset_name == "quick"
    assert requests[0].preset == load_training_preset("quick")


@pytest.mark.slow
def test_a_loss_that_stays_without_a_number_keeps_the_checkpoint(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        finite = Trainer._gradients_are_finite
        patch.setattr(
            Trainer, "_gradients_are_finite", lambda self: self.step_count < 3 and finite(self)
        )
        done = train()
    assert done.code == 1
    assert done.err.count("the loss was not finite: went back to step 2, half the learning") == 5
    assert done.err.endswith(
        "\nError: the loss was not finite 6 times; use smaller weights or a smaller learning rate; "
        "the last checkpoint is m.training/last.pt\n"
    )
    assert train("--resume").code == 0


def test_out_of_memory(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "step", failing)
    done = train("-q")
    assert done.err == ("Error: out of memory at 32 x 32 pixels; use a smaller --batch or --crop\n")
    assert done.code == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--style", "other/s.png"), "two styles are named 's'; name them: --style NAME=FILE"),
        (
            ("--style", "A b=c.png"),
            "'A b': a style's name has small letters, digits and hyphens",
        ),
        (
            ("--style", "b=c.png", "-p", "x.yaml"),
            "a texture network has one style; use -p multi for several",
        ),
        (("--style", "no.jpg"), "no such file: no.jpg"),
        (("--data", "no"), "no such folder: no"),
        (("--data", "s.png"), "no such folder: s.png"),
        (("--data", "other"), "other has 0 photographs; at least 2 are needed"),
        (("--data", "single"), "single has 1 photographs; at least 2 are needed"),
        (("-o", "m.pth"), "m.pth: a model's name must end in .safetensors"),
        (("-o", "no/m.safetensors"), "no such folder: no"),
        (("-o", "d.safetensors", "-f"), "d.safetensors is a directory; name a file"),
        (
            ("-p", "jonson"),
            "unknown preset 'jonson' (did you mean johnson?); there are "
            f"{', '.join(training_presets())}, or give the path of a .yaml file",
        ),
        (
            ("--crop", "8", "--batch", "0"),
            "t.yaml: training.batch: input should be greater than or equal to 1 (not 0); "
            "training.crop: input should be greater than or equal to 32 (not 8)",
        ),
        (
            ("--statistic", "grams"),
            "t.yaml: style.statistic: input should be 'gram', 'mean-std', 'covariance', "
            "'sliced-wasserstein' or 'neighbors' (not 'grams')",
        ),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
        (
            ("--add-to", "two.safetensors", "--style", "cafe=c.png"),
            "two has a style 'cafe' already; give another name",
        ),
        (
            ("--add-to", "wood.safetensors"),
            "wood is a texture network, which has one style",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(folder: Path, train: Command, options: tuple[str, ...], message: str) -> None:
    for name in ("other", "single", "d.safetensors"):
        (folder / name).mkdir()
    noise().save(folder / "single" / "a.png")
    (folder / "single" / "b.jpg").write_bytes(b"this is not a photo")
    write_model(folder / "two.safetensors")
    write_model(folder / "wood.safetensors", TINY_TEXTURE, styles=("oak",))
    before = names(folder)
    done = train(*options)
    assert done.err == f"Error: {message}\n"
    assert (done.code, done.out) == (2, b"")
    assert names(folder) == before


def test_inputs_are_not_overwritten(folder: Path, bare: Command) -> None:
    write_model(folder / "two.safetensors")
    before = (folder / "two.safetensors").read_bytes()
    options = ("--style", "third=c.png", "--data", "photos", "-p", "t.yaml")
    done = bare(*options, "--add-to", "two.safetensors", "-o", "two.safetensors", "-f")
    assert done.err == "Error: two.safetensors is one of the inputs; choose another output\n"
    assert done.code == 2
    assert (folder / "two.safetensors").read_bytes() == before


def test_a_full_disk_is_known_before_the_work(
    folder: Path, train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(folder)._replace(free=2**10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    before = names(folder)
    done = train()
    assert re.fullmatch(r"Error: no space in \.: 0 MiB free, \d+ MiB needed\n", done.err)
    assert (done.code, names(folder)) == (2, before)


def test_a_disk_that_fills_up_is_one_line(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "m.training/last.pt")

    monkeypatch.setattr("styleforge.training.folder.write_atomically", full)
    done = train("-q")
    assert done.err == "Error: m.training/last.pt: no space left on device\n"
    assert done.code == 1


def test_photographs_must_be_named(bare: Command) -> None:
    done = bare("--style", "s.png", "-p", "t.yaml", "-o", MODEL)
    assert done.err == "Error: say with --data where photographs to learn from are\n"
    assert done.code == 2


def test_a_network_to_add_to_that_is_missing(train: Command) -> None:
    done = train("--add-to", "no.safetensors")
    assert (done.code, done.err) == (4, "Error: no such model file: no.safetensors\n")
