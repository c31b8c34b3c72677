"""``styleforge video`` and ``styleforge flicker``."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleforge.films.reading import Levels, open_film, read_frames
from styleforge.jobs import film_painters
from styleforge.jobs.film_painters import Moved, SteadyNetwork
from styleforge.jobs.recipe import VideoRecipe, load_recipe
from tests.cli.conftest import Command
from tests.cli.test_models import write_model
from tests.conftest import mostly_slow
from tests.films.made import frames_of, pan, save, sound_of, times_of

TIMES = [0, 512, 1024, 1600, 2048, 2560]
"""Of six frames, one of them late."""


@pytest.fixture
def clip(folder: Path) -> Path:
    """clip.mp4: six frames of 48 x 40, with sound."""
    return save(folder / "clip.mp4", pan(6), times=TIMES, sound="aac")


@pytest.fixture
def video(clip: Path, command: Command) -> Command:
    """``video("-o", "out.mp4")``: clip.mp4 through m.safetensors."""
    write_model(clip.with_name("m.safetensors"))
    return lambda *options: command("video", "clip.mp4", "-m", "m.safetensors", *options)


def at_frame(number: int, monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Something happens while a frame is painted, the first being 0."""
    count = iter(range(100))
    following = SteadyNetwork.following

    def watched(self: SteadyNetwork, moved: Moved) -> Levels:
        if next(count) + 1 == number:
            do()
        return following(self, moved)

    monkeypatch.setattr(film_painters.SteadyNetwork, "following", watched)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_film_is_painted_with_its_times_and_sound(video: Command) -> None:
    done = video("-o", "out.mp4")
    assert done.code == 0
    assert done.err.splitlines()[-2].startswith("Saved out.mp4 (48 x 40) in ")
    assert done.err.splitlines()[-1] == "6 frames in 1 shot"
    assert times_of(Path("out.mp4")) == times_of(Path("clip.mp4"))
    assert sound_of(Path("out.mp4")) == sound_of(Path("clip.mp4"))
    assert not Path("out.mp4.frames").exists()
    before, after = frames_of(Path("clip.mp4"))[0], frames_of(Path("out.mp4"))[0]
    assert np.abs(before.astype(int) - after).mean() > 10


def test_the_same_command_twice_does_nothing(video: Command) -> None:
    video("-o", "out.mp4")
    content, status = Path("out.mp4").read_bytes(), Path("out.mp4").stat()
    again = video("-o", "out.mp4")
    assert again.code == 0
    assert again.err == "out.mp4 is there already, made in just this way; nothing to do\n"
    assert Path("out.mp4").stat().st_mtime_ns == status.st_mtime_ns
    assert video("-o", "out.mp4", "--force").code == 0
    assert Path("out.mp4").stat().st_mtime_ns != status.st_mtime_ns
    assert Path("out.mp4").read_bytes() == content


@pytest.mark.slow
def test_the_report_is_json(video: Command) -> None:
    report = video("-o", "out.mp4", "--json").json
    seconds = report.pop("seconds")
    assert seconds >= 0
    assert report.pop("device").startswith("cpu")
    assert report == {
        "output": "out.mp4",
        "width": 48,
        "height": 40,
        "frames": 6,
        "reused": 0,
        "shots": 1,
        "finished": True,
    }
    assert video("-o", "out.mp4", "--json").json["skipped"] is True


@pytest.mark.slow
def test_a_part_small_and_named_after_the_inputs(video: Command) -> None:
    assert video("--from", "0:00.04", "--to", "0.13", "-s", "32").code == 0
    film = open_film(Path("clip_painted.mp4"))
    assert film.size == (32, 26)
    assert [float(time) for time in times_of(film.path)] == pytest.approx([0, 0.04, 0.085])


