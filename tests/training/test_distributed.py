from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed

from styleforge.core.errors import UsageError
from styleforge.networks.model_file import load_model
from styleforge.training.distributed import Processes, check_batch, joined, own_device
from styleforge.training.folder import TrainingFolder
from tests.conftest import CAFE
from tests.training.conftest import assert_same, preset


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with joined("auto") as processes:
        assert processes == Processes(count=1, rank=0)
        assert not torch.distributed.is_initialized()


def test_one_process_is_the_first_and_agrees_with_itself() -> None:
    assert Processes().is_first
    assert Processes().agree(3) == 3
    values = torch.rand(4)
    assert Processes().mean(values).equal(values)
    assert not Processes(count=2, rank=1).is_first


@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without a GPU")
def test_torchruns_processes_are_joined_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": 0, "WORLD_SIZE": 1}
    for name, value in (settings | {"TORCHELASTIC_RUN_ID": "test"}).items():
        monkeypatch.setenv(name, str(value))
    with joined("auto") as processes:
        assert processes == Processes(count=1, rank=0)
        assert torch.distributed.get_backend() == "gloo"
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("name", "count", "local", "expected"),
    [
        ("auto", 2, "1", "cuda:1"),
        ("cuda", 2, "0", "cuda:0"),
        ("cuda:3", 2, "1", "cuda:3"),
        ("cpu", 2, "1", "cpu"),
        ("auto", 2, None, "auto"),
        ("auto", 1, "0", "auto"),
    ],
)
def test_each_process_takes_its_own_gpu(
    name: str, count: int, local: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert own_device(name, Processes(count=count)) == expected


def test_without_a_gpu_the_device_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("auto", Processes(count=2)) == "auto"


@pytest.mark.parametrize(("batch", "count"), [(4, 1), (4, 2), (4, 4), (6, 3)])
def test_a_batch_that_can_be_shared(batch: int, count: int) -> None:
    check_batch(batch, Processes(count=count))


@pytest.mark.parametrize(("batch", "count"), [(1, 2), (4, 3), (2, 4)])
def test_a_batch_that_cannot_be_shared(batch: int, count: int) -> None:
    with pytest.raises(UsageError) as caught:
        check_batch(batch, Processes(count=count))
    assert str(caught.value) == f"a batch of {batch} cannot be shared by {count} processes"


@pytest.fixture
def workplace(photo_folder: Path, tmp_path: Path) -> Path:
    """Photographs, a painting and a preset."""
    shutil.copytree(photo_folder, tmp_path / "photos")
    shutil.copy(CAFE, tmp_path / "cafe.jpg")
    (tmp_path / "p.yaml").write_text(preset(steps=3, batch=4, validate_every=1).to_yaml())
    return tmp_path


def started(
    workplace: Path, *options: str, processes: int = 1, restarts: int = 0
) -> subprocess.Popen[str]:
    """``styleforge train`` with one thread a process."""
    torchrun = [
        *("torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)),
        *("--max-restarts", str(restarts), "-m"),
    ]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", *(torchrun if processes > 1 else []), "styleforge", "train"),
            *("--style", "cafe.jpg", "--data", "photos", "-p", "p.yaml", "-d", "cpu", *options),
        ],
        cwd=workplace,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(workplace: Path, *options: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    process = started(workplace, *options, processes=processes)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def losses(workplace: Path, output: str) -> list[dict[str, float]]:
    records = TrainingFolder(workplace / output).records()
    return [terms for record in records for terms in (record["loss"], record["validation"])]


TAKEN_OUT = ("convolution.bias", "second.normalization.shift")
"""The normalisation that follows takes these out: their gradient is nothing but rounding."""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without a GPU")
def test_two_processes_learn_what_one_learns(workplace: Path) -> None:
    two = train(workplace, "-o", "two.safetensors", processes=2)
    one = train(workplace, "-o", "one.safetensors")
    assert (two.returncode, one.returncode) == (0, 0), two.stderr + one.stderr
    assert two.stderr.count("Saved two.safetensors after 3 steps") == 1, "by the first one alone"
    assert ", 2 processes\n" in two.stderr
    for log, other in zip(*(losses(workplace, name) for name in ("two", "one")), strict=True):
        assert log == pytest.approx(other, rel=1e-4)
    found, expected = (load_model(workplace / f"{name}.safetensors") for name in ("two", "one"))
    theirs = found.network.state_dict()
    for name, weights in expected.network.state_dict().items():
        if not name.endswith(TAKEN_OUT):
            torch.testing.assert_close(theirs[name], weights, atol=1e-4, rtol=1e-4, msg=name)
    picture, mixture = torch.rand(1, 3, 48, 48), torch.ones(1, 1)
    torch.testing.assert_close(
        found.network(picture, mixture), expected.network(picture, mixture), atol=1e-4, rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without a GPU")
def test_processes_that_cannot_share_a_batch_say_so(workplace: Path) -> None:
    done = train(workplace, "-o", "two.safetensors", "--batch", "3", processes=2)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert set(lines) == {"Error: a batch of 3 cannot be shared by 2 processes"}
    assert not (workplace / "two.safetensors").exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for machines without a GPU")
def test_torchrun_starts_again_from_the_last_checkpoint(workplace: Path) -> None:
    schedule = ("--steps", "16")
    undisturbed = train(workplace, "-o", "one.safetensors", *schedule, processes=2)
    assert undisturbed.returncode == 0, undisturbed.stderr
    process = started(workplace, "-o", "two.safetensors", *schedule, processes=2, restarts=2)
    folder = TrainingFolder(workplace / "two.safetensors")
    for rank, step in (("0", 3), ("1", 7)):
        until = time.monotonic() + 60
        while len(folder.records()) < step:
            assert time.monotonic() < until
            time.sleep(0.005)
        kill(process, rank)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert [record["step"] for record in folder.records()] == list(range(1, 17))
    found, expected = (load_model(workplace / f"{name}.safetensors") for name in ("two", "one"))
    assert_same(found.network.state_dict(), expected.network.state_dict())


def kill(torchrun: subprocess.Popen[str], rank: str) -> None:
    """One of the processes that it has started."""
    for child in psutil.Process(torchrun.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.environ().get("RANK") == rank:
                child.kill()
