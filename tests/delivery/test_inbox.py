"""The inbox: pushes from any thread arrive on the loop, in order, bounded, at one wake-up a time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rx_sse.delivery import Inbox

from .conftest import Reported

PATIENCE = 20.0
"""Seconds that another thread may take: far more than it needs."""


def in_thread(action: Callable[[], Any]) -> Any:
    """What `action` returns in another thread, while the loop's thread waits and delivers nothing."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(action()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert found, "it did not return"
    return found[0]


def nothing(_: object) -> None:
    pass


async def delivered(inbox: Inbox) -> None:
    """Wait until what has been put is delivered."""
    done = asyncio.Event()
    assert inbox.put(lambda _: done.set(), None, exempt=True)
    await asyncio.wait_for(done.wait(), PATIENCE)


def block_until(condition: Callable[[], bool]) -> None:
    """Hold the loop's thread until another one has got that far."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


# -- order ---------------------------------------------------------------------------------------------------


async def test_what_four_threads_push_arrives_whole_and_in_the_order_of_each() -> None:
    inbox, got = Inbox(asyncio.get_running_loop()), list[tuple[int, int]]()

    def push(thread: int) -> None:
        for n in range(2000):
            assert inbox.put(got.append, (thread, n))

    await asyncio.gather(*(asyncio.to_thread(push, thread) for thread in range(4)))
    await delivered(inbox)
    assert len(got) == 8000
    for thread in range(4):
        assert [n for who, n in got if who == thread] == list(range(2000))


async def test_everything_is_delivered_on_the_loops_thread() -> None:
    inbox, threads = Inbox(asyncio.get_running_loop()), set[int]()

    def note(_: object) -> None:
        threads.add(threading.get_ident())

    assert inbox.here
    assert in_thread(lambda: (inbox.put(note, None), inbox.here)) == (True, False)
    assert inbox.put(note, None)
    assert not threads, "a push must not deliver inside itself"
    await delivered(inbox)
    assert threads == {threading.get_ident()}


async def test_a_push_during_a_delivery_is_appended_and_never_nested() -> None:
    inbox, log = Inbox(asyncio.get_running_loop()), list[str]()

    def outer(name: str) -> None:
        log.append(f"{name} begins")
        assert inbox.pending
        inbox.put(log.append, f"{name}'s push")
        log.append(f"{name} ends")

    inbox.put(outer, "a")
    inbox.put(outer, "b")
    assert inbox.pending
    await delivered(inbox)
    assert log == ["a begins", "a ends", "b begins", "b ends", "a's push", "b's push"]
    assert not inbox.pending


# -- waking the loop -----------------------------------------------------------------------------------------


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts its wake-ups from other threads."""

    woken = 0

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*args, **options)


def test_the_loop_is_woken_once_for_all_that_waits() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        inbox, got = Inbox(loop), list[int]()
        in_thread(lambda: [inbox.put(got.append, n) for n in range(1000)])
        first = loop.woken
        await delivered(inbox)
        assert got == list(range(1000))
        in_thread(lambda: inbox.put(got.append, 1000))
        second = loop.woken
        await delivered(inbox)
        assert got[-1] == 1000
        return first, second

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        assert runner.run(main()) == (1, 2)


def test_a_closed_loop_takes_nothing_and_raises_nothing(idle_loop: asyncio.AbstractEventLoop) -> None:
    inbox = Inbox(idle_loop)
    assert inbox.put(nothing, 1)  # this wake-up will die with its loop
    idle_loop.close()
    assert not inbox.put(nothing, 2)
    assert not in_thread(lambda: inbox.put(nothing, 3, timeout=0.01))
    inbox.on_room(lambda: None)


class ClosesWhenWoken(asyncio.SelectorEventLoop):
    """A loop that another thread closes in the very moment in which it is woken."""

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.close()
        return super().call_soon_threadsafe(*args, **options)


