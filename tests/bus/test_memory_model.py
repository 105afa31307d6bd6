"""The memory log under a local topic and readers, against a plain list: publish, connect, cut, trim, expire,
in any order.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rx_sse.bus.gap import Gap
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.retention import Retention

from .model import TOPIC, Broker, Client, Process

KEPT = Retention(entries=4, age=10.0)
CLIENTS = st.integers(0, 2)


class MemoryProcess(Process):
    """A process whose log is in its memory."""

    def begin(self) -> None:
        self.now = 0.0
        self.memory = MemoryLog(KEPT, clock=lambda: self.now)
        super().begin()

    @property
    def log(self) -> MemoryLog:  # type: ignore[override]
        return self.memory

    @property
    def resident(self) -> MemoryLog:
        return self.memory

    def retention_of(self, topic: str) -> Retention:
        return KEPT

    def clock(self) -> float:
        return self.now


class Memory(RuleBasedStateMachine):
    """One process, three clients, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker()
        self.process = MemoryProcess(self.broker)
        self.clients = [Client(name, self.broker) for name in "abc"]
        self.published: list[str] = []
        self.since: dict[str, int] = {}

    @rule()
    def publish(self) -> None:
        self.published.append(str(len(self.published)))
        self.process.memory.append(Draft(TOPIC, TEXT, self.published[-1], None, KEPT))

    @rule(client=CLIENTS)
    def connect(self, client: int) -> None:
        who = self.clients[client]
        if who.reader is None:
            self.since.setdefault(who.name, len(self.published))
            who.connect(self.process)

    @rule(client=CLIENTS)
    def cut(self, client: int) -> None:
        self.clients[client].cut()

    @rule(client=CLIENTS)
    def drain(self, client: int) -> None:
        self.clients[client].drain()

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.process.now += seconds
        self.process.memory.sweep()

    @rule()
    def the_topic_lingered_long_enough(self) -> None:
        if self.process.local.users == 0:
            self.process.local.close()
            self.process.local = LocalTopic(TOPIC, self.process, self.process)

    @invariant()
    def what_was_received_is_the_list_but_for_gaps(self) -> None:
        for client in self.clients:
            expected = self.since.get(client.name, 0)
            gap = False
            for item in client.got:
                if isinstance(item, Gap):
                    gap = True
                    continue
                number = int(item)
                assert number >= expected and (number == expected or gap), f"{client.name}: {client.got}"
                expected, gap = number + 1, False

    def teardown(self) -> None:
        """All readers reconnect and read to the end: every missing entry precedes a gap."""
        for client in self.clients:
            if client.reader is None:
                self.since.setdefault(client.name, len(self.published))
                client.connect(self.process)
        for _ in range(100):
            self.process.turn()
            for client in self.clients:
                client.drain()
        self.publish()
        while self.process.turns:
            self.process.turn()
        self.what_was_received_is_the_list_but_for_gaps()
        for client in self.clients:
            assert client.got[-1] == self.published[-1]


TestMemory = Memory.TestCase
TestMemory.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
