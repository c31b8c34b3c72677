from __future__ import annotations

import platform

import pytest
import torch

from styleforge.core.devices import (
    describe,
    free_memory,
    out_of_memory_as_error,
    pick_device,
    pick_precision,
)
from styleforge.core.errors import OutOfMemoryError, UsageError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without an accelerator."""
    accelerators(monkeypatch, cuda=0, mps=False)
    return monkeypatch


def accelerators(machine: pytest.MonkeyPatch, *, cuda: int, mps: bool) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    machine.setattr(torch.cuda, "device_count", lambda: cuda)
    machine.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(2, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_takes_the_fastest_there_is(
    cuda: int, mps: bool, expected: str, machine: pytest.MonkeyPatch
) -> None:
    accelerators(machine, cuda=cuda, mps=mps)
    assert pick_device() == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_devices_by_name(name: str, machine: pytest.MonkeyPatch) -> None:
    accelerators(machine, cuda=2, mps=True)
    assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "CPU", "cuda:-1"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick_device(name)
    assert str(caught.value) == f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "xpu", "meta"])
@pytest.mark.usefixtures("machine")
def test_device_that_is_not_here(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick_device(name)
    assert str(caught.value) == f"device {name} is not available here; use `device` cpu"


def test_gpu_beyond_the_last(machine: pytest.MonkeyPatch) -> None:
    accelerators(machine, cuda=2, mps=False)
    with pytest.raises(UsageError, match="device cuda:2 is not available here"):
        pick_device("cuda:2")


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("auto", "cuda", "tf32"),
        ("auto", "cpu", "float32"),
        ("auto", "mps", "float32"),
        ("float32", "cuda", "float32"),
        ("float32", "cpu", "float32"),
        ("bf16", "cuda", "bf16"),
    ],
)
def test_precision(name: str, device: str, expected: str) -> None:
    assert pick_precision(name, torch.device(device)) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bf16", "`precision` bf16 needs a CUDA GPU; use `precision` float32"),
        ("half", "unknown precision 'half'; use auto, float32, tf32, bf16"),
    ],
)
def test_precision_that_is_not_here(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick_precision(name, torch.device("cpu"))
    assert str(caught.value) == message


def test_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert describe(torch.device("cpu")) == f"cpu ({platform.machine()}, 1 thread)"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert describe(torch.device("cpu")) == f"cpu ({platform.machine()}, 2 threads)"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    assert describe(torch.device("cuda:1")) == "cuda:1 (Some GPU)"
    assert describe(torch.device("mps")) == "mps (Apple GPU)"


def test_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_memory(torch.device("cpu")) < 2**50
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5, 9))
    assert free_memory(torch.device("cuda:1")) == 5


OUT_OF_MEMORY = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "python": MemoryError(),
    "cpu": RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    ),
    "windows": RuntimeError(
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
    ),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
}


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_out_of_memory_names_a_smaller_size(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError) as caught, out_of_memory_as_error((2000, 3000)):
        raise error
    assert str(caught.value) == "out of memory at 2000 x 3000 pixels; try `size` 1500"


def test_real_allocation_failure_is_recognised() -> None:
    with pytest.raises(OutOfMemoryError), out_of_memory_as_error((10, 10)):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), out_of_memory_as_error((10, 10)):
        raise RuntimeError("shapes differ")
