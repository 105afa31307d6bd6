"""One run: a world made from a seed, a time of trouble, a time of peace, and the account."""

from __future__ import annotations

import asyncio
import contextlib
import random
import traceback
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from rx_sse import Bus, MemoryBus, Overflow, SQLiteBus
from rx_sse.bus.log.history import MemoryBudget
from rx_sse.bus.log.position import nonce_of, parse, ref_of
from rx_sse.bus.log.retention import Retention
from rx_sse.errors import BusClosed, PublishRefused, PublishUnknown, QueueFull

from .broker import Broker
from .broker import Link as BrokerLink
from .chain import Chain, name_of
from .client import Client
from .database import Database, Life
from .loop import BEGIN, Loop, virtual
from .oracle import NOW, Account, GapTold, Start
from .process import LAST, SINCE, Link, Process, anything, third
from .questions import Questions
from .threads import GROUP, Group
from .trace import Trace

LOGS = ("memory", "broker", "branches", "file", "power")
"""A log of one process; a broker that loses nothing it accepted but by its limits; one whose stale replicas
are promoted, and which is flushed; an SQLite file that loses nothing; one that loses its last commits in a
power cut, and is replaced by a backup."""
TURNS = ("memory", "broker", "branches", "file", "memory", "broker", "branches", "power")
"""The logs of seeds in a row; one over a file takes three times as long as another."""
TOPICS = ("a", "b", "c")
ENDING = "d"
"""A topic that is ended now and then; its clients read nothing else."""
FAULTS = ("close", "holes", "delay")
"""Faults that the library does not survive yet, or need not, played only when they are asked for: pushes
while a bus closes; entries that are deleted in the middle of a log; an operator that delays events, under
gaps and small limits."""
STEPS = 40
PEACE = 60.0
"""Seconds after which every client must be whole, once nothing goes wrong any more; over a file half of it,
where each second has hundreds of looks for what is new."""

ASKED = 4.0
"""Seconds after which every process knows who listens in the others, once it is asked."""

