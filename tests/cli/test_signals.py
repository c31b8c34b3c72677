from __future__ import annotations

import os
import signal

import pytest

from styleforge.core.signals import StopRequest, hear_requests

REQUESTS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
EACH = pytest.mark.parametrize("number", REQUESTS)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in REQUESTS]


@EACH
def test_each_signal_interrupts(number: signal.Signals) -> None:
    hear_requests()
    with pytest.raises(KeyboardInterrupt):
        send(number)


@EACH
def test_the_first_signal_only_asks_to_stop(number: signal.Signals) -> None:
    before = handlers()
    with StopRequest() as stop:
        assert not stop.made
        send(number)
        assert stop.made
    assert handlers() == before


@EACH
@pytest.mark.parametrize("second", REQUESTS)
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


def test_under_nohup_the_end_of_the_terminal_is_not_heard() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hear_requests()
        send(signal.SIGHUP)
        with StopRequest() as stop:
            send(signal.SIGHUP)
        assert not stop.made
    finally:
        signal.signal(signal.SIGHUP, before)
