"""Runs over memory, a file and Redis: one source, one end, whole readers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.bus import Bus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import END, TEXT, Draft
from rx_sse.bus.log.lease import Claim, Lease, Leased, Leasing, Take
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.runs import owner
from rx_sse.bus.sqlite import file_clock
from rx_sse.errors import PublishRefused, StreamError, TopicNameError, UsageError
from rx_sse.testing import open_stream

from ..conftest import MakeBus


class Reading:
    """A reader of a run: its values, and how its stream ended."""

    def __init__(self, bus: Bus, topic: str, after: str | None = None) -> None:
        self.values: list[Any] = []
        self.ids: list[str | None] = []
        self.gaps: list[str] = []
        self._begun = asyncio.Event()
        self._end: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        events = bus.events(topic, after=after, on_gap=lambda gap: self.gaps.append(gap.reason))
        self.subscription = events.subscribe(
            self._take,
            self._ended,
            self._ended,
        )

    def _ended(self, error: Exception | None = None) -> None:
        if not self._end.done():
            self._end.set_result(error)

    def _take(self, event: rx_sse.ServerSentEvent) -> None:
        self.values.append(event.json())
        self.ids.append(event.id)
        self._begun.set()

    async def first(self) -> None:
        """Wait for the first value."""
        await asyncio.wait_for(self._begun.wait(), 15)

    async def ended(self) -> Exception | None:
        return await asyncio.wait_for(self._end, 15)


def counting(count: int, closed: list[bool] | None = None) -> Callable[[], AsyncIterator[int]]:
    async def source() -> AsyncIterator[int]:
        try:
            for number in range(count):
                yield number
                if number % 10 == 0:
                    await asyncio.sleep(0)
        finally:
            if closed is not None:
                closed.append(True)

    return source


async def forever() -> AsyncIterator[int]:
    yield 0
    await asyncio.Event().wait()


async def test_a_run_goes_on_without_readers_and_is_read_whole_at_any_time(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        closed: list[bool] = []
        run = await bus.run("report", counting(500, closed))
        early = Reading(bus, run.topic)
        early.subscription.dispose()
        status = await run.result()
        assert (status.state, status.entries, closed) == ("completed", 500, [True])
        late = Reading(bus, run.topic)
        assert await late.ended() is None
        assert late.values == list(range(500)) and late.gaps == []
        again = Reading(bus, run.topic, after=late.ids[300])
        assert await again.ended() is None
        assert again.values == list(range(301, 500))
        forged = Reading(bus, run.topic, after=f"{str(late.ids[300]).rpartition('.')[0]}.12345")
        assert await forged.ended() is None
        assert forged.gaps == ["unknown"]


async def test_a_second_run_joins_and_a_finished_one_is_started_again_if_asked(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        first = await bus.run("a", rx.of(1, 2), key="k")
        assert first.started and (await first.result()).entries == 2
        joined = await bus.run("a", rx.of(3), key="k")
        assert not joined.started and joined.topic == first.topic
        other = await bus.run("a", rx.of(3), key="other")
        assert other.started and other.topic != first.topic
        await other.result()
        third = await bus.run("a", rx.of(4), restart=True)
        assert third.started
        await third.result()
        reading = Reading(bus, third.topic)
        assert await reading.ended() is None and reading.values == [4]
        old = Reading(bus, first.topic)
        assert await old.ended() is None and old.values == [1, 2]


async def test_an_observable_a_coroutine_and_a_failure(make_bus: MakeBus) -> None:
    async with make_bus() as bus:

        async def later() -> rx.Observable[int]:
            await asyncio.sleep(0)
            return rx.timer(0.0, 0.001).take(3)

        assert (await (await bus.run("coroutine", later)).result()).entries == 3

        def fails() -> rx.Observable[int]:
            return rx.concat(rx.of(1), rx.throw(ValueError("the password is 123")))

        run = await bus.run("fails", fails)
        joined = await bus.run("fails", fails)
        for known in (
            run,
            joined,
        ):  # the process of the source has the exception itself, its readers have not
            with pytest.raises(StreamError) as failed:
                await known.result()
            assert isinstance(failed.value.__cause__, ValueError) and not joined.started
            assert "123" not in str(failed.value.problem()) and "123" in str(failed.value.__cause__)
        reading = Reading(bus, run.topic)
        error = await reading.ended()
        assert isinstance(error, StreamError) and reading.values == [1]
        assert "123" not in str(error.problem()) and error.status == 500
        told = await bus.run("told", rx.throw(StreamError("no paper", title="Printer", status=409)))
        with pytest.raises(StreamError) as failed:
            await told.result()
        assert failed.value.problem() == {
            "title": "Printer",
            "status": 409,
            "detail": "no paper",
            "type": "about:blank",
        }
        error = await Reading(bus, told.topic).ended()
        assert isinstance(error, StreamError) and error.problem()["detail"] == "no paper"
        empty = await bus.run("empty", rx.empty())
        assert (await empty.result()).entries == 0
        assert await Reading(bus, empty.topic).ended() is None
        wrong = await bus.run("wrong", lambda: 7)
        with pytest.raises(StreamError):
            await wrong.result()
        big = await bus.run("big", rx.of("x" * 900_000, "y" * 1_100_000))
        with pytest.raises(StreamError):
            await big.result()
        assert (await big.status()).entries == 1


async def test_a_reader_whose_cursor_is_at_the_end_mark_is_told_how_the_run_ended(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        run = await bus.run("fails", rx.concat(rx.of(1), rx.throw(StreamError("no paper", title="Printer"))))
        with pytest.raises(StreamError):
            await run.result()
        error = await Reading(bus, run.topic, after=await bus.position(run.topic)).ended()
        assert isinstance(error, StreamError) and error.problem()["detail"] == "no paper"
        done = await bus.run("done", rx.of(1))
        await done.result()
        reading = Reading(bus, done.topic, after=await bus.position(done.topic))
        assert await reading.ended() is None and reading.values == []

        @rx_sse.sse
        def stream(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
            return bus.events(done.topic, after=rx_sse.last_event_id(request))

        app = rx_sse.setup(web.Application())
        app.router.add_get("/", stream)
        headers = {"Last-Event-ID": await bus.position(done.topic)}
        async with open_stream(app, "/", headers=headers) as opened:
            assert await opened.ended()
            assert opened.rest(control=True)[-1].json() == {"reason": "completed"}


async def test_a_run_of_what_is_no_source_says_what_a_source_is(caplog: pytest.LogCaptureFixture) -> None:
    async with rx_sse.MemoryBus() as bus:
        run = await bus.run("list", [1, 2])  # type: ignore[arg-type]
        with pytest.raises(StreamError):
            await run.result()
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    said = str(record.exc_info[1])
    assert "an Observable, an async iterable, or a function that returns one, not list" in said


async def test_a_stop_closes_the_source_and_tells_the_readers(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        closed: list[bool] = []

        async def source() -> AsyncIterator[int]:
            try:
                async for value in forever():
                    yield value
            finally:
                closed.append(True)

        run = await bus.run("a", source)
        reading = Reading(bus, run.topic)
        await reading.first()
        status = await bus.stop("a", "enough")
        assert status.state == "stopped" and closed == [True]
        assert await reading.ended() is None and reading.values == [0]
        assert (await bus.stop("a")).state == "stopped"
        assert [row.name for row in await bus.runs()] == ["a"]
        with pytest.raises(UsageError, match="no run 'b'"):
            await bus.stop("b")
        with pytest.raises(TopicNameError):
            await bus.run("a~2", source)


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
async def test_a_stop_races_with_the_natural_end(make_bus: MakeBus, count: int) -> None:
    async with make_bus() as bus:
        states: set[str] = set()
        for number in range(count):
            name = f"r{number}"
            run = await bus.run(name, counting(random.randrange(40)))
            reading = Reading(bus, run.topic)
            for _ in range(random.randrange(12)):
                await asyncio.sleep(0)
            stopped, result = await asyncio.gather(bus.stop(name), run.result())
            assert stopped.state == result.state == (await run.status()).state
            assert await reading.ended() is None
            page = await bus.history(run.topic, limit=500)
            assert reading.values == [json.loads(entry.data) for entry in page.entries if entry.event is None]
            assert [entry.event for entry in page.entries].count("stream-end") == 1
            states.add(result.state)
        assert states <= {"completed", "stopped"}


async def test_readers_that_join_at_random_moments_hold_everything(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        run = await bus.run("a", counting(3000))
        readings: list[Reading] = []
        while (await run.status()).state == "running" and len(readings) < 60:
            readings.append(Reading(bus, run.topic))
            await asyncio.sleep(random.random() * 0.005)
        readings.append(Reading(bus, run.topic))
        for reading in readings:
            assert await reading.ended() is None
            assert reading.values == list(range(3000)) and reading.gaps == []


async def test_over_the_byte_limit_a_reader_is_told_of_a_gap(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passed = file_clock.since_boot, [0]
    monkeypatch.setattr(file_clock, "since_boot", lambda: real() + passed[0])

    async def heavy() -> AsyncIterator[list[str]]:
        for number in range(1000):
            if number == 900:
                await core_of(bus).delivered()
                passed[0] = 4000  # a file keeps for three seconds what it is given, whatever the limit
            yield ["x" * 1000]

    async with make_bus() as bus:
        run = await bus.run("a", heavy, max_bytes=100_000)
        await run.result()
        reading = Reading(bus, run.topic)
        assert await reading.ended() is None
        assert reading.gaps == ["trimmed"] and 0 < len(reading.values) < 1000


def leases(bus: Bus) -> Leasing:
    log = core_of(bus).runtime.log
    assert isinstance(log, Leased)
    return log.leases


async def asked(log: Leasing, *arguments: Any) -> Lease:
    verb, *rest = arguments
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    getattr(log, verb)(*rest, answer.set_result)
    found = await answer
    assert isinstance(found, Lease)
    return found


async def test_a_run_whose_owner_is_silent_is_lost_for_its_readers(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        log = leases(bus)
        await asked(log, "take", "dead", Take("nobody", 0.3))
        reading = Reading(bus, "run:dead")
        error = await reading.ended()
        assert isinstance(error, StreamError) and error.problem()["reason"] == "lost"
        status = await bus.find_run("dead")
        assert status is not None and status.state == "lost"
        assert [entry.event for entry in (await bus.history("run:dead")).entries] == ["stream-end"]


async def test_an_owner_with_an_outdated_fence_cannot_append_and_closes_its_source(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        closed: list[bool] = []
        ticks = 0

        async def source() -> AsyncIterator[int]:
            nonlocal ticks
            try:
                while True:
                    ticks += 1
                    yield ticks
                    await asyncio.sleep(0.005)
            finally:
                closed.append(True)

        def resume(values: list[int]) -> AsyncIterator[int]:
            return source()

        run = await bus.run("a", source, resume=resume, lease=3.0)
        log = leases(bus)
        await asked(log, "renew", "a", 1, -1.0)  # as if it had been frozen for longer than its lease
        taken = await asked(log, "take", "a", Take("another", 30.0, resumes=True))
        assert taken.fence == 2
        await core_of(bus).delivered()
        before = (await run.status()).entries
        while not closed:
            await asyncio.sleep(0.01)
        assert (await run.status()).entries <= before + 1, "what had left before the fence moved"


async def test_what_is_pushed_behind_the_end_is_refused_though_it_leaves_in_the_same_batch(
    make_bus: MakeBus,
) -> None:
    async with make_bus() as bus:
        await asked(leases(bus), "take", "a", Take("this", 30.0))

        def draft(kind: str, data: str, claim: Claim) -> Draft:
            made = Draft("run:a", kind, data, None, Retention())
            made.claim = claim
            return made

        outcomes = await asyncio.gather(
            core_of(bus).publish(draft(TEXT, "outdated", Claim(0))),
            core_of(bus).publish(draft(TEXT, "first", Claim(1))),
            core_of(bus).publish(draft(END, '{"state": "completed"}', Claim(1, "completed", 60.0))),
            core_of(bus).publish(draft(END, '{"state": "completed"}', Claim(1, "completed", 60.0))),
            core_of(bus).publish(draft(TEXT, "too late", Claim(1))),
            core_of(bus).publish(draft(END, '{"state": "lost"}', Claim(1, "lost", 60.0))),
            return_exceptions=True,
        )
        refused = [isinstance(outcome, PublishRefused) for outcome in outcomes]
        assert refused == [True, False, False, True, True, True]
        page = await bus.history("run:a")
        assert [(entry.event, entry.data) for entry in page.entries][:1] == [(None, "first")]
        assert [entry.event for entry in page.entries] == [None, "stream-end"]
        status = await bus.find_run("a")
        assert status is not None and (status.state, status.entries) == ("completed", 1)


async def test_a_run_whose_time_is_over_is_unknown_and_may_begin_anew(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        done = await bus.run("a", rx.of(1, 2), ttl=0.3)
        assert (await done.result()).state == "completed" and await bus.find_run("a") is not None
        async with asyncio.timeout(20):
            while await bus.find_run("a") is not None:
                await asyncio.sleep(0.05)
        assert "a" not in {known.name for known in await bus.runs()}
        with pytest.raises(UsageError, match="its time is over"):
            await done.status()
        again = await bus.run("a", rx.of(3))
        assert again.started and (await again.result()).entries == 1
        reading = Reading(bus, again.topic)
        assert await reading.ended() is None and reading.values == [3]


async def test_the_result_of_another_processes_run_is_what_its_readers_get(shared_bus: MakeBus) -> None:
    gate = asyncio.Event()

    async def fails(error: Exception) -> AsyncIterator[int]:
        yield 1
        await gate.wait()
        raise error

    async with shared_bus() as bus, shared_bus() as other:
        await bus.run("own", fails(StreamError("no paper", status=409)))
        await bus.run("masked", fails(ValueError("the password is 123")))
        joined = [await other.run(name, rx.never()) for name in ("own", "masked")]
        gate.set()
        said: list[str] = []
        for run in joined:
            with pytest.raises(StreamError) as failed:
                await run.result()
            assert not run.started and failed.value.__cause__ is None
            said.append(str(failed.value.problem()))
        assert "no paper" in said[0] and "409" in said[0]
        assert "Internal Server Error" in said[1] and "123" not in said[1]


async def test_another_process_goes_on_with_a_run_that_can_be_resumed(shared_bus: MakeBus) -> None:
    async def resume(values: list[int]) -> AsyncIterator[int]:
        return counting_from(len(values), 20)

    async def counting_from(first: int, end: int) -> AsyncIterator[int]:
        for number in range(first, end):
            yield number
            if end < 20:
                await asyncio.Event().wait() if number == end - 1 else None

    async with shared_bus() as there:
        async with shared_bus() as here:
            run = await here.run("a", counting_from(0, 7), resume=resume)
            reading = Reading(there, run.topic)
            while len(reading.values) < 7:
                await asyncio.sleep(0.01)
        taken = await there.run("a", forever, resume=resume)
        assert taken.started and taken.topic == run.topic
        assert (await taken.result()).state == "completed"
        assert await reading.ended() is None and reading.values == list(range(20))


async def test_a_run_is_stopped_from_another_process(shared_bus: MakeBus) -> None:
    async with shared_bus() as here, shared_bus() as there:
        run = await here.run("a", forever)
        joined = await there.run("a", forever)
        assert not joined.started
        reading = Reading(there, run.topic)
        assert (await there.stop("a", "enough")).state == "stopped"
        assert await reading.ended() is None and reading.values == [0]


async def test_a_stop_from_another_process_does_not_wait_for_a_renewal(
    shared_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "RENEW", 600.0)
    async with shared_bus() as here, shared_bus() as there:
        for name in ("a", "b"):  # the second comes after a pause in which this process has had no run
            run = await here.run(name, forever, lease=3600.0)
            reading = Reading(there, run.topic)
            await reading.first()
            assert (await asyncio.wait_for(there.stop(name, "enough"), 15)).state == "stopped"
            assert await reading.ended() is None
        together = [await here.run(name, forever, lease=3600.0) for name in ("c", "d")]
        assert (await asyncio.wait_for(there.stop("c"), 15)).state == "stopped"
        assert (await together[1].status()).state == "running", "only the one that was asked for"


@pytest.mark.parametrize("count", [50, pytest.param(2000, marks=pytest.mark.slow)])
async def test_four_processes_start_one_source(shared_bus: MakeBus, count: int) -> None:
    async with shared_bus() as a, shared_bus() as b, shared_bus() as c, shared_bus() as d:
        for number in range(count):
            started: list[int] = []

            def source(started: list[int] = started) -> rx.Observable[int]:
                started.append(1)
                return rx.of(1)

            runs = await asyncio.gather(*(bus.run(f"r{number}", source) for bus in (a, b, c, d)))
            assert sum(run.started for run in runs) == 1
            assert (await runs[0].result()).entries == 1
            assert started == [1]
