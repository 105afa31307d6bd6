"""A topic in a process, step by step; the model does the same at random."""

from __future__ import annotations

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.port import Page, Query

from .model import Broker, Client, Process, Store


class Scene:
    """One broker, two processes, everything settled whenever asked."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.processes = [Process(self.broker), Process(self.broker)]
        self.clients: list[Client] = []
        self.settle()

    def client(self, process: int) -> Client:
        client = Client(f"c{len(self.clients)}", self.broker)
        self.clients.append(client)
        client.connect(self.processes[process])
        self.settle()
        return client

    def publish(self, process: int, *data: str) -> None:
        for one in data:
            self.processes[process].publish(one)
        self.settle()

    def settle(self) -> None:
        for _ in range(400):
            for process in self.processes:
                process.link.execute_append()
                process.link.execute()
                process.link.reply()
                process.link.deliver()
                process.turn()
                process.retry()
            for client in self.clients:
                client.drain()


def told(client: Client) -> list[str]:
    return [item.reason if isinstance(item, Gap) else item for item in client.got]


def test_a_lost_message_is_repaired_for_all_with_one_question() -> None:
    scene = Scene()
    clients = [scene.client(0) for _ in range(5)]
    scene.publish(1, "1")
    link = scene.processes[0].link
    scene.processes[1].publish("2")
    scene.processes[1].link.execute_append()
    link.messages.clear()
    scene.processes[1].publish("3")
    scene.processes[1].link.execute_append()
    link.deliver()
    assert len(link.requests) == 1, "one repair a topic, however many listen"
    scene.settle()
    assert all(told(client) == ["1", "2", "3"] for client in clients)


def test_late_and_repeated_messages_cost_nothing() -> None:
    scene = Scene()
    client = scene.client(0)
    scene.publish(0, "1", "2")
    link = scene.processes[0].link
    assert link.listener is not None
    for entry in list(scene.broker.master.entries):
        link.listener.arrived(entry)
    assert not link.requests and told(client) == ["1", "2"]


def test_a_client_from_a_process_that_is_ahead_makes_this_one_catch_up() -> None:
    scene = Scene()
    client = scene.client(0)
    behind = scene.processes[1].link
    scene.processes[0].publish("1")
    scene.processes[0].link.execute_append()
    scene.processes[0].link.deliver()
    scene.processes[0].turn()
    assert told(client) == ["1"]
    client.cut()
    lagging = list(behind.messages)
    behind.messages.clear()
    client.connect(scene.processes[1])
    scene.settle()
    behind.messages.extend(lagging)
    scene.publish(0, "2")
    assert told(client) == ["1", "2"]


def test_a_fork_is_told_once_to_those_who_were_there_and_to_those_behind_it() -> None:
    scene = Scene()
    there, behind = scene.client(0), scene.client(1)
    scene.publish(0, "1")
    scene.broker.replicate()
    behind.cut()
    scene.publish(0, "2")
    assert told(there) == ["1", "2"]
    scene.broker.promote()
    for process in scene.processes:
        process.link.acknowledged = None  # the publisher is another process, and gone
        process.link.reconnect()
    scene.settle()
    assert told(there) == ["1", "2", "withdrawn"], "told at once, and not again by the gap entry"
    behind.connect(scene.processes[1])
    scene.settle()
    assert told(behind) == ["1", "withdrawn"], "a reader behind it gets a gap for the lost entry"
    scene.publish(1, "3")
    assert told(there)[-1] == told(behind)[-1] == "3"
    fresh = scene.client(0)
    scene.publish(0, "4")
    assert told(fresh) == ["4"]


def test_a_process_that_leaves_its_branch_brings_nothing_that_a_client_had_in_the_other() -> None:
    """The client came from there; live it would be sent on from where this process was."""
    scene = Scene()
    client, other = scene.client(0), scene.client(1)
    scene.publish(0, "1")
    scene.broker.replicate()
    scene.broker.promote()
    scene.processes[0].link.reconnect()
    scene.publish(0, "2", "3")
    client.cut()
    client.connect(scene.processes[1])
    scene.settle()
    assert told(client) == ["1", "2", "3", "unknown"]
    scene.processes[1].link.reconnect()
    scene.publish(0, "4")
    assert told(client) == ["1", "2", "3", "unknown", "unknown", "4"]
    assert told(other) == ["1", "2", "3", "4"]


def test_a_flush_is_a_reset() -> None:
    scene = Scene()
    client = scene.client(0)
    scene.publish(0, "1")
    store = scene.broker.master
    fresh = type(store)()
    store.lineage, store.base = fresh.lineage, fresh.base
    store.entries.clear()
    scene.publish(0, "2")
    assert told(client) == ["1", "reset"], "its position was the old log's, and 2 has a lower number"
    scene.publish(1, "3")
    assert told(client) == ["1", "reset", "3"]


def test_a_topic_that_is_trimmed_behind_everybody_is_no_gap() -> None:
    scene = Scene()
    client = scene.client(0)
    scene.publish(0, "1", "2", "3")
    client.cut()
    scene.broker.master.trim(3)
    client.connect(scene.processes[1])
    scene.settle()
    scene.publish(0, "4")
    assert told(client) == ["1", "2", "3", "4"]


def test_a_hole_in_the_log_is_a_gap_for_those_who_read_over_it() -> None:
    scene = Scene()
    there, behind = scene.client(0), scene.client(1)
    scene.publish(0, "1", "2")
    behind.cut()
    scene.publish(0, "3", "4", "5", "6")
    scene.broker.master.delete(3)
    fresh = Process(scene.broker)  # a process that has nothing of it in its ring
    scene.processes.append(fresh)
    scene.settle()
    behind.connect(fresh)
    scene.settle()
    assert told(behind) == ["1", "2", "3", "unreadable", "5", "6"]
    assert told(there) == ["1", "2", "3", "4", "5", "6"], "what was delivered is not taken back"
    scene.publish(0, "7")
    assert told(there)[-1] == told(behind)[-1] == "7"


def test_a_hole_in_front_of_a_process_is_told_to_all_its_readers() -> None:
    scene = Scene()
    clients = [scene.client(0), scene.client(0)]
    scene.publish(1, "1")
    link = scene.processes[0].link
    for data in "234":
        scene.processes[1].publish(data)
        scene.processes[1].link.execute_append()
    link.messages.clear()
    scene.broker.master.delete(1)
    link.reconnect()
    scene.settle()
    assert all(told(client) == ["1", "unreadable", "3", "4"] for client in clients)
    assert not any(entry.kind == "g" for entry in scene.broker.master.entries), "a hole is no fork"


def test_a_log_whose_answers_lead_nowhere_is_asked_with_pauses_and_left_behind() -> None:
    """Whatever it says, a repair makes progress, or ends in a gap or a pause."""
    scene = Scene()
    client = scene.client(0)
    scene.publish(0, "1")
    process = scene.processes[0]
    store, honest, asked = scene.broker.master, scene.broker.master.page, []

    def page(query: Query) -> Page:
        """The last entry cannot be read, and the log does not say so."""
        asked.append(query)
        said = honest(query)
        return Page(said.lineage, said.base, said.head, query.after or said.start, [], False)

    store.page = page
    process.link.messages.clear()
    scene.processes[1].publish("2")
    scene.processes[1].link.execute_append()
    process.link.messages.clear()
    process.local.dirty()
    for _ in range(100):  # without a pause it would go on and on here
        process.link.execute()
        process.link.reply()
    assert len(asked) == 1 and process.waiting
    scene.settle()
    assert len(asked) <= 3 and process.local.position == store.head
    assert told(client) == ["1", "unreadable"]


def test_a_process_that_has_not_heard_of_a_flush_sends_no_second_gap() -> None:
    """It knows the position from before the flush, but must read the log before it trusts it."""
    scene = Scene()
    client = scene.client(0)
    scene.publish(0, "1", "2")
    client.cut()
    first, second = (process.link for process in scene.processes)
    scene.broker.master = first.store = second.store = Store()
    assert first.listener is not None
    first.listener.dirty()
    scene.settle()
    client.connect(scene.processes[0])
    scene.settle()
    scene.processes[0].publish("3")
    first.execute_append()
    second.messages.clear()
    scene.settle()
    assert told(client) == ["1", "2", "unknown", "3"]
    client.cut()
    client.connect(scene.processes[1])
    scene.settle()
    assert told(client) == ["1", "2", "unknown", "3"]
    scene.publish(0, "4")
    assert told(client)[4:] == ["4"]
