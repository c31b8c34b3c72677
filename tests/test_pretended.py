"""The pretended GPU refuses what a real one would."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.pretended import KINDS, WaitedError, pretend, waiting_forbidden


@pytest.fixture(params=KINDS, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with pretend(monkeypatch, request.param):
        yield request.param


def test_what_is_made_of_a_tensor_is_where_it_is(kind: str) -> None:
    there = torch.device(kind, 0)
    x = torch.ones(2, 3, device=kind)
    made = [x + 1, x[0], x.new_zeros(2), torch.rand_like(x), x.new_tensor([1.0]), copy.deepcopy(x)]
    assert {y.device for y in made} == {there}
    assert torch.ones(2).to(x).device == torch.ones(2).to(kind).device == there
    assert x.cpu().device == x.to("cpu", torch.float16).device == torch.device("cpu")
    assert nn.Linear(2, 2).to(kind).weight.device == there


MIXED: list[Callable[[Tensor], object]] = [
    lambda x: x + torch.ones(2),
    lambda x: x @ torch.ones(2),
    lambda x: torch.cat([x, torch.ones(2)]),
    lambda x: nn.Linear(2, 2)(x),
    lambda x: torch.rand(2, device=x.device, generator=torch.Generator()),
    lambda x: x.normal_(generator=torch.Generator()),
]


@pytest.mark.parametrize("work", MIXED)
def test_devices_do_not_mix(work: Callable[[Tensor], object], kind: str) -> None:
    with pytest.raises(RuntimeError, match=r"tensors on|Expected a"):
        work(torch.ones(2, device=kind))


def test_numbers_of_no_dimension_go_with_all(kind: str) -> None:
    assert (torch.ones(2, device=kind) * torch.tensor(2.0)).device.type == kind


WAITING: list[Callable[[Tensor], object]] = [
    lambda x: x[0].item(),
    lambda x: bool(x.sum() > 0),
    lambda x: x.tolist(),
    lambda x: x.cpu(),
    lambda x: torch.ones(2).to(x.device),
    lambda x: torch.tensor([1.0], device=x.device),
    lambda x: x.new_tensor([1.0]),
    lambda x: x.copy_(torch.ones(2)),
    lambda x: x[x > 0],
    lambda x: x[torch.tensor([1, 0])],
    lambda x: x.nonzero(),
]


@pytest.mark.parametrize("work", WAITING)
def test_what_waits_is_refused_where_it_is_forbidden(
    work: Callable[[Tensor], object], kind: str
) -> None:
    x = torch.ones(2, device=kind)
    work(x)
    with waiting_forbidden(), pytest.raises(WaitedError):
        work(x)


def test_a_gradient_comes_back_from_the_other_device(kind: str) -> None:
    x = torch.ones(2, requires_grad=True)
    (x.to(kind) * torch.full((2,), 3.0, device=kind)).sum().cpu().backward()
    assert x.grad is not None
    assert (x.grad.device.type, x.grad.tolist()) == ("cpu", [3.0, 3.0])


class _Careless(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        return gradient * torch.ones(2)


def test_a_gradient_that_is_made_elsewhere_is_refused(kind: str) -> None:
    x = torch.ones(2, device=kind, requires_grad=True)
    with pytest.raises(RuntimeError, match="tensors on"):
        torch.autograd.grad(_Careless.apply(x).sum(), x)


def test_numpy_sees_only_what_is_on_the_cpu(kind: str) -> None:
    with pytest.raises(TypeError, match="to numpy"):
        torch.ones(2, device=kind).numpy()
    assert torch.ones(2, device=kind).cpu().numpy().sum() == 2


def test_apples_gpus_lack_float64(kind: str) -> None:
    def twice() -> Tensor:
        return torch.ones(2, device=kind).double()

    if kind == "mps":
        with pytest.raises(TypeError, match="float64"):
            twice()
    else:
        assert twice().dtype == torch.float64


def test_every_thread_pretends(kind: str) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(1, device=kind).device.type))
    thread.start()
    thread.join()
    assert found == [kind]