def test_a_loop_that_closes_while_it_is_woken_is_a_refusal() -> None:
    inbox = Inbox(ClosesWhenWoken())
    assert in_thread(lambda: inbox.put(nothing, 1)) is False
    assert in_thread(lambda: inbox.put(nothing, 2)) is False
    assert not inbox.pending


def test_a_wake_up_that_died_does_not_silence_the_next(idle_loop: asyncio.AbstractEventLoop) -> None:
    """Control-C in a notebook: the loop stops in the middle of a delivery and is run again."""
    inbox, got = Inbox(idle_loop), list[int]()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    inbox.put(got.append, 1)
    inbox.put(interrupt, None)
    inbox.put(got.append, 2)
    with contextlib.suppress(KeyboardInterrupt):
        idle_loop.run_forever()
    assert got == [1]
    in_thread(lambda: inbox.put(got.append, 3))
    idle_loop.run_until_complete(delivered(inbox))
    assert got == [1, 2, 3]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
async def test_a_signal_handler_may_push_while_its_thread_pushes() -> None:
    inbox, got = Inbox(asyncio.get_running_loop()), list[str]()
    pushed = list[bool]()  # no number: the next signal may interrupt its addition

    def push(*_: object) -> None:
        pushed.append(inbox.put(got.append, "signal"))

    before = signal.signal(signal.SIGVTALRM, push)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        for n in range(60_000):
            assert inbox.put(got.append, "push"), n
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    await delivered(inbox)
    assert got.count("push") == 60_000
    assert got.count("signal") == sum(pushed) > 0


# -- limits --------------------------------------------------------------------------------------------------


async def test_it_holds_so_many_entries_and_has_room_again_when_they_are_delivered() -> None:
    inbox = Inbox(asyncio.get_running_loop(), max_entries=3)
    assert [inbox.put(nothing, n) for n in range(4)] == [True, True, True, False]
    assert in_thread(lambda: inbox.put(nothing, 4)) is False
    await delivered(inbox)
    assert [inbox.put(nothing, n) for n in range(4)] == [True, True, True, False]


async def test_it_holds_so_many_bytes_and_has_room_again_when_they_are_delivered() -> None:
    inbox = Inbox(asyncio.get_running_loop(), max_bytes=100)
    for _ in range(3):
        assert [inbox.put(nothing, 0, size) for size in (60, 40, 1, 0)] == [True, True, False, True]
        await delivered(inbox)


async def test_an_entry_larger_than_the_limit_is_taken_when_nothing_waits() -> None:
    inbox = Inbox(asyncio.get_running_loop(), max_bytes=100)
    assert inbox.put(nothing, 0, 500)
    assert not inbox.put(nothing, 0, 1)


async def test_what_is_exempt_passes_the_limit_and_not_the_order() -> None:
    inbox, got = Inbox(asyncio.get_running_loop(), max_entries=2), list[int]()
    assert [inbox.put(got.append, n) for n in range(3)] == [True, True, False]
    assert inbox.put(got.append, 99, exempt=True)
    await delivered(inbox)
    assert got == [0, 1, 99]
    assert [inbox.put(got.append, n) for n in range(3)] == [True, True, False]


async def test_a_thread_may_wait_for_room() -> None:
    inbox, got = Inbox(asyncio.get_running_loop(), max_entries=1), list[int]()
    assert inbox.put(got.append, 1)
    assert await asyncio.to_thread(inbox.put, got.append, 2, timeout=PATIENCE)
    await delivered(inbox)
    assert got == [1, 2]


async def test_a_thread_waits_no_longer_than_it_said() -> None:
    inbox = Inbox(asyncio.get_running_loop(), max_entries=1)
    assert inbox.put(nothing, 1)

    def wait() -> tuple[bool, float]:
        begin = time.monotonic()
        return inbox.put(nothing, 2, timeout=0.05), time.monotonic() - begin

    taken, waited = in_thread(wait)
    assert not taken and waited >= 0.05
    await delivered(inbox)
    assert in_thread(lambda: inbox.put(nothing, 3, timeout=0.05))


