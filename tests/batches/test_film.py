"""A film's shots on several workers: the same bytes, and nothing lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from styleforge.batches.engines import Engine
from styleforge.batches.film import ShotsRun, carry_out, film_run
from styleforge.core.errors import StoppedError, UsageError
from styleforge.jobs.styles import Painting
from styleforge.jobs.video import VideoJob, VideoRequest
from styleforge.jobs.video_run import Underway, VideoRun
from tests.batches.conftest import PRESET
from tests.cli.test_models import write_model
from tests.conftest import mostly_slow
from tests.films.made import cut_together, frames_of, save
from tests.pictures import noise

LENGTHS = (3, 2, 4)
TWO = Engine(workers=2, threads=1)

Prepare = Callable[..., VideoJob]


@pytest.fixture
def prepare(workplace: Path) -> Prepare:
    """``prepare("out.mp4")``: clip.mp4, of three shots, through a network or after a painting."""
    save(workplace / "clip.mp4", cut_together(*LENGTHS), sound="aac")
    write_model(workplace / "m.safetensors")
    noise(40, 36, seed=5).save(workplace / "s.png")

    def prepared(output: str, *, network: bool = True, **options: Any) -> VideoJob:
        style: dict[str, Any] = {"styles": {"cafe": 1.0}, "model": "m.safetensors"}
        if not network:
            preset = PRESET.model_copy(update={"size": 64})
            style = {"paintings": [Painting(Path("s.png"))], "preset": preset}
        request = VideoRequest(Path("clip.mp4"), output=output, device="cpu", **style, **options)
        return VideoJob.prepare(request)

    return prepared


@pytest.mark.parametrize("network", mostly_slow([True, False]))
def test_several_workers_make_the_bytes_of_one(prepare: Prepare, network: bool) -> None:
    alone = film_run(prepare("alone.mp4", network=network), Engine())
    assert isinstance(alone, VideoRun)
    assert len(list(alone)) == sum(LENGTHS)
    for workers in (2, 5):
        run = ShotsRun(prepare(f"{workers}.mp4", network=network), Engine(workers=workers))
        records = list(run)
        assert [record.number for record in records if isinstance(record, Underway)] == [*range(9)]
        numbers = [record.number for record in records if not isinstance(record, Underway)]
        assert sorted(numbers) == [*range(9)]
        assert (run.tally.count, run.tally.shots, run.tally.is_whole) == (9, len(LENGTHS), True)
        assert Path(f"{workers}.mp4").read_bytes() == Path("alone.mp4").read_bytes()
        assert not Path(f"{workers}.mp4.frames").exists()


def painted(run: ShotsRun | VideoRun) -> Iterator[int]:
    return (record.number for record in run if not isinstance(record, Underway))


def test_a_run_that_is_stopped_leaves_the_frames_without_a_gap(prepare: Prepare) -> None:
    carry_out(prepare("whole.mp4"), Engine())
    done: list[int] = []
    run = ShotsRun(prepare("out.mp4"), TWO, lambda: len(done) >= 4)
    for number in painted(run):
        done.append(number)
    there = sorted(int(path.stem) for path in Path("out.mp4.frames").glob("0*.png"))
    assert len(there) >= 4
    without_gap = next(k for k in range(10) if k not in there)
    assert run.tally.count == without_gap
    assert not run.tally.is_whole
    assert len(frames_of(Path("out.mp4"))) == without_gap
    again = film_run(prepare("out.mp4"), Engine())
    assert len(list(again)) == 9
    assert again.tally.kept == len(there), "also those behind a gap"
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()


@pytest.mark.slow
def test_a_run_goes_on_from_one_frame_by_frame(prepare: Prepare) -> None:
    carry_out(prepare("whole.mp4"), Engine())
    done: list[int] = []
    first = VideoRun(prepare("out.mp4"), lambda: len(done) >= 4)
    for number in painted(first):
        done.append(number)
    run = ShotsRun(prepare("out.mp4"), TWO)
    list(run)
    assert (run.tally.count, run.tally.kept) == (9, 4)
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_stopped_before_anything_is_painted(prepare: Prepare) -> None:
    with pytest.raises(StoppedError, match="nothing was painted"):
        list(ShotsRun(prepare("out.mp4"), TWO, lambda: True))
    assert not Path("out.mp4").exists()


def test_an_error_in_a_worker_is_raised_and_what_is_finished_stays(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from styleforge.jobs import film_painters

    following = film_painters.SteadyNetwork.following
    count = iter(range(100))

    def fail(self: Any, moved: Any) -> Any:
        if next(count) == 2:
            raise MemoryError
        return following(self, moved)

    with monkeypatch.context() as patched:
        patched.setattr(film_painters.SteadyNetwork, "following", fail)
        with pytest.raises(MemoryError):
            list(ShotsRun(prepare("out.mp4"), TWO))
    assert list(Path("out.mp4.frames").glob("0*.png"))
    run = ShotsRun(prepare("out.mp4"), TWO)
    list(run)
    assert run.tally.kept >= 4


def test_two_processes_do_not_paint_one_film(prepare: Prepare) -> None:
    job = prepare("out.mp4")
    with job.work.held(), pytest.raises(UsageError) as caught:
        list(ShotsRun(prepare("out.mp4"), TWO))
    assert str(caught.value) == (
        "another process paints out.mp4; wait for its end or choose another output"
    )


def command(output: str, *options: str, torchrun: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    launcher = ("torch.distributed.run", "--standalone", *torchrun, "-m") if torchrun else ()
    how = ("--json", "--threads", "1", *options)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", *launcher, "styleforge", "video", "clip.mp4"),
            *("-m", "m.safetensors", "-o", output, *how),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def whole(workplace: Path) -> bytes:
    """clip.mp4, of 60 frames in 9 shots, through m.safetensors."""
    save(workplace / "clip.mp4", cut_together(*[4, 9] * 4, 8, size=(160, 120)), sound="aac")
    write_model(workplace / "m.safetensors")
    finish(command("whole.mp4"))
    return Path("whole.mp4").read_bytes()


def is_painting(output: str, frames: int) -> bool:
    return len(list(Path(f"{output}.frames").glob("0*.png"))) >= frames


def wait_for(something: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not something():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.slow
def test_a_film_that_is_killed_goes_on_whatever_paints_it(whole: bytes) -> None:
    delay = random.Random(0)
    for workers in ("2", "1", "3"):
        before = len(list(Path("out.mp4.frames").glob("0*.png")))
        process = command("out.mp4", "--workers", workers)
        wait_for(lambda: is_painting("out.mp4", before + 3) or process.poll() is not None)  # noqa: B023
        time.sleep(delay.uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert not Path("out.mp4").exists()
    finish(command("out.mp4", "--workers", "2"))
    assert Path("out.mp4").read_bytes() == whole
    assert not Path("out.mp4.frames").exists()


@pytest.mark.slow
def test_ctrl_c_leaves_a_film_of_what_is_finished(whole: bytes) -> None:
    process = command("out.mp4", "--workers", "2")
    wait_for(lambda: is_painting("out.mp4", 3))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "finishing this frame; again to stop now" in err
    frames = frames_of(Path("out.mp4"))
    assert np.abs(frames[0].astype(int) - frames_of(Path("whole.mp4"))[0]).mean() < 2
    assert 0 < len(frames) < 60
    finish(command("out.mp4", "--workers", "2"))
    assert Path("out.mp4").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without")
@pytest.mark.xdist_group("engines")
def test_torchrun_shares_the_shots(whole: bytes) -> None:
    two = ("--nproc-per-node", "2")
    out = finish(command("out.mp4", "--engine", "torchrun", torchrun=two))
    assert out.count('"frames": 60') == 1, "told by the first one alone"
    assert Path("out.mp4").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without")
@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_goes_on_when_a_process_is_killed(whole: bytes, rank: str) -> None:
    two = ("--nproc-per-node", "2", "--max-restarts", "1")
    process = command("out.mp4", "--engine", "torchrun", torchrun=two)
    wait_for(lambda: is_painting("out.mp4", 5))
    for child in psutil.Process(process.pid).children():
        if child.environ().get("RANK") == rank:
            child.kill()
    finish(process)
    assert Path("out.mp4").read_bytes() == whole
    assert not Path("out.mp4.frames").exists()


def workers_of_ray(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if " ".join(one.cmdline()).startswith("ray::Worker")]


@pytest.mark.slow
@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("killed", [False, True])
def test_ray_paints_shots(whole: bytes, killed: bool) -> None:
    pytest.importorskip("ray")
    process = command("out.mp4", "--engine", "ray", "--workers", "2")
    if killed:
        wait_for(lambda: is_painting("out.mp4", 3))
        workers_of_ray(process)[0].kill()
    assert '"frames": 60' in finish(process)
    assert Path("out.mp4").read_bytes() == whole
    assert not Path("out.mp4.frames").exists()
