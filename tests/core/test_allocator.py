from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from styleforge.core.allocator import keep_freed_memory

ON_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

MEASURE = """
import ctypes, sys
from styleforge.core.allocator import keep_freed_memory

print(keep_freed_memory())
assert "torch" not in sys.modules
c = ctypes.CDLL(None)
c.malloc.restype = c.sbrk.restype = ctypes.c_void_p
c.malloc.argtypes = [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]
c.sbrk.argtypes = [ctypes.c_ssize_t]
block = c.malloc(SIZE)
assert block
full = c.sbrk(0)
c.free(block)
print(c.sbrk(0) == full)
print(c.malloc(SIZE) == block)
"""
"""Never written to, a block takes no memory, whatever its size."""


def c_library(monkeypatch: pytest.MonkeyPatch, opened: Callable[[None], object]) -> None:
    monkeypatch.setattr(ctypes, "CDLL", opened)


def test_does_nothing_without_a_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError("no such library"), TypeError("bad argument type")):

        def refuse(_: None, error: Exception = error) -> object:
            raise error

        c_library(monkeypatch, refuse)
        assert keep_freed_memory() is False


def test_does_nothing_without_mallopt(monkeypatch: pytest.MonkeyPatch) -> None:
    c_library(monkeypatch, lambda _: SimpleNamespace())
    assert keep_freed_memory() is False


@pytest.mark.parametrize("refused", [None, -1, -4], ids=["nothing", "trimming", "maps"])
def test_says_whether_the_c_library_agreed(
    refused: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def mallopt(parameter: int, value: int) -> int:
        assert -(2**31) <= value < 2**31  # it takes an int
        calls.append(parameter)
        return int(parameter != refused)

    c_library(monkeypatch, lambda _: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory() is (refused is None)
    assert set(calls) <= {-1, -4}
    if refused is None:
        assert sorted(calls) == [-4, -1]


@ON_GLIBC
@pytest.mark.parametrize("megabytes", [64, 1024, 3072])
def test_freed_memory_stays(megabytes: int) -> None:
    program = MEASURE.replace("SIZE", str(megabytes * 2**20))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "True"]