async def test_the_loops_own_thread_never_waits() -> None:
    inbox = Inbox(asyncio.get_running_loop(), max_entries=1)
    assert inbox.put(nothing, 1)
    begin = time.monotonic()
    assert not inbox.put(nothing, 2, timeout=60.0)
    assert time.monotonic() - begin < 30


async def test_closing_drops_what_waits_and_answers_who_waits() -> None:
    inbox, got = Inbox(asyncio.get_running_loop(), max_entries=1), list[int]()
    assert inbox.put(got.append, 1)
    answers: list[bool] = []
    waiting = threading.Thread(
        target=lambda: answers.append(inbox.put(got.append, 2, timeout=60.0)), daemon=True
    )
    waiting.start()
    block_until(lambda: inbox._waiters == 1)
    inbox.close()
    waiting.join(PATIENCE)
    assert answers == [False]
    assert not inbox.put(got.append, 3) and not inbox.put(got.append, 4, exempt=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == [] and not inbox.pending


# -- room ----------------------------------------------------------------------------------------------------


async def test_whoever_asked_hears_once_and_on_the_loop_that_there_is_room() -> None:
    inbox, log = Inbox(asyncio.get_running_loop(), max_entries=2), list[object]()
    inbox.put(log.append, 1)
    inbox.put(log.append, 2)
    in_thread(lambda: inbox.on_room(lambda: log.append(inbox.here)))
    assert log == []
    await delivered(inbox)
    await delivered(inbox)
    assert log == [1, 2, True]


async def test_room_is_told_at_once_when_there_is_room() -> None:
    inbox, room = Inbox(asyncio.get_running_loop()), asyncio.Event()
    in_thread(lambda: inbox.on_room(room.set))
    await asyncio.wait_for(room.wait(), PATIENCE)
    again = asyncio.Event()
    inbox.on_room(again.set)
    await asyncio.wait_for(again.wait(), PATIENCE)


async def test_one_who_is_told_of_room_may_raise_or_push(reported: Reported) -> None:
    inbox, got = Inbox(asyncio.get_running_loop()), list[int]()

    def broken() -> None:
        raise ValueError("told")

    def pushes() -> None:
        inbox.put(got.append, 1)

    inbox.on_room(broken)
    inbox.on_room(pushes)
    await delivered(inbox)
    await delivered(inbox)
    assert got == [1]
    assert [str(error) for error in reported] == ["told"]


# -- targets that misbehave ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError("broken")], ids=repr)
async def test_a_target_that_raises_is_reported_and_stops_nobody(
    error: BaseException, reported: Reported
) -> None:
    inbox, got = Inbox(asyncio.get_running_loop()), list[int]()

    def broken(_: object) -> None:
        raise error

    for n in range(3):
        inbox.put(got.append, n)
        inbox.put(broken, n)
    await delivered(inbox)
    inbox.put(got.append, 3)
    await delivered(inbox)
    assert got == [0, 1, 2, 3]
    assert reported == [error] * 3


async def test_slow_targets_leave_the_loop_its_turns() -> None:
    """Looked at every 16 entries, a slice of 4 ms ends after 16 entries of 1 ms."""
    inbox, turns, got = Inbox(asyncio.get_running_loop()), list[int](), list[int]()

    def slow(n: int) -> None:
        spin(0.001)
        got.append(n)
        if n < 10:
            inbox.put(slow, n + 90)  # behind what is left of the slice

    for n in range(90):
        inbox.put(slow, n)
    while len(got) < 100:
        before = len(got)
        await asyncio.sleep(0)
        turns.append(len(got) - before)
    assert got == list(range(100))
    assert max(turns) <= 16


async def test_a_target_that_pushes_to_itself_leaves_the_loop_its_turns() -> None:
    inbox, count = Inbox(asyncio.get_running_loop()), 0
    stop = False

    def again(_: object) -> None:
        nonlocal count
        count += 1
        if not stop and count < 2_000_000:
            inbox.put(again, None)

    inbox.put(again, None)
    for _ in range(5):
        await asyncio.sleep(0)
    stop = True
    await delivered(inbox)
    assert 5 <= count < 1_000_000
