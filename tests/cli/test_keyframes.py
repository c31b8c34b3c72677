"""``styleforge video --keyframe``: frames painted by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleforge.films.shots import Shot
from styleforge.jobs.film_keyframes import stretches
from styleforge.jobs.recipe import VideoRecipe, load_recipe
from tests.cli.conftest import Command
from tests.cli.test_models import write_model
from tests.films.made import Array, cut_together, frames_of, save

SIZE = (96, 80)
RED = (230, 20, 20)


@pytest.fixture
def video(folder: Path, command: Command) -> Command:
    """``video("-o", "out.mkv")``: shots of 7 and 3 frames through m.safetensors; red.png, too."""
    write_model(folder / "m.safetensors")
    save(folder / "clip.mkv", cut_together(7, 3), options={"crf": "0"})
    Image.new("RGB", SIZE, RED).save(folder / "red.png")
    Image.new("RGB", (192, 160), (20, 20, 230)).save(folder / "blue.png")
    how = ("clip.mkv", "-m", "m.safetensors", "--crf", "0")
    return lambda *options: command("video", *how, *options)


def redness(frames: list[Array]) -> list[float]:
    return [float(frame[..., 0].mean() - frame[..., 2].mean()) for frame in frames]


@pytest.mark.parametrize(
    ("keyframes", "expected"),
    [
        ([], [(range(3, 9), None, None)]),
        ([5], [(range(3, 5), None, 5), (range(6, 9), 5, None)]),
        ([3, 8], [(range(3, 3), None, 3), (range(4, 8), 3, 8), (range(9, 9), 8, None)]),
    ],
)
def test_stretches_lie_between_keyframes(keyframes: list[int], expected: list[object]) -> None:
    assert stretches(Shot(3, 9), keyframes) == expected


def test_a_keyframe_flows_to_both_sides_within_its_shot(video: Command) -> None:
    assert video("-o", "plain.mkv").code == 0
    done = video("-o", "out.mkv", "--keyframe", "3=red.png")
    assert done.code == 0
    assert done.err.splitlines()[-1] == "10 frames in 2 shots"
    plain, keyed = (redness(frames_of(Path(name))) for name in ("plain.mkv", "out.mkv"))
    assert keyed[3] == pytest.approx(210, abs=5)
    added = [k - p for k, p in zip(keyed, plain, strict=True)]
    assert all(a <= b + 1 for a, b in pairwise(added[:4])), "from the shot's first frame on"
    assert all(a >= b - 1 for a, b in pairwise(added[3:7]))
    assert min(added[:7]) > 20
    assert added[7:] == [0, 0, 0], "not beyond the cut"


def test_between_two_keyframes_both_are_mixed(video: Command) -> None:
    assert video("-o", "out.mkv", "--keyframe", "6=blue.png", "--keyframe", "0=red.png").code == 0
    found = redness(frames_of(Path("out.mkv")))[:7]
    assert found[0] == pytest.approx(210, abs=5)
    assert found[6] == pytest.approx(-210, abs=5)
    assert all(a > b for a, b in pairwise(found)), "one becomes the other, without a jump"
    assert max(a - b for a, b in pairwise(found)) < 200


def test_a_time_names_the_frame_that_is_shown(video: Command) -> None:
    assert video("-o", "out.mkv", "--from", "0.04", "--keyframe", "0:00.09=red.png").code == 0
    recipe = load_recipe(Path("out.mkv"))
    assert isinstance(recipe, VideoRecipe)
    assert [one.number for one in recipe.keyframes] == [2]
    assert redness(frames_of(Path("out.mkv")))[2] == pytest.approx(210, abs=5)


@pytest.mark.slow
def test_info_shows_keyframes_and_rerun_takes_them(video: Command, command: Command) -> None:
    video("-o", "out.mkv", "--keyframe", "6=red.png", "--keyframe", "2=blue.png")
    assert (
        "nothing to do"
        in video("-o", "out.mkv", "--keyframe", "2=blue.png", "--keyframe", "6=red.png").err
    )
    shown = command("info", "out.mkv").text.splitlines()
    assert "keyframe 2 from blue.png" in shown
    listed = command("rerun", "out.mkv", "--list").text.splitlines()
    assert listed[2:] == ["keyframe   blue.png", "keyframe   red.png"]
    Path("blue.png").rename("moved.png")
    done = command("rerun", "out.mkv", "-o", "again.mkv")
    assert done.code == 2
    assert "blue.png, which is not there; say where it is with --keyframe" in done.err
    moved = ("--keyframe", "moved.png", "--keyframe", "red.png")
    assert command("rerun", "out.mkv", "-o", "again.mkv", *moved).code == 0
    assert np.array_equal(frames_of(Path("again.mkv")), frames_of(Path("out.mkv")))
    other = ("--keyframe", "red.png", "--keyframe", "red.png")
    done = command("rerun", "out.mkv", "-o", "other.mkv", *other)
    assert "red.png is not the file the picture was made from" in done.err


def test_a_film_without_keyframes_says_nothing_of_them(video: Command) -> None:
    video("-o", "out.mkv")
    assert "keyframes" not in load_recipe(Path("out.mkv")).to_dict()


@pytest.mark.slow
def test_workers_and_kills_change_nothing(video: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from styleforge.jobs import film_keyframes

    keyframes = ("--keyframe", "1=red.png", "--keyframe", "5=blue.png")
    assert video("-o", "whole.mkv", *keyframes).code == 0
    undisturbed = film_keyframes.followed
    for moment in (1, 2, 2, 1):
        count = iter(range(100))

        def failing(*parts: object, moment: int = moment, count=count) -> object:  # type: ignore[no-untyped-def]
            if next(count) == moment:
                raise MemoryError
            return undisturbed(*parts)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(film_keyframes, "followed", failing)
            assert video("-o", "out.mkv", *keyframes).code == 3
    report = video("-o", "out.mkv", *keyframes, "--workers", "2", "--json").json
    assert report["frames"] == 10
    assert Path("out.mkv").read_bytes() == Path("whole.mkv").read_bytes()
    assert not Path("out.mkv.frames").exists()


def test_after_a_painting(folder: Path, command: Command) -> None:
    save(folder / "clip.mkv", cut_together(3, size=(48, 40)), options={"crf": "0"})
    how = ("clip.mkv", "s.png", "-p", "p.yaml", "-n", "3", "--crf", "0", "-o", "out.mkv")
    assert command("video", *how, "--keyframe", "0=s.png").code == 2
    Image.new("RGB", (48, 40), RED).save("red.png")
    assert command("video", *how, "--keyframe", "1=red.png").code == 0
    assert redness(frames_of(Path("out.mkv")))[1] == pytest.approx(210, abs=5)


@pytest.mark.parametrize(
    ("keyframes", "message"),
    [
        (["red.png"], "--keyframe is a frame or a time, and a picture, such as 120=b.png or "
         "0:04.5=b.png (not 'red.png')"),
        (["soon=red.png"], "--keyframe is a frame or a time, and a picture, such as 120=b.png or "
         "0:04.5=b.png (not 'soon=red.png')"),
        (["10=red.png"], "--keyframe 10 is not a frame of the film; they are 0 to 9"),
        (["0:01=red.png"], "--keyframe 1 s is beyond the film, which ends at 0.40 s"),
        (["2=red.png", "0:00.09=blue.png"], "--keyframe 2 is there twice; name one picture for a "
         "frame"),
        (["0=no.png"], "no such file: no.png"),
        (["0=p.yaml"], "p.yaml is not an image that can be read"),
        (["0=s.png"], "s.png is 40 x 48 pixels, and frames are 96 x 80; a --keyframe has their "
         "shape"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake(video: Command, keyframes: list[str], message: str) -> None:
    options = [part for text in keyframes for part in ("--keyframe", text)]
    done = video("-o", "out.mkv", *options)
    assert (done.code, done.err) == (2, f"Error: {message}\n")
    assert not Path("out.mkv.frames").exists()


def test_a_keyframe_is_never_the_output(folder: Path, command: Command) -> None:
    save(folder / "clip.mkv", cut_together(1))
    write_model(folder / "m.safetensors")
    Image.new("RGB", SIZE, RED).save("red.webp")
    options = ("-o", "red.webp", "--force", "--keyframe", "0=red.webp")
    done = command("video", "clip.mkv", "-m", "m.safetensors", *options)
    assert done.err == "Error: red.webp is one of the inputs; choose another output\n"
