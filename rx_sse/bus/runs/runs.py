"""The runs of one bus: those whose source is in this process, and the status of the others.

A process that reads runs, or got a query about a run, checks every second for expired leases, and writes the
end of their runs; other processes do so every half minute.

Never: readers of a run whose process has died wait longer than its lease and a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from reactivex import Observable

from rx_sse.bus.log.entry import END, JSON, TEXT, Entry
from rx_sse.bus.log.lease import LOST, RUNNING, Found, Lease, Leased, Leasing, LocalLeases, Take
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import UNKNOWN
from rx_sse.bus.names import check_run
from rx_sse.bus.publisher import Publisher
from rx_sse.bus.runs.failure import LOST as PROBLEM
from rx_sse.bus.runs.failure import PROBLEMS, Cause, failure_of_run
from rx_sse.bus.runs.owner import CLOSING, Owner, Terms, write_end
from rx_sse.bus.runs.run import Run, RunStatus
from rx_sse.bus.runs.source import Source
from rx_sse.bus.runs.stop_requests import StopRequests
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.errors import BusClosed, Overloaded, StreamError, UsageError
from rx_sse.wire.dumps import Dumps

RARELY = 30.0
INTEREST = 60.0
"""Seconds for which a process checks every second, after a query about a run."""
RESUMABLE = 60.0
"""Seconds for which a resumable run waits for a process that takes it over."""
LOST_LIFE = 3600.0
"""Seconds for which a lost run is kept."""
ANSWER = 5.0
"""Seconds to wait for an answer of the log."""


class Runs:
    """The runs of one bus. Loop thread only.

    Args:
        runtime: the bus.
        topics: its topics.
        publisher: the way into the log, while the bus runs.
        dumps: replaces the JSON encoder.
    """

    def __init__(
        self,
        runtime: Runtime,
        topics: Topics,
        publisher: Callable[[], Publisher | None],
        dumps: Callable[[], Dumps | None],
    ) -> None:
        self._runtime = runtime
        self._topics = topics
        self._publisher = publisher
        self._dumps = dumps
        self._owners: dict[str, Owner] = {}
        self._ending: set[str] = set()
        self._read: set[str] = set()
        self._interest = 0.0
        self._looked = -math.inf  # the clock may have begun a second ago, with the machine
        # The owner of a run in memory is in this process.
        shared = isinstance(runtime.log, Leased) and not isinstance(runtime.log.leases, LocalLeases)
        self._stops = StopRequests(runtime, topics, self._asked) if shared else None

    # -- called by users -------------------------------------------------------------------------------------

    async def run(
        self,
        name: str,
        source: Source,
        terms: Terms,
        *,
        restart: bool,
        key: str | None,
        resume: Callable[[list[Any]], Any] | None,
    ) -> Run:
        """Start a run, or join the existing one."""
        check_run(name)
        log, publisher = self._log(), self._publisher()
        if publisher is None:
            raise BusClosed("the bus is closed")
        wish = Take(os.urandom(8).hex(), terms.lease, restart, key or "", resume is not None)
        context = contextvars.copy_context()
        lease = await self._ask(lambda done: log.take(name, wish, done))
        assert lease is not None
        if lease.overdue and not self._waits(lease):
            await self._lose(lease)
            lease = await self._ask(lambda done: log.take(name, wish, done))
            assert lease is not None
        if lease.owner != wish.owner or lease.state != RUNNING:
            here = self._owners.get(name)
            cause = here.cause if here is not None and here.lease.topic == lease.topic else Cause()
            return Run(self, lease, False, cause)
        if resume is not None and lease.entries > 0:
            source = self._resumed(resume, lease.topic)
        owner = Owner(
            lease,
            source,
            terms,
            publisher=publisher,
            renew=lambda seconds: self._future(lambda done: log.renew(name, lease.fence, seconds, done)),
            find=lambda: self._future(lambda done: log.look(name, done)),
            dumps=self._dumps(),
            context=context,
            left=self._left,
        )
        self._owners[name] = owner
        if self._stops is not None:
            self._stops.start()
        return Run(self, lease, True, owner.cause)

    async def known(self, name: str) -> RunStatus:
        """The status of a run; the end of a lost run is written first."""
        if (found := await self.find(name)) is None:
            raise UsageError(f"there is no run {name!r}: it was never started, or its time is over")
        return found

    async def find(self, name: str) -> RunStatus | None:
        """The status of a run; None if there is no such run."""
        check_run(name)
        log = self._log()
        lease = await self._ask(lambda done: log.look(name, done))
        if lease is not None and lease.overdue and not self._waits(lease):
            await self._lose(lease)
            lease = await self._ask(lambda done: log.look(name, done))
        return None if lease is None else RunStatus.of(lease)

    async def stop(self, name: str, reason: str) -> RunStatus:
        """Stop a run, in any process, and wait until it has ended."""
        found = await self.known(name)
        pause = 0.0
        while found.state == RUNNING:
            if (owner := self._owners.get(name)) is not None:
                owner.stop(reason or "stopped")
                await asyncio.wait({owner.task}, timeout=CLOSING)
            else:
                await self._ask(partial(self._log().ask, name, reason or "stopped"))
                if self._stops is not None and not pause:
                    self._stops.send(name)
                pause = min(pause * 2, 0.1) or 0.005
                await asyncio.sleep(pause)
            found = await self.known(name)
        return found

    async def all(self) -> list[RunStatus]:
        """The newest runs, running ones first."""
        log = self._log()
        found: asyncio.Future[list[Lease]] = asyncio.get_running_loop().create_future()
        log.all(overdue=False, done=lambda rows: None if found.done() else found.set_result(rows))
        try:
            rows = await asyncio.wait_for(found, ANSWER)
        except TimeoutError:
            raise Overloaded("the log does not tell its runs", retry_after=1.0) from None
        return sorted(map(RunStatus.of, rows), key=lambda row: (row.state != RUNNING, -row.since))

    async def over(self, name: str, topic: str) -> RunStatus:
        """Wait until the run with `topic` has ended."""
        pause = 0.02
        while True:
            owner = self._owners.get(name)
            if owner is not None and owner.lease.topic == topic:
                await asyncio.wait({owner.task})
            found = await self.known(name)
            if found.state != RUNNING or found.topic != topic:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def failure(self, found: RunStatus) -> StreamError:
        """The error that the readers of a run get which has failed or was lost."""
        mark: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self.end_of(found.topic, lambda entry: None if mark.done() else mark.set_result(entry))
        entry = None
        with contextlib.suppress(TimeoutError):  # what is known without it is its state
            entry = await asyncio.wait_for(mark, ANSWER)
        problem = None if entry is None else entry.detail().get("problem")
        return failure_of_run(PROBLEMS[found.state] if problem is None else problem)

    async def finish(self, seconds: float) -> None:
        """Give the runs of this process time to end by themselves."""
        if tasks := {owner.task for owner in self._owners.values()}:
            await asyncio.wait(tasks, timeout=seconds)

    async def close(self) -> None:
        """The bus closes: stop the runs of this process; resumable runs are released for another process."""
        owners = list(self._owners.values())
        for owner in owners:
            owner.stop("" if owner.terms.resumes else "shutdown")
        if owners:
            await asyncio.wait({owner.task for owner in owners}, timeout=CLOSING + 1.0)
        for owner in owners:
            owner.task.cancel()
        self.let_go()

    def let_go(self) -> None:
        """Forget all that belonged to the loop."""
        self._owners.clear()
        if self._stops is not None:
            self._stops.stop()

    def sweep(self, now: float) -> None:
        """Once a second: check for expired leases."""
        log = self._runtime.log
        if not isinstance(log, Leased):
            return
        self._read = {topic for topic in self._read if topic in self._topics}
        if self._read:
            self._interest = now + INTEREST
        if now >= self._looked + (0.0 if now < self._interest else RARELY):
            self._looked = now
            log.leases.all(overdue=True, done=self._overdue)

    def reads(self, topic: str) -> None:
        """A reader of a run's topic is in this process."""
        self._read.add(topic)

    def end_of(self, topic: str, done: Callable[[Entry | None], None]) -> None:
        """The end mark of a run's topic; None if its last entry is none any more."""

        def answered(page: Page | None) -> None:
            if page is None:
                self._runtime.later(partial(self.end_of, topic, done))
            else:
                last = page.entries[-1] if page.entries else None
                done(last if last is not None and last.kind == END else None)

        self._runtime.log.read(Query(topic, last=1), answered)

    # -- inside ----------------------------------------------------------------------------------------------

    def _overdue(self, leases: list[Lease]) -> None:
        if not self._runtime.running:
            return
        for lease in leases:
            if lease.overdue and not self._waits(lease) and lease.name not in self._ending:
                self._ending.add(lease.name)
                self._runtime.spawn(self._lose, lease)

    @staticmethod
    def _waits(lease: Lease) -> bool:
        """Whether a run without an owner waits for a process that goes on with it."""
        return lease.resumes and lease.left > -RESUMABLE

    async def _lose(self, lease: Lease) -> None:
        """Write the end of a run whose lease is over."""
        publisher = self._publisher()
        self._ending.add(lease.name)
        try:
            if publisher is not None:
                said = {"reason": "lost", "state": LOST, "problem": PROBLEM}
                await write_end(publisher, lease, LOST, said, LOST_LIFE)
        finally:
            self._ending.discard(lease.name)

    def _resumed(self, resume: Callable[[list[Any]], Any], topic: str) -> Callable[[], Any]:
        """A function that returns the source with which a run goes on, given its entries so far."""

        async def source() -> Any:
            made = resume(await self._values(topic))
            if isinstance(made, Observable) or not inspect.isawaitable(made):
                return cast(Any, made)
            return await made

        return source

    async def _values(self, topic: str) -> list[Any]:
        """The values of a topic that are kept."""
        values: list[Any] = []
        after = UNKNOWN
        while True:
            query = Query(topic, after=after)
            asked: asyncio.Future[Page | None] = asyncio.get_running_loop().create_future()
            self._runtime.log.read(query, asked.set_result)
            page = await asyncio.wait_for(asked, ANSWER)
            if page is None:
                await asyncio.sleep(0.1)
                continue
            values += [entry.value() for entry in page.entries if entry.kind in (JSON, TEXT)]
            if not page.entries:
                return values
            after = page.entries[-1].position

    def _log(self) -> Leasing:
        self._runtime.require_loop()
        log = self._runtime.log
        if not isinstance(log, Leased):
            raise UsageError(f"{type(log).__name__} keeps no leases, so this bus has no runs")
        if self._publisher() is None:
            raise BusClosed("the bus is closed")
        self._interest = self._runtime.now() + INTEREST
        return log.leases

    def _future(self, ask: Callable[[Found], None]) -> asyncio.Future[Lease | None]:
        """The answer of the log, which may come at once."""
        answer: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()

        def found(lease: Lease | Exception | None) -> None:
            if answer.done():
                return
            if isinstance(lease, Exception):
                answer.set_exception(lease)
            else:
                answer.set_result(lease)

        ask(found)
        return answer

    async def _ask(self, ask: Callable[[Found], None]) -> Lease | None:
        """Ask the log, for as long as an answer may take."""
        try:
            return await asyncio.wait_for(self._future(ask), ANSWER)
        except TimeoutError:
            raise Overloaded("the log does not answer for the run", retry_after=1.0) from None

    def _left(self, owner: Owner) -> None:
        if self._owners.get(owner.lease.name) is owner:
            del self._owners[owner.lease.name]
        if self._stops is not None and not self._owners:
            self._stops.stop()

    def _asked(self, name: str | None) -> None:
        """A stop was requested of one run, or perhaps of any."""
        for owner in [owner for known, owner in self._owners.items() if name is None or known == name]:
            owner.look()
