"""Nothing missing without a gap, nothing repeated, no gap when nothing is missing: whatever happens, in
whatever order.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.position import seq_of

from .model import Broker, Client, Process

PROCESSES = st.integers(0, 1)
CLIENTS = st.integers(0, 2)


class Bus(RuleBasedStateMachine):
    """Two processes, three clients, one broker."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker()
        self.processes = [Process(self.broker), Process(self.broker)]
        self.clients = [Client(name, self.broker) for name in "abc"]
        self.published = 0
        self.damaged = False
        """A fault since the last rest after which a client may be told of a gap without having missed
        anything.
        """
        self.checked = {client.name: 0 for client in self.clients}

    # -- ordinary life ---------------------------------------------------------------------------------------

    @rule(process=PROCESSES)
    def publish(self, process: int) -> None:
        self.published += 1
        self.processes[process].publish(str(self.published))
        self.processes[process].link.execute_append()

    @rule()
    def publish_from_outside(self) -> None:
        self.published += 1
        self.broker.publish_from_outside(str(self.published))

    @rule(process=PROCESSES)
    def append(self, process: int) -> None:
        self.processes[process].link.execute_append()

    @rule(process=PROCESSES)
    def execute(self, process: int) -> None:
        self.processes[process].link.execute()

    @rule(process=PROCESSES)
    def reply(self, process: int) -> None:
        self.processes[process].link.reply()

    @rule(process=PROCESSES, twice=st.booleans())
    def deliver(self, process: int, twice: bool) -> None:
        self.processes[process].link.deliver(twice=twice)

    @rule(process=PROCESSES)
    def turn(self, process: int) -> None:
        self.processes[process].turn()
        self.processes[process].retry()

    @rule(process=PROCESSES)
    def serve(self, process: int) -> None:
        """A good moment: everything under way at one process arrives."""
        self.settle(self.processes[process])

    @rule(client=CLIENTS, process=PROCESSES)
    def connect(self, client: int, process: int) -> None:
        if self.clients[client].reader is None:
            self.clients[client].connect(self.processes[process])

    @rule(client=CLIENTS)
    def cut(self, client: int) -> None:
        self.clients[client].cut()

    @rule(client=CLIENTS)
    def drain(self, client: int) -> None:
        self.clients[client].drain()

    # -- faults ----------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    def trim(self, count: int) -> None:
        self.broker.master.trim(count)

    @rule(index=st.integers(1, 4))
    def delete_an_entry(self, index: int) -> None:
        self.broker.master.delete(index)

    @rule()
    def expire_the_log(self) -> None:
        self.broker.master.trim(len(self.broker.master.entries))

    @rule()
    def evict_meta(self) -> None:
        """Meta is gone and the log is there: go on from its last entry, with another birth nonce.

        Not while a fork has yet to heal: the birth nonce is what tells a fork from a flush.
        """
        if self.broker.master.entries and not self.damaged:
            self.broker.master.lineage += 1
            self.broker.replica.lineage = self.broker.master.lineage

    @rule(process=PROCESSES)
    def break_connection(self, process: int) -> None:
        self.processes[process].link.lose()

    @rule()
    def replicate(self) -> None:
        self.broker.replicate()

    @rule()
    def flush(self) -> None:
        """Everything is gone, on the replica too: one that brought the past back would bring back what
        clients have had.
        """
        self.damaged = True
        store = self.broker.master
        fresh = type(store)()
        store.lineage, store.base = fresh.lineage, fresh.base
        store.entries.clear()
        store.keys.clear()
        self.broker.replicate()

    @rule(both=st.booleans(), process=PROCESSES)
    def promote_a_stale_replica(self, both: bool, process: int) -> None:
        """One process may stay with the old master; what it publishes there is taken back when it comes
        over.
        """
        self.damaged = True
        self.broker.promote()
        self.processes[process].link.reconnect()
        if both:
            self.processes[1 - process].link.reconnect()

    # -- the oracle ------------------------------------------------------------------------------------------

    @invariant()
    def note_what_was_delivered(self) -> None:
        for position in list(self.broker.outside):
            if any(process.local.ring.find(position) is not None for process in self.processes):
                del self.broker.outside[position]

    @invariant()
    def nothing_repeated(self) -> None:
        for client in self.clients:
            events = [item for item in client.got if isinstance(item, str)]
            assert len(events) == len(set(events)), f"{client.name} got something twice: {client.got}"

    @rule()
    def rest(self) -> None:
        """Everything heals; every client comes back and reads on. Then the account must be even."""
        for process in self.processes:
            if process.link.store is not self.broker.master:
                process.link.reconnect()
        for client in self.clients:
            if client.reader is None:
                client.connect(self.processes[0])
        for _ in range(4):
            for process in self.processes:
                process.local.dirty()  # what a reconcile does
            for process in self.processes:
                self.settle(process)
        for process in self.processes:
            assert process.local.position == self.broker.master.head
        for client in self.clients:
            assert client.reader is not None and client.reader.way.value == "live"
            self.account(client)
        self.damaged = False

    def settle(self, process: Process) -> None:
        for _ in range(1000):
            while process.link.unsent:
                process.link.execute_append()
            process.link.execute()
            process.link.reply()
            process.link.deliver()
            process.turn()
            process.retry()
            for client in self.clients:
                if client.reader is not None and client.reader.local is process.local:
                    client.drain()
            if process.idle():
                return
        raise AssertionError("it never comes to rest")

    def account(self, client: Client) -> None:
        assert client.since is not None
        received = {item for item in client.got if isinstance(item, str)}
        due = {data: at for data, at in self.broker.accepted.items() if at > client.since}
        missing = {data: at for data, at in due.items() if data not in received}
        gaps = [at for item, at in zip(client.got, client.times, strict=True) if isinstance(item, Gap)]
        told = max(gaps, default=-1)
        silent = [data for data, at in missing.items() if at > told]
        assert not silent, f"{client.name} lost {silent} in silence: {client.got}"
        seen = self.checked[client.name]
        if not self.damaged:
            self.in_place(client, seen)
        self.checked[client.name] = len(client.got)

    def in_place(self, client: Client, seen: int) -> None:
        """Without damage: what is missing is missing exactly where a gap stands, and every gap has something
        missing.
        """
        order = [data for data, _ in sorted(self.broker.accepted.items(), key=lambda item: item[1])]
        place = {data: index for index, data in enumerate(order)}
        before: int | None = None
        gap = False
        for item in client.got[seen:]:
            if isinstance(item, Gap):
                # Two in a row are two losses: each leads over entries that the other does not.
                assert (
                    item.last is not None and item.next is not None and seq_of(item.last) < seq_of(item.next)
                ), client.got
                gap = True
                continue
            if before is not None:
                hole = place[item] - before - 1
                assert (hole > 0) == gap, (
                    f"{client.name}: hole of {hole}, gap {gap}, before {item}: {client.got}"
                )
            before = place[item]
            gap = False

    def teardown(self) -> None:
        self.rest()
        self.rest()


TestBus = Bus.TestCase
TestBus.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_a_fork_after_its_birth_nonce_was_evicted_is_told_to_those_behind_it() -> None:
    """Only one process had the entry that died with the master, and had not heard of the new birth nonce."""
    bus = Bus()
    bus.rest()
    bus.publish_from_outside()
    bus.evict_meta()
    bus.serve(process=1)
    bus.promote_a_stale_replica(both=False, process=0)
    bus.teardown()
    assert [[type(item) for item in client.got] for client in bus.clients] == [[Gap]] * len(bus.clients)
