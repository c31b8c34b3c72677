"""Tensors that only say they are on a GPU: a CPU computes with them, real numbers and gradients.

What a GPU would refuse is refused: tensors on different devices in one operation, random numbers
from another device's generator, tensors that NumPy cannot see, and float64 on Apple's. What makes
the processor wait for a GPU is refused where :func:`waiting_forbidden`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, autograd
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from styleforge.optimize import minimize
from styleforge.optimize.adam import Adam
from styleforge.optimize.lbfgs import LBFGS
from styleforge.training.objective import BatchObjective

aten = torch.ops.aten
CPU = torch.device("cpu")
KINDS = ("cuda", "mps")

_COPIES = (aten.copy_.default, aten._foreach_copy_.default)
_INDEXED = (aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default)
_WAITS = (
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
)
"""Operations whose result, or its size, the processor reads."""

_HERE = {
    aten.mm.dtype: lambda a, b, dtype: torch.mm(a.to(dtype), b.to(dtype)),
    aten.bmm.dtype: lambda a, b, dtype: torch.bmm(a.to(dtype), b.to(dtype)),
}
"""What CUDA alone has kernels for."""


class WaitedError(Exception):
    """The processor would have waited for the device."""


class _Forbidding(threading.local):
    waiting = False


_FORBIDDING = _Forbidding()


@contextlib.contextmanager
def waiting_forbidden() -> Iterator[None]:
    """Raises :class:`WaitedError` where something is read from a device, or copied to it."""
    before, _FORBIDDING.waiting = _FORBIDDING.waiting, True
    try:
        yield
    finally:
        _FORBIDDING.waiting = before


def place(x: Tensor) -> torch.device:
    """The device that a tensor says it is on, which all views of its numbers share."""
    kept: torch.device = getattr(x.untyped_storage(), "_pretended", x.device)
    return kept


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str) -> contextlib.ExitStack:
    """Within it, in every thread, there is one GPU of a kind, ``cuda`` or ``mps``.

    Steps of the optimizers, losses of a training and backward passes are forbidden to wait.
    """
    run, autocast, backward = threading.Thread.run, torch.autocast, autograd._engine_run_backward

    def pretending(thread: threading.Thread) -> None:
        with _Functions(), _Operations():
            run(thread)

    def pretending_backward(*args: Any, **named: Any) -> Any:
        with _Functions(), waiting_forbidden():  # a mode is off within what it is called for
            return backward(*args, **named)

    monkeypatch.setattr(threading.Thread, "run", pretending)
    monkeypatch.setattr(autograd, "_engine_run_backward", pretending_backward)
    monkeypatch.setattr(
        torch, "autocast", lambda _, *given, **named: autocast("cpu", *given, **named)
    )
    monkeypatch.setattr(minimize, "Replayed", lambda step: step)
    for owner, name in ((LBFGS, "step"), (Adam, "step"), (BatchObjective, "__call__")):
        monkeypatch.setattr(owner, name, _without_waiting(getattr(owner, name)))
    if kind == "cuda":
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a pretended GPU")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**33, 2**33))
    else:
        there = functools.cache(lambda: True)
        monkeypatch.setattr(torch.backends.mps, "is_available", there)
    stack = contextlib.ExitStack()
    stack.enter_context(_Functions())
    stack.enter_context(_Operations())
    return stack


def _without_waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def watched(*args: Any, **named: Any) -> Any:
        with waiting_forbidden():
            return function(*args, **named)

    return watched


class _Operations(TorchDispatchMode):
    """Every single operation, those of the backward pass too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        device = _common(func, args, kwargs)
        if device != CPU and func in _WAITS:
            _wait(str(func))
        result = _HERE.get(func, func)(*args, **kwargs)
        for x in _tensors(result):
            if device != CPU and x.device == CPU:
                _put(x, device)
        return result


