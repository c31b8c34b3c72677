"""Pick a device, and say what a run will need of it."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from typing import Literal, get_args

import psutil
import torch

from styleforge.core.errors import OutOfMemoryError, UsageError

Precision = Literal["float32", "tf32", "bf16"]
"""How convolutions on a GPU multiply. Image, Gram matrices, losses and steps are float32 always."""


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is cuda, else mps, else cpu. Raises :class:`UsageError` for one not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    usable = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not usable.get(device.type, False):
        raise UsageError(f"device {name} is not available here; use `device` cpu")
    return device


def pick_precision(name: str, device: torch.device) -> Precision:
    """``auto`` is tf32 on CUDA, else float32. Raises :class:`UsageError` for one not here."""
    if name == "auto":
        return "tf32" if device.type == "cuda" else "float32"
    for precision in get_args(Precision):
        if name == precision and (name == "float32" or device.type == "cuda"):
            chosen: Precision = precision
            return chosen
    if name in get_args(Precision):
        raise UsageError(f"`precision` {name} needs a CUDA GPU; use `precision` float32")
    raise UsageError(f"unknown precision {name!r}; use auto, {', '.join(get_args(Precision))}")


@contextlib.contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """Whether cuDNN may round float32 to TF32, which is torch's own default, meanwhile."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


def describe(device: torch.device) -> str:
    """The device in words, as in ``cpu (x86_64, 2 threads)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps (Apple GPU)"
    threads = torch.get_num_threads()
    return f"cpu ({platform.machine()}, {threads} thread{'s' if threads != 1 else ''})"


def free_memory(device: torch.device) -> int:
    """Bytes that a run may still take on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


@contextlib.contextmanager
def out_of_memory_as_error(size: tuple[int, int], *, advice: str = "") -> Iterator[None]:
    """Turn the allocators' failures at this (width, height) into :class:`OutOfMemoryError`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        advice = advice or f"try `size` {max(size) // 2}"
        raise OutOfMemoryError(
            f"out of memory at {size[0]} x {size[1]} pixels; {advice}"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "not enough memory" in text or "can't allocate memory" in text or "out of memory" in text