ROUTES: dict[str, Callable[[str], bool]] = {
    "plain": anything,
    "filtered": third,
    "delayed": third,
    "piped": third,
    "dropping": anything,
    "merged": anything,
    "newest": anything,
    "since": anything,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        seed, log: which it was.
        failure: what did not hold; None if all did.
        trace: what happened, line by line.
        events, gaps: what reached clients.
    """

    seed: int
    log: str
    failure: str | None
    trace: list[str]
    events: int
    gaps: int


class Scenario:
    """A world, and what happens in it.

    Args:
        seed: decides everything.
        loop: its loop.
        chance: what is drawn from.
        log: one of `LOGS`.
        faults: of `FAULTS`.
    """

    def __init__(
        self, seed: int, loop: Loop, chance: random.Random, log: str, faults: Collection[str] = ()
    ) -> None:
        self.faults = faults
        self.loop = loop
        self.chance = chance
        self.log = log
        self.trace = Trace(loop.time)
        memory = log == "memory"
        self.kept = chance.choice((10, 1000, 1000, 1000) if log == "branches" else (3, 10, 40, 1000))
        ruled = [topic for topic in TOPICS if log != "branches" and chance.random() < 0.2]
        self.rules = {topic: chance.choice((2, 20, 100)) for topic in ruled}
        """Topics with a retention of their own."""
        self.chains = {
            topic: Chain(topic, self._kept(topic) if memory else None) for topic in (*TOPICS, ENDING)
        }
        self.numbers = dict.fromkeys(self.chains, 0)
        self.padding = chance.choice((0, 0, 200, 3000))
        self.broker: Broker | None = None
        self.database: Database | None = None
        self.ahead: list[tuple[Account, float, str, int]] = []
        """Clients whose cursor the log took back, and when: each must be told."""
        if log in ("file", "power"):
            self.database = Database(
                loop, chance, self.chains.__getitem__, self.trace, durable=chance.random() < 0.3
            )
        elif not memory:
            page = chance.choice((1, 2, 7, 500))
            self.broker = Broker(loop, chance, self.chains.__getitem__, self.trace, page=page)
        loop.slow = chance.choice((0.0, 0.0, 0.05, 0.5))
        limits = Overflow("disconnect", max_events=chance.choice((4, 512)))
        count = 1 if memory else chance.choice((2, 2, 3))
        self.processes = [
            Process(
                f"process {number}",
                tuple(chance.sample(TOPICS, chance.choice((0, 1, 3, 3)))),
                loop,
                self.trace,
                partial(self._make_bus, number),
                overflow=limits,
            )
            for number in range(1, count + 1)
        ]
        self.clients = [self._make_client(number) for number in range(chance.randint(2, 6))]
        self.questions = Questions(
            loop,
            chance,
            self.trace,
            self.chains,
            self.processes,
            self.clients,
            memory=memory,
            shared=self.database is not None,
            keeps=log in ("broker", "file"),
        )
        self.refused: list[tuple[str, float]] = []
        """Pushes that were refused for want of room: topic and time."""
        self.wrong: list[str] = []
        """Wrong answers to questions."""
        self.promised: dict[str, Process] = {}
        """Pushes that returned, and the process that took them, until they are stored."""
        self.turned_down: set[str] = set()
        """What `PublishRefused` said would not be stored."""
        self.trace.note(
            f"seed {seed}",
            "{}: history {}, {} processes, padding {}, overflow at {}, slow {}",
            log, self.kept, count, self.padding, limits.max_events, loop.slow,
        )  # fmt: skip
        for client in self.clients:
            self.trace.note(client.name, "is a client of {}", client.path)

    def _kept(self, topic: str) -> int:
        """Entries of a topic that are kept."""
        return self.rules.get(topic, self.kept)

    def _make_bus(self, number: int) -> tuple[Bus, Link | None]:
        bus, link = self._make_plain_bus(number)
        for topic, history in self.rules.items():
            bus.retain(topic, history=history)
        return bus, link

    def _make_plain_bus(self, number: int) -> tuple[Bus, Link | None]:
        if self.database is not None:
            return self._make_sqlite_bus(self.database)
        if self.broker is None:
            bus: Bus = MemoryBus(history=self.kept, clock=self.loop.time)
            return bus, None
        link = BrokerLink(self.broker, f"link {number}")
        retention = Retention(entries=self.kept, age=1e9)
        return Bus(
            link, retention, clock=self.loop.time, ring_bytes=self.chance.choice((350, 10_000, 64_000_000))
        ), link

    def _make_sqlite_bus(self, database: Database) -> tuple[Bus, Link]:
        GROUP.set(group := Group())  # the threads that this task starts are of this life
        bus = SQLiteBus(database.path, history=self.kept, ttl=1e6, clock=self.loop.time)
        bus._core.runtime.rings = MemoryBudget(self.chance.choice((350, 10_000, 64_000_000)))
        return bus, Life(group)

    def _make_client(self, number: int) -> Client:
        chance = self.chance
        route = chance.choice([it for it in ROUTES if it != "delayed" or "delay" in self.faults])
        count = chance.choice((1, 1, 2, 3)) if route != "dropping" else 1
        topics = tuple(chance.sample(TOPICS, count))
        if route in ("plain", "filtered") and chance.random() < 0.2:
            topics = (ENDING,)
        user = chance.choice((None, None, "ada", "bob"))
        slack = 0.0 if self.database is None else 10.0
        start = {"newest": Start(LAST), "since": Start(since=SINCE, slack=slack)}.get(route, NOW)
        return Client(
            f"client {number}",
            f"{'' if user is None else '/my'}/{route}/{'+'.join(topics)}",
            topics,
            ROUTES[route],
            loop=self.loop,
            chance=chance,
            trace=self.trace,
            chains=self.chains,
            processes=self.processes,
            window=chance.choice((1_000, 64_000)),
            user=user,
            start=start,
        )

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trouble, then peace, then the account."""
        for process in self.processes:
            self.loop.complete(process.start())
        for client in self.clients:
            self.loop.call_later(self.chance.choice((0.0, 0.1, 3.0)), client.connect)
        actions = self._actions()
        names = [action for action, _ in actions]
        weights = [weight for _, weight in actions]
        for _ in range(STEPS):
            self.chance.choices(names, weights)[0]()
            self.loop.run_for(self.chance.choice((0.0, 0.001, 0.01, 0.1, 0.5, self.chance.uniform(0.0, 3.0))))
        self._make_peace()
        peace = PEACE / 2 if self.database is None else PEACE / 4
        self.loop.run_for(peace - ASKED)
        self.questions.look()
        self.loop.run_for(ASKED)
        self._account_for_clients()  # nothing new has come that could wake anybody up
        for topic in self.chains:
            self._push(self.processes[0], topic)
        self.loop.run_until(max(self.loop.time() + peace - ASKED, self.questions.settled))
        self.questions.look()
        self.loop.run_for(ASKED)
        self._account()
        self.questions.account()
        self.bury()

    def _actions(self) -> list[tuple[Callable[[], None], float]]:
        """What may happen, and how often."""
        actions: list[tuple[Callable[[], None], float]] = [
            (self._push_on_loop, 10),
            (self._push_on_threads, 4),
            (self._publish, 4),
            (self._cut, 5),
            (self._stop_reading, 2),
            (self._read, 3),
            (self._wait, 1),
            (self._restart, 0.5),
            (self._end, 0.5),
            (self._ask, 3),
            (self._revoke, 0.5),
        ]
        if self.broker is not None:
            actions += [
                (self._lose_connection, 2),
                (self._trim, 1),
                (self._expire, 0.5),
                (self._stop_broker, 0.7),
                (self._lag, 1),
                (self._crowd, 0.7),
                (self._publish_outside, 1),
            ]
        if self.database is not None:
            actions += [
                (self._kill, 0.7),
                (self._fail, 1),
                (self._lock, 1.5),
                (self._stall, 1),
                (self._publish_outside, 1.5),
            ]
        if self.log == "power":
            actions += [(self._cut_power, 1.5), (self._back_up, 1.5), (self._restore, 1)]
        if "holes" in self.faults and self.broker is not None:
            actions.append((self._delete, 2))
        if self.log == "broker":
            actions += [(self._kill, 0.5), (self._forget, 0.3), (self._evict_meta, 0.5)]
        if self.log == "branches":
            actions += [(self._replicate, 3), (self._promote, 2), (self._flush, 0.4)]
        return actions

    def _make_peace(self) -> None:
        self.trace.note("peace", "nothing goes wrong from here on")
        self.loop.slow = 0.0
        if self.broker is not None:
            self.broker.heal()
            for link in self.broker.links:
                link.crowded = False
        if self.database is not None:
            self.database.heal()
        for client in self.clients:
            client.calm = True
            client.read(True)
        for process in self.processes:
            self.loop.run_until(self.loop.time() + 30.0, done=lambda process=process: process.accepts)
            assert process.accepts, f"{process.name} did not start again"

    def _account(self) -> None:
        self._account_for_clients()
        stored = self._stored()
        for process in self.processes:
            stored.update(process.abandoned)
        for process in self.processes:
            for topic in process.topics:
                self._account_for_values(process, topic)
        for topic, at in self.refused:
            assert any(item.payload is None and item.at >= at for item in self.chains[topic].items), (
                f"a push to {topic} was refused, and its readers were not told"
            )
        lost = [
            payload
            for payload, process in self.promised.items()
            if payload not in stored and payload.split("-", 1)[0] not in process.dropped
        ]
        ghosts = self.turned_down & self._stored()
        assert not ghosts, f"{', '.join(ghosts)} were refused, and are stored"
        assert not lost, f"{', '.join(lost)} were pushed without an error, and never stored"
        assert not self.wrong, "; ".join(self.wrong)
        assert not self.loop.failures, f"the loop's exception handler got {'; '.join(self.loop.failures)}"

    def _account_for_clients(self) -> None:
        if self.broker is not None:
            self.broker.excuse()
        if self.database is not None:
            self.database.excuse()
        for account, at, topic, nonce in self.ahead:
            if self.database is not None and not self.database.lost(topic, nonce):
                continue  # a backup has brought it back
            assert account.over or any(isinstance(it, GapTold) and it.at >= at for it in account.told), (
                f"{account.name} stood where the log was cut off, and was not told"
            )
        for client in self.clients:
            assert client.done or client.open, f"{client.name} has no stream"
            for account in client.accounts.values():
                account.whole()

    def _account_for_values(self, process: Process, topic: str) -> None:
        """What a subscriber in the process got: in order, once, and all of it unless `bus.errors` said so."""
        chain = self.chains[topic]
        got = [payload for at, payload in process.values if at == topic]
        name = f"the subscriber to {topic} in {process.name}"
        if chain.branched:
            return
        # A publish whose answer was lost together with the log that had it is stored again; values carry no
        # position by which a subscriber could tell, so `bus.errors` does.
        again = len(got) != len(set(got))
        assert not again or topic in process.holes, f"{name} got something twice: {got}"
        if again:
            return
        items = [chain.by_payload[payload] for payload in got]
        places = [it.index for it in items if not it.again]  # of those stored twice, it may have the first
        assert places == sorted(places), f"{name} got values out of order: {got}"
        assert got and got[-1] == f"{topic}-{self.numbers[topic]}", f"{name} got no value any more"
        if topic not in process.holes:
            due = [it.payload for it in chain.between(places[0], places[-1] + 1) if it.payload is not None]
            assert got == due, f"{name} lost {set(due) - set(got)} in silence"

    def _stored(self) -> set[str]:
        return {payload for chain in self.chains.values() for payload in chain.by_payload}

    def bury(self) -> None:
        """End everything, so that nothing of it is left to the garbage collector."""
        for process in self.processes:
            if process.accepts:
                self.loop.complete(process.stop())

    # -- publishers ------------------------------------------------------------------------------------------

    def _settled(self) -> bool:
        """Whether no process is on a file that was replaced: if it ended there, what it knows would go."""
        return self.database is None or self.loop.time() >= self.database.unsettled

    def _some_process(self) -> Process | None:
        up = [process for process in self.processes if process.bus is not None and process.accepts]
        return self.chance.choice(up) if up else None

    def _value(self, topic: str) -> str:
        self.numbers[topic] += 1
        pad = self.chance.choice((0, self.padding))
        return f"{topic}-{self.numbers[topic]}" + (" " + "x" * pad if pad else "")

    def _push(self, process: Process, topic: str) -> None:
        bus = process.bus
        if bus is None:
            return
        value = self._value(topic)
        payload = name_of(value)
        try:
            bus.topic(topic).on_next(value)
        except QueueFull:
            self.trace.note(process.name, "refuses {}: the queue is full", payload)
            self.refused.append((topic, self.loop.time()))
            process.refused = True
        except BusClosed:
            self.trace.note(process.name, "refuses {}: the bus is closed", payload)
        else:
            self.trace.note(process.name, "takes {}", payload)
            self._taken(process, topic, payload)

    def _taken(self, process: Process, topic: str, payload: str) -> None:
        if self.log == "memory":
            self.chains[topic].accept(payload, self.loop.time())
        elif process.accepts or "close" in self.faults:
            self.promised[payload] = process

    def _push_on_loop(self) -> None:
        if (process := self._some_process()) is not None:
            topic = self.chance.choice(TOPICS)
            count = self.chance.choice((1, 1, 3, 30))
            if self.chance.random() < 0.5:
                self.loop.call_soon(lambda: [self._push(process, topic) for _ in range(count)])
            else:
                for _ in range(count):
                    self.loop.call_soon(self._push, process, topic)

    def _push_on_threads(self) -> None:
        if (process := self._some_process()) is not None:
            for thread in range(1, self.chance.choice((2, 4))):
                topic = self.chance.choice(TOPICS)
                for _ in range(self.chance.choice((1, 5))):
                    self.loop.in_thread(thread, partial(self._push_on_thread, thread, process, topic))

    def _push_on_thread(self, thread: int, process: Process, topic: str) -> None:
        if process.link is not None and process.link.crowded:  # it would wait for room: it comes later
            again = partial(self._push_on_thread, thread, process, topic)
            self.loop.call_later(0.01, self.loop.in_thread, thread, again)
        else:
            self._push(process, topic)

    def _publish(self) -> None:
        if (process := self._some_process()) is not None:
            topic = self.chance.choice(TOPICS)
            self.loop.create_task(self._published(process, topic, self._value(topic)))

    def _publish_outside(self) -> None:
        topic = self.chance.choice(TOPICS)
        if self.database is not None:
            self.database.publish_from_outside(topic, self._value(topic))
        elif self.broker is not None:
            retention = Retention(entries=self._kept(topic), age=1e9)
            self.broker.publish_from_outside(topic, self._value(topic), retention)

    def _end(self) -> None:
        if (process := self._some_process()) is not None:
            self.loop.create_task(self._ended(process))

    async def _ended(self, process: Process) -> None:
        if process.bus is None:
            return
        self.trace.note(process.name, "ends {}", ENDING)
        if self.log == "memory":
            self.chains[ENDING].accept(None, self.loop.time(), end=True)
        with contextlib.suppress(QueueFull, PublishRefused, PublishUnknown, BusClosed):
            await process.bus.end(ENDING)

    async def _published(self, process: Process, topic: str, value: str) -> None:
        bus = process.bus
        payload = name_of(value)
        if bus is None:
            return
        if self.log == "memory":
            self._taken(process, topic, payload)
        try:
            cursor = await bus.publish(topic, value)
        except PublishRefused:
            self.trace.note(process.name, "publish of {}: refused", payload)
            self.turned_down.add(payload)
        except (QueueFull, PublishUnknown, BusClosed) as error:
            self.trace.note(process.name, "publish of {}: {}", payload, type(error).__name__)
        else:
            self.trace.note(process.name, "published {} as {}", payload, cursor)
            assert payload in self.chains[topic].by_payload, (
                f"publish() of {payload} returned, and it is not there"
            )

    # -- questions -------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if (process := self._some_process()) is not None:
            cursor = self.chance.choice(self.clients).cursor
            self._watched(self.questions.read(process, self.chance.choice(TOPICS), cursor))

    def _revoke(self) -> None:
        if (process := self._some_process()) is not None:
            self._watched(self.questions.revoke(process, self.chance.choice(self.clients)))

    def _watched(self, question: Coroutine[Any, Any, None]) -> None:
        """Ask; a wrong answer is a failure of the run."""

        def answered(task: asyncio.Task[None]) -> None:
            if (error := task.exception()) is not None:
                self.wrong.append(str(error) if isinstance(error, AssertionError) else repr(error))

        self.loop.create_task(question).add_done_callback(answered)

    # -- clients ---------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        self.chance.choice(self.clients).cut()

    def _stop_reading(self) -> None:
        self.chance.choice(self.clients).read(False)

    def _read(self) -> None:
        self.chance.choice(self.clients).read(True)

    def _wait(self) -> None:
        self.loop.run_for(self.chance.choice((5.0, 20.0, 40.0) if self.database is None else (2.0, 10.0)))

    # -- processes -------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        if self._settled() and (process := self._some_process()) is not None:
            self.loop.create_task(self._restarted(process))

    async def _restarted(self, process: Process) -> None:
        if "close" in self.faults:
            for number in range(30):
                self.loop.call_later(
                    number / 20, self.loop.in_thread, 7, partial(self._push, process, TOPICS[0])
                )
        self._give_up(process)
        await process.stop()
        if self.log == "memory":
            for chain in self.chains.values():
                chain.forget(self.loop.time())
        await process.start()

    def _give_up(self, process: Process) -> None:
        """Whom a process could not tell of a refused push before it ended, it does not tell."""
        if process.refused:
            process.refused = False
            self.refused.clear()

    def _kill(self) -> None:
        if self._settled() and (process := self._some_process()) is not None:
            self._killed(process)

    def _killed(self, process: Process) -> None:
        for payload, keeper in list(self.promised.items()):
            if keeper is process:  # at most once: what it had not stored is gone with it
                del self.promised[payload]
        self._give_up(process)
        process.kill()
        self.loop.call_later(self.chance.uniform(0.1, 5.0), lambda: self.loop.create_task(process.start()))

    # -- the file --------------------------------------------------------------------------------------------

    def _fail(self) -> None:
        assert self.database is not None
        name = self.chance.choice(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR"))
        self.database.fail(name, self.chance.choice((0.1, 2.0, 8.0)))

    def _lock(self) -> None:
        assert self.database is not None
        topic = self.chance.choice(TOPICS)
        seconds = self.chance.choice((0.0, 0.1, 2.0, 8.0))
        self.database.lock(seconds, topic, self._value(topic), commit=self.chance.random() < 0.5)

    def _stall(self) -> None:
        process = self._some_process()
        if self._settled() and process is not None and isinstance(process.link, Life):
            assert self.database is not None
            self.database.stall(process.link.group, self.chance.choice((0.1, 1.0, 8.0)))

    def _back_up(self) -> None:
        assert self.database is not None
        self.database.backup()

    def _restore(self) -> None:
        assert self.database is not None
        if self._may_branch():
            self._took_back(self.database.restore())

    def _cut_power(self) -> None:
        assert self.database is not None
        if self._may_branch():
            self._took_back(self.database.cut_power(self._kill_all))

    def _kill_all(self) -> None:
        for process in self.processes:
            self._killed(process)

    def _may_branch(self) -> bool:
        """Whether all processes run, and no client stands in two branches: see `_promote`."""
        now = self.loop.time()
        return (
            all(
                process.accepts and isinstance(process.link, Life) and process.link.group.stalled <= now
                for process in self.processes
            )
            and self._settled()
            and not any(client.was_further for client in self.clients)
        )

    def _took_back(self, branched: bool) -> None:
        """The file may be in an earlier state."""
        if not branched:
            return
        assert self.database is not None
        for chain in self.chains.values():
            chain.branched = True
        for client in self.clients:
            places = parse(client.cursor) or {}
            for topic, account in client.accounts.items():
                place = places.get(ref_of(topic))
                if place is not None and self.database.lost(topic, nonce := nonce_of(place.position)):
                    self.ahead.append((account, self.loop.time(), topic, nonce))

    # -- the broker ------------------------------------------------------------------------------------------

    def _links(self) -> list[BrokerLink]:
        assert self.broker is not None
        return self.broker.links

    def _lose_connection(self) -> None:
        if links := self._links():
            self.chance.choice(links).lose()

    def _lag(self) -> None:
        if links := self._links():
            self.chance.choice(links).mute = self.loop.time() + self.chance.uniform(0.1, 3.0)

    def _crowd(self) -> None:
        if links := self._links():
            link = self.chance.choice(links)
            link.crowded = True

            def clear() -> None:
                link.crowded = False

            self.loop.call_later(self.chance.uniform(0.01, 1.0), clear)

    def _stop_broker(self) -> None:
        assert self.broker is not None
        if self.broker.up:
            self.broker.stop(self.chance.choice((0.1, 2.0, 8.0)))

    def _trim(self) -> None:
        assert self.broker is not None
        self.broker.trim(self.chance.choice(TOPICS), self.chance.randint(0, 6))

    def _delete(self) -> None:
        assert self.broker is not None
        self.broker.delete(self.chance.choice(TOPICS), self.chance.randint(1, 5))

    def _expire(self) -> None:
        assert self.broker is not None
        self.broker.trim(self.chance.choice(TOPICS), 0)

    def _evict_meta(self) -> None:
        assert self.broker is not None
        self.broker.evict_meta(self.chance.choice(TOPICS))

    def _forget(self) -> None:
        assert self.broker is not None
        self.broker.forget(self.chance.choice(TOPICS))

    def _replicate(self) -> None:
        assert self.broker is not None
        self.broker.replicate()

    def _promote(self) -> None:
        assert self.broker is not None
        forked = any(link.server is not self.broker.master for link in self.broker.links)
        if forked or any(client.was_further for client in self.clients):
            # A second fork before the first has healed: a cursor holds two places, and a client that was in
            # three branches may get again what it had in the third.
            return
        for chain in self.chains.values():
            chain.branched = True
        self.broker.promote()
        for link in list(self.broker.links):
            if self.chance.random() < 0.6:
                link.lose()

    def _flush(self) -> None:
        assert self.broker is not None
        for chain in self.chains.values():
            chain.branched = True
        self.broker.flush()


def log_of(seed: int) -> str:
    """The log of a seed, where none is asked for."""
    return TURNS[seed % len(TURNS)]


def play(seed: int, log: str | None = None, *, traced: bool = False, faults: Collection[str] = ()) -> Outcome:
    """One run; with `traced`, its trace is kept also if it holds."""
    log = log or log_of(seed)
    chance = random.Random(f"{log} {seed}")
    failure: str | None = None
    with virtual(seed, chance) as loop, contextlib.ExitStack() as stack:
        scenario: Any = Scenario(seed, loop, chance, log, faults)
        if scenario.database is not None:
            stack.enter_context(scenario.database.in_place())
        try:
            scenario.run()
        except AssertionError as error:
            failure = str(error) or traceback.format_exc()
        except Exception:
            failure = traceback.format_exc()
        if failure is not None:
            with contextlib.suppress(Exception):
                scenario.loop.run_for(20.0)  # what was about to start or end
            with contextlib.suppress(Exception):
                scenario.bury()
        told = [told for client in scenario.clients for it in client.accounts.values() for told in it.told]
        lines = scenario.trace.lines(BEGIN) if failure is not None or traced else []
    gaps = sum(type(it).__name__ == "GapTold" for it in told)
    events = sum(type(it).__name__ == "Event" for it in told)
    return Outcome(seed, log, failure, lines, events, gaps)