@pytest.mark.slow
def test_after_an_interruption_there_is_a_film_and_it_goes_on(
    video: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    video("-o", "undisturbed.mp4")
    with monkeypatch.context() as patched:
        at_frame(3, patched, interrupt)
        done = video("-o", "out.mp4")
    assert done.code == 130
    assert "finishing this frame; again to stop now" in done.err
    assert "4 frames in 1 shot; the same command again goes on" in done.err
    assert times_of(Path("out.mp4")) == times_of(Path("clip.mp4"))[:4]
    end = float(times_of(Path("clip.mp4"))[4])
    assert sound_of(Path("out.mp4")) == [one for one in sound_of(Path("clip.mp4")) if one[0] < end]
    again = video("-o", "out.mp4")
    assert again.code == 0
    assert "6 frames, 4 of them from before" in again.err
    assert Path("out.mp4").read_bytes() == Path("undisturbed.mp4").read_bytes()
    assert not Path("out.mp4.frames").exists()


def test_frames_of_another_recipe_are_not_taken(
    video: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        at_frame(2, patched, interrupt)
        assert video("-o", "out.mp4").code == 130
    done = video("-o", "out.mp4", "--steady", "0.5")
    assert done.err == "Error: out.mp4 exists; use --force to overwrite it\n"
    report = video("-o", "out.mp4", "--steady", "0.5", "--force", "--json").json
    assert (report["frames"], report["reused"]) == (6, 0)


def test_a_frame_that_fails_leaves_what_is_finished(
    video: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        at_frame(3, patched, fail)
        assert video("-o", "out.mp4").code == 3
    assert sorted(path.name for path in Path("out.mp4.frames").glob("*.png")) == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    assert not Path("out.mp4").exists()
    assert video("-o", "out.mp4", "--json").json["reused"] == 3


def test_cuts_start_afresh(folder: Path, command: Command) -> None:
    write_model(folder / "m.safetensors")
    size = (96, 80)
    noise = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    save(folder / "two.mp4", [*pan(2, size=size), noise, noise])
    report = command("video", "two.mp4", "-m", "m.safetensors", "-o", "out.mp4", "--json").json
    assert report["shots"] == 2


def test_steadied_frames_flicker_less(folder: Path, command: Command) -> None:
    write_model(folder / "m.safetensors")
    save(folder / "clip.mkv", pan(4, size=(96, 80)), options={"crf": "0"})
    errors = {}
    for steady in ("0", "0.8"):
        name = f"{steady}.mp4"
        command("video", "clip.mkv", "-m", "m.safetensors", "-o", name, "--steady", steady)
        errors[steady] = command("flicker", "clip.mkv", name, "--json").json["painted"]
    assert errors["0.8"] < 0.5 * errors["0"]


def test_flicker_says_what_it_found(video: Command, command: Command) -> None:
    video("-o", "out.mp4", "--from", "0.04")
    done = command("flicker", "clip.mp4", "out.mp4", "-s", "64")
    assert done.code == 0
    original, painted, ratio = done.text.splitlines()
    assert original.startswith("original  0.")
    assert painted.endswith(" levels")
    assert float(ratio.removeprefix("ratio     ")) > 0
    assert done.err.startswith("Measured 4 pairs of frames in ")


@pytest.mark.parametrize("suffix", mostly_slow([".gif", ".webp"]))
def test_animations(folder: Path, video: Command, command: Command, suffix: str) -> None:
    made = folder / f"out{suffix}"
    assert video("-o", made).code == 0
    with Image.open(made) as image:
        assert getattr(image, "n_frames", 1) == 6
    assert command("info", made).text.startswith("made by  video\nfilm     clip.mp4\n")
    assert "nothing to do" in video("-o", made).err
    assert command("video", made, "-m", "m.safetensors", "-s", "32").code == 0
    assert open_film(folder / f"out_painted{suffix}").size == (32, 27)


def test_info_shows_the_recipe_and_rerun_repeats_it(video: Command, command: Command) -> None:
    video("-o", "out.mp4", "--to", "0.1", "--crf", "20")
    recipe = load_recipe(Path("out.mp4"))
    assert isinstance(recipe, VideoRecipe)
    assert (recipe.film.path, recipe.size, recipe.stop) == ("clip.mp4", (48, 40), 0.1)
    shown = command("info", "out.mp4").text.splitlines()
    assert shown[:5] == [
        "made by  video",
        "film     clip.mp4",
        "part     from 0 s to 0.1 s",
        "style    cafe of m.safetensors",
        "settings strength 1, colors style, seed 0",
    ]
    listed = command("rerun", "out.mp4", "--list").text.splitlines()
    assert listed == ["content    clip.mp4", "model      m.safetensors"]
    assert command("rerun", "out.mp4", "-o", "again.mp4").code == 0
    assert Path("again.mp4").read_bytes() == Path("out.mp4").read_bytes()


def test_after_a_painting_each_frame_starts_from_the_last(clip: Path, command: Command) -> None:
    assert clip.exists()
    options = ("-p", "p.yaml", "-n", "3", "--to", "0.1", "-o", "out.mp4")
    assert command("video", "clip.mp4", "s.png", *options).code == 0
    assert len(frames_of(Path("out.mp4"))) == 3
    assert command("info", "out.mp4").text.splitlines()[3:5] == [
        "painting s.png",
        "settings optimizer.steps 3",
    ]
    assert command("rerun", "out.mp4", "-o", "again.mp4").code == 0
    assert Path("again.mp4").read_bytes() == Path("out.mp4").read_bytes()


def test_the_plan_says_how_long_it_takes(video: Command) -> None:
    done = video("-o", "out.mp4", "--dry-run")
    lines = done.text.splitlines()
    assert lines[0] == "film     clip.mp4 (48 x 40, 0.24 s, 24.4898 frames a second)"
    assert lines[1] == "output   out.mp4 (48 x 40, libx264)"
    assert lines[2] == "sound    aac"
    assert lines[4].startswith("takes    6 frames, about ")
    lines = video("-o", "out.mp4", "--dry-run", "--workers", "2").text.splitlines()
    assert lines[4].endswith(" for one worker; each shot goes to one")
    plan = json.loads(video("-o", "out.mp4", "--dry-run", "--json").text)
    assert plan["frames"] == 6
    assert not Path("out.mp4").exists()


def test_a_film_of_one_frame_and_one_without_sound(folder: Path, video: Command) -> None:
    save(folder / "clip.mp4", pan(1))
    assert video("-o", "out.mp4").code == 0
    assert len(list(read_frames(open_film(folder / "out.mp4")))) == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-o", "out.avi"), 2, "out.avi: a film's name must end in one of .mp4, .m4v, .mov, "
         ".mkv, .webm, .gif, .webp"),
        (("-o", "clip.mp4", "--force"), 2, "clip.mp4 is one of the inputs; choose another output"),
        (("-o", "no/out.mp4"), 2, "no such folder: no"),
        (("--from", "1"), 2, "--from is 1 s, and the film has 0.24 s"),
        (("--from", "0.2", "--to", "0.1"), 2, "--to (0.1 s) must be after --from (0.2 s)"),
        (("--from", "soon"), 2, "--from is a time such as 90, 1:30 or 0:01:30.5 (not 'soon')"),
        (("--steady", "1"), 2, "--steady is from 0 to below 1 (not 1)"),
        (("--crf", "99"), 2, "--crf of libx264 is from 0 to 51 (not 99)"),
        (("-n", "3"), 2, "--steps is for paintings, and a network takes none; leave it out"),
        (("--style", "nobody"), 2, "m has no style 'nobody'; it has cafe, harvest"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_mistake(video: Command, options: tuple[str, ...], code: int, message: str) -> None:
    before = {path.name for path in Path().iterdir()}
    done = video(*options)
    assert (done.code, done.out, done.err) == (code, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before


def test_no_style_is_one_line(clip: Path, command: Command) -> None:
    assert clip.exists()
    assert command("video", "clip.mp4").err == (
        "Error: say in which style: styleforge video FILM PAINTING, or --style NAME of a network\n"
    )
    assert command("video", "c.png", "s.png", "-p", "p.yaml", "-o", "o.mp4").code == 0
