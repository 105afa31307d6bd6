"""`Serial`: calls from several threads, one at a time."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from rx_sse.reactive.serial import Serial


def test_a_call_made_inside_another_is_appended() -> None:
    serial = Serial()
    log: list[str] = []

    def outer() -> None:
        serial.put(partial(log.append, "inner"))
        log.append("outer")

    serial.put(outer)
    assert log == ["outer", "inner"]


def test_whoever_comes_while_another_delivers_leaves_his_call_to_him() -> None:
    serial = Serial()
    inside, go_on = threading.Event(), threading.Event()
    log: list[tuple[str, int]] = []

    def slow() -> None:
        inside.set()
        go_on.wait(10.0)
        log.append(("slow", threading.get_ident()))

    thread = threading.Thread(target=serial.put, args=(slow,))
    thread.start()
    assert inside.wait(10.0)
    serial.put(lambda: log.append(("quick", threading.get_ident())))  # does not wait
    assert log == []
    go_on.set()
    thread.join(10.0)
    assert log == [("slow", thread.ident), ("quick", thread.ident)]


def test_a_call_that_raises_tells_its_caller_and_holds_up_nobody() -> None:
    serial = Serial()
    log: list[str] = []

    def fail() -> None:
        serial.put(partial(log.append, "left behind"))
        raise ValueError("fail")

    with pytest.raises(ValueError, match="fail"):
        serial.put(fail)
    serial.put(partial(log.append, "next"))
    assert log == ["left behind", "next"]
