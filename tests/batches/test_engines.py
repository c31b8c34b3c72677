"""The engines agree, and go on when a worker is killed."""

from __future__ import annotations

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

import psutil
import pytest
import torch

from styleforge.batches.engines import Engine, Split
from styleforge.batches.local import run_local
from styleforge.batches.on_ray import run_on_ray
from styleforge.batches.plan import Batch, BatchWork, Painters
from styleforge.batches.work import Outcome
from styleforge.core.errors import UsageError, WorkError
from styleforge.jobs.styles import TrainedStyle
from tests.batches.conftest import CPU, MakeBatch, contents, write_photos
from tests.batches.test_kills import PHOTOS as MANY
from tests.cli.test_models import write_model
from tests.conftest import SAMPLES

pytestmark = pytest.mark.xdist_group("engines")  # clusters on one machine find each other

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without")


def local(batch: Batch) -> list[Outcome]:
    return list(run_local(batch, [Painters(batch, CPU)], Split(1, 1)))


def on_ray(
    batch: Batch, *, is_stopped: Callable[[], bool] = lambda: False, **engine: Any
) -> Iterator[Outcome]:
    return run_on_ray(
        BatchWork(batch), batch.tasks, CPU, Engine("ray", **engine), is_stopped=is_stopped
    )


def styleforge(
    folder: Path, *options: str, torchrun: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """``styleforge batch photos -m m.safetensors`` with one thread a picture."""
    launcher = ("torch.distributed.run", "--standalone", *torchrun, "-m") if torchrun else ()
    return subprocess.Popen(
        [
            *(sys.executable, "-m", *launcher, "styleforge", "batch", "photos"),
            *("-m", "m.safetensors", "--json", *options),
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, a model, and in local/ what is expected."""
    write_photos(tmp_path / "photos", MANY, size=(160, 120))
    write_model(tmp_path / "m.safetensors")
    process = styleforge(tmp_path, "-o", "local", "--threads", "1", "--workers", "1")
    assert f"{MANY} done, 0 failed, 0 skipped; " in process.communicate(timeout=120)[1]
    return tmp_path


def wait_for(something: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not something():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_a_cluster_that_is_not_there(ray_batch: Batch) -> None:
    """Comes before all others: Ray does not forget a cluster that this process has been in."""
    with pytest.raises(UsageError) as caught:
        list(on_ray(ray_batch, threads=1, address="auto"))
    assert str(caught.value).startswith("no Ray cluster at auto (")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@WITHOUT_GPU
def test_two_processes_of_torchrun_share_a_batch(folder: Path) -> None:
    bad = folder / "photos" / "bad.jpg"
    bad.write_bytes(b"no picture")
    two = ("--nproc-per-node", "2")
    process = styleforge(folder, "-o", "out", "--engine", "torchrun", torchrun=two)
    out, err = process.communicate(timeout=120)
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == len({line["source"] for line in lines}) == MANY + 1
    assert err.count(f"{MANY} done, 1 failed, 0 skipped; ") == 1, "told by the first one alone"
    assert err.count("Error: photos/bad.jpg is not an image that can be read\n") == 1
    assert process.returncode != 0
    assert contents(folder / "out") == contents(folder / "local")


@pytest.mark.slow
@WITHOUT_GPU
@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_starts_again_when_a_process_is_killed(folder: Path, rank: str) -> None:
    two = ("--nproc-per-node", "2", "--max-restarts", "1")
    process = styleforge(folder, "-o", "out", "--engine", "torchrun", torchrun=two)
    wait_for(lambda: len(list((folder / "out").glob("*.png"))) >= 3)
    for child in psutil.Process(process.pid).children():
        if child.environ().get("RANK") == rank:
            child.kill()
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert contents(folder / "out") == contents(folder / "local")
    statuses: dict[str, list[str]] = {}
    for line in map(json.loads, out.splitlines()):
        if "error" not in line:  # of a process that was asked to end when the other was killed
            statuses.setdefault(line["source"], []).append(line["status"])
    assert len(statuses) == MANY
    assert all(found.count("done") <= 1 for found in statuses.values()), "nothing is done twice"


@pytest.fixture
def ray_batch(trained: TrainedStyle, make_batch: MakeBatch, workplace: Path) -> Batch:
    write_photos(workplace / "photos", MANY, size=(160, 120))
    batch = make_batch([trained], output="local")
    assert {outcome.status for outcome in local(batch)} == {"done"}
    return make_batch([trained])


@pytest.fixture
def ray() -> Iterator[Any]:
    found = pytest.importorskip("ray")
    yield found
    found.shutdown()


def worker_processes(name: str = "ray::Worker") -> list[psutil.Process]:
    """Ray names an actor's process after its class."""
    mine = psutil.Process().children(recursive=True)
    return [process for process in mine if " ".join(process.cmdline()).startswith(name)]


@pytest.mark.slow
def test_two_workers_of_ray_go_on_when_one_is_killed(
    ray: Any, ray_batch: Batch, workplace: Path
) -> None:
    terminate = signal.getsignal(signal.SIGTERM)
    outcomes, killed = [], []
    for outcome in on_ray(ray_batch, threads=1, workers=2):
        outcomes.append(outcome)
        if len(outcomes) == 5:
            wait_for(lambda: len(worker_processes()) == 2)  # the second may still be starting
            workers = worker_processes()
            workers[0].kill()
            killed.append(workers[0].pid)
            assert signal.getsignal(signal.SIGTERM) == terminate
    assert killed
    assert {outcome.reason for outcome in outcomes} == {""}
    assert {outcome.task for outcome in outcomes} == set(ray_batch.tasks)
    assert len(outcomes) == MANY
    assert [o.status for o in outcomes].count("skipped") <= 1, "the one whose answer was lost"
    assert contents(workplace / "out") == contents(workplace / "local")
    assert not ray.is_initialized()


class Deadly(TrainedStyle):
    """Its painter ends the process."""

    def painter(self, *_: object) -> Any:
        os._exit(1)


@pytest.mark.slow
def test_a_picture_that_kills_its_worker_every_time_has_failed(
    ray: Any, trained: TrainedStyle, ray_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SAMPLES.parent))  # where workers find this module
    deadly = Deadly("cafe", trained.model, trained.styles)
    batch = replace(ray_batch, styles=[deadly], tasks=ray_batch.tasks[:1])
    outcomes = list(on_ray(batch, threads=1, workers=1))
    assert [(o.status, o.reason) for o in outcomes] == [
        ("failed", "photos/photo1.png: its worker died 3 times over it")
    ]
    assert not ray.is_initialized()


@pytest.mark.slow
def test_ray_begins_nothing_when_stopped(ray: Any, ray_batch: Batch) -> None:
    outcomes: list[Outcome] = []
    run = on_ray(ray_batch, threads=1, workers=2, is_stopped=lambda: len(outcomes) > 3)
    for outcome in run:
        outcomes.append(outcome)
    assert 4 <= len(outcomes) <= 6
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_a_cluster_that_runs_already_gives_what_it_has(
    ray_batch: Batch,
) -> None:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        batch = replace(ray_batch, tasks=ray_batch.tasks[:6])
        run = on_ray(batch, threads=1, workers=9, address=cluster.address)
        assert [outcome.status for outcome in run] == ["done"] * 6
        with pytest.raises(UsageError) as caught:
            list(on_ray(batch, threads=3, address=cluster.address))
        message = "the Ray cluster has no node with 3 CPU for a worker"
        assert str(caught.value) == message
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_workers_that_do_not_see_the_files(
    ray_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("styleforge.batches.on_ray.Path.cwd", lambda: Path("/nowhere"))
    with pytest.raises(WorkError) as caught:
        list(on_ray(ray_batch, threads=1, workers=1))
    assert str(caught.value).startswith("Ray's workers cannot start: ")