class _Functions(TorchFunctionMode):
    """What names a device, or asks for one, in Python."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        known = _KNOWN.get(func)
        if known is not None:
            return known(*args, **kwargs)
        wanted = kwargs.get("device")
        if wanted is None or torch.device(wanted).type not in ("cpu", *KINDS):
            return func(*args, **kwargs)
        wanted = torch.device(wanted)
        if wanted != CPU:
            _check_generator(wanted, kwargs.get("generator"))
            if func in (torch.tensor, torch.as_tensor):
                _wait("a tensor of Python's numbers")
        return _put(func(*args, **{**kwargs, "device": CPU}), wanted)


def _common(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    """Where an operation takes place; raises RuntimeError as torch does where that is unclear."""
    tensors = _tensors((args, kwargs))
    if func in _INDEXED:
        if any(place(x) == CPU or x.dtype == torch.bool for x in _tensors(args[1])):
            _wait(f"{func} with indices that are not there")
        tensors = [args[0], *_tensors(args[2:])]
    on_gpu = {place(x) for x in tensors} - {CPU}
    if not on_gpu:
        return CPU
    if func in _COPIES:
        if any(place(x) == CPU for x in tensors):
            _wait(str(func))
        return place(_tensors(args[0])[0])
    others = [x for x in tensors if place(x) == CPU and x.dim() and x.device == CPU]
    if len(on_gpu) > 1 or others:
        raise RuntimeError(f"{func}: tensors on {on_gpu} and, of {len(others)}, on the CPU")
    (device,) = on_gpu
    for x in args:
        _check_generator(device, x)
    _check_generator(device, kwargs.get("generator"))
    return device


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _put(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "mps" and x.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    full = torch.device(device.type, device.index or 0) if device != CPU else CPU
    x.untyped_storage()._pretended = full  # type: ignore[attr-defined]
    return x


def _check_generator(device: torch.device, generator: object) -> None:
    if isinstance(generator, torch.Generator) and generator.device.type != device.type:
        raise RuntimeError(f"Expected a {device} generator but found {generator.device}")


def _wait(why: str) -> None:
    if _FORBIDDING.waiting:
        raise WaitedError(why)


class _Moved(torch.autograd.Function):
    """A copy on another device; its gradient comes back."""

    @staticmethod
    def forward(context: Any, x: Tensor, device: torch.device) -> Tensor:
        context.origin = place(x)
        return _put(x.clone(), device)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _put(gradient.clone(), context.origin), None


def _move(x: Tensor, device: torch.device) -> Tensor:
    here = place(x)
    if x.device != CPU or (here.type == device.type and device.index in (None, here.index)):
        return x
    _wait(f"a copy from {here} to {device}")
    moved: Tensor = _Moved.apply(x, device)
    return moved


def _to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``x.to(device, ...)``, ``x.to(other)``, ``x.to(dtype, ...)``; the device may be named."""
    first = kwargs.pop("device", None)
    if first is None and args and isinstance(args[0], str | torch.device | Tensor):
        first, *args = args  # type: ignore[assignment]
        args = (first.dtype if isinstance(first, Tensor) else CPU, *args)
    device = place(first) if isinstance(first, Tensor) else torch.device(first or place(x))
    return _move(x.to(*args, **kwargs) if args or kwargs else x, device)


def _numpy(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    if place(x) != CPU:
        raise TypeError(f"can't convert {place(x)} device type tensor to numpy")
    return x.numpy(*args, **kwargs)


def _list(x: Tensor) -> Any:
    if place(x) != CPU:
        _wait("tolist")
    return x.tolist()


def _new(x: Tensor, data: Any, **kwargs: Any) -> Tensor:
    device = torch.device(kwargs.pop("device", None) or place(x))
    if device != CPU:
        _wait("a tensor of Python's numbers")
    return _put(x.new_tensor(data, **kwargs), device)


def _deep_copy(x: Tensor, memo: dict[int, Any]) -> Tensor:
    return _put(x.__deepcopy__(memo), place(x))


_KNOWN: dict[Any, Callable[..., Any]] = {
    Tensor.device.__get__: place,
    Tensor.is_cuda.__get__: lambda x: place(x).type == "cuda",
    Tensor.is_mps.__get__: lambda x: place(x).type == "mps",
    Tensor.is_cpu.__get__: lambda x: place(x).type == "cpu",
    Tensor.to: _to,
    Tensor.cpu: lambda x: _move(x, CPU),
    Tensor.numpy: _numpy,
    Tensor.tolist: _list,
    Tensor.new_tensor: _new,
    Tensor.__deepcopy__: _deep_copy,
}
