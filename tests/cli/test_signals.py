from __future__ import annotations

import os
import signal

import pytest

from styleforge.core.signals import StopRequest, interruptible

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@BOTH
def test_both_signals_interrupt(number: signal.Signals) -> None:
    before = handlers()
    with pytest.raises(KeyboardInterrupt), interruptible():
        send(number)
    assert handlers() == before


@BOTH
def test_the_first_signal_only_asks_to_stop(number: signal.Signals) -> None:
    before = handlers()
    with StopRequest() as stop:
        assert not stop.made
        send(number)
        assert stop.made
    assert handlers() == before


@BOTH
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_interrupts(number: signal.Signals, second: signal.Signals) -> None:
    before = handlers()

    def twice() -> None:
        with StopRequest():
            send(number)
            send(second)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert handlers() == before


def test_a_request_is_forgotten_at_the_next() -> None:
    with StopRequest() as stop:
        send(signal.SIGTERM)
    with StopRequest() as again:
        assert not again.made
    assert stop.made
