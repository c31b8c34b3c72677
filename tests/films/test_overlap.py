from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from styleforge.films.overlap import Behind, ahead


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(100)), room=2)) == list(range(100))


def test_no_more_are_made_than_there_is_room_for() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for k in range(100):
            made.append(k)
            yield k

    waiting = ahead(items(), room=3)
    assert next(waiting) == 0
    time.sleep(0.05)
    assert len(made) <= 6
    waiting.close()  # type: ignore[attr-defined]
    assert len(made) <= 7


def test_what_goes_wrong_ahead_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("there")

    waiting = ahead(items())
    assert next(waiting) == 1
    with pytest.raises(ValueError, match="there"):
        next(waiting)


def test_work_is_done_behind_in_order_by_the_end() -> None:
    done: list[tuple[int, str]] = []
    with Behind[int](lambda item: done.append((item, threading.current_thread().name))) as behind:
        for k in range(20):
            behind.put(k)
    assert [item for item, _ in done] == list(range(20))
    assert threading.current_thread().name not in {name for _, name in done}


def test_what_goes_wrong_behind_is_raised() -> None:
    def fail(item: int) -> None:
        if item == 1:
            raise ValueError("there")

    def put_all() -> None:
        with Behind[int](fail, room=1) as behind:
            for k in range(20):
                behind.put(k)

    with pytest.raises(ValueError, match="there"):
        put_all()
