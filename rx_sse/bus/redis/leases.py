"""The leases of runs in Redis: one script call for each verb.

Standard: `rx_sse.bus.log.lease`; the clock is that of the run's server.
Never: a key of another slot than the run's topic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rx_sse.bus.log.lease import MOST, RUNNING, Found, Lease, Take
from rx_sse.bus.log.position import seq_of
from rx_sse.bus.names import run_topic
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.call import Retry, ScriptCall
from rx_sse.bus.redis.protocol.codec import head_of
from rx_sse.bus.redis.protocol.scripts import RUN, RUNS, Script
from rx_sse.bus.redis.topology import Topology
from rx_sse.errors import Overloaded

LIFE = 30 * 86_400_000
"""Milliseconds for which a run that no owner ends is kept, counted from the last renewal of its lease."""
LISTED = 1000
"""Runs of a partition that are listed, the newest."""


class Leases:
    """The leases of one log.

    Args:
        topology: finds the server of a run.
    """

    __slots__ = ("_topology",)

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    def take(self, name: str, wish: Take, done: Found) -> None:
        """Own a run, if it has no owner."""
        flags = ("1" if wish.restart else "0", wish.key, "1" if wish.resumes else "0")
        self._ask(name, done, "take", wish.owner, int(wish.seconds * 1000), *flags, MOST)

    def renew(self, name: str, fence: int, seconds: float, done: Found) -> None:
        """Renew a lease."""
        self._ask(name, done, "renew", fence, int(seconds * 1000))

    def look(self, name: str, done: Found) -> None:
        """The lease of a run."""
        self._ask(name, done, "look")

    def ask(self, name: str, reason: str, done: Found) -> None:
        """Request the owner of a run to stop it."""
        self._ask(name, done, "ask", reason)

    def all(self, *, overdue: bool, done: Callable[[list[Lease]], None]) -> None:
        """The leases of the newest runs, or of those that are overdue."""
        topology, keys = self._topology, self._topology.keys
        groups = [[tag] for tag in keys.tags] if topology.sharded else [keys.tags]
        names: list[str] = []
        left = len(groups)

        def answered(answer: Any) -> None:
            nonlocal left
            left -= 1
            if isinstance(answer, list):
                names.extend(name.decode() for name in cast("list[bytes]", answer))
            if left == 0:
                self._each(names, done)

        for number, group in enumerate(groups):
            connection = topology.connection(number)
            if connection is None:
                answered(None)
                continue
            places = [f"{tag}{kind}" for tag in group for kind in ("leases", "runs")]
            _call(topology, connection, RUNS, places, ("1" if overdue else "0", LISTED), answered)

    def _each(self, names: list[str], done: Callable[[list[Lease]], None]) -> None:
        """Query runs one by one; the queries are sent in one write."""
        found: list[Lease] = []
        left = len(names)

        def looked(lease: Lease | Exception | None) -> None:
            nonlocal left
            left -= 1
            if isinstance(lease, Lease):
                found.append(lease)
            if left == 0:
                done(found)

        for name in names:
            self.look(name, looked)
        if not names:
            done(found)

    def _ask(self, name: str, done: Found, what: str, *args: Any) -> None:
        topology, topic = self._topology, run_topic(name)
        connection = topology.connection_of(topic)
        if connection is None:
            done(Overloaded("Redis cannot be asked for the run now", retry_after=1.0))
            return
        key = topology.keys.run(topic)
        tag = key.partition("}:")[0] + "}:"

        def answered(answer: Any) -> None:
            done(answer if isinstance(answer, Exception) else _lease(name, answer))

        places = [key, f"{tag}leases", f"{tag}runs"]
        _call(topology, connection, RUN, places, (what, name, LIFE, *args), answered)


def _call(
    topology: Topology,
    connection: Connection,
    script: Script,
    keys: list[str],
    args: tuple[Any, ...],
    answered: Callable[[Any], None],
) -> None:
    call = ScriptCall(script, keys, args)

    def replied(answer: Any) -> None:
        result = call.reply(answer)
        if not isinstance(result, Retry):
            error = isinstance(result.answer, Exception)
            answered(Overloaded(f"Redis refused it: {result.answer}") if error else result.answer)
            return
        there = connection if result.where is None else topology.connection_at(result.where)
        if result.at_once and there is not None:
            there.call(call, replied)
            return
        topology.wrong(result.code)
        answered(Overloaded(f"Redis did not answer for the run: {result.said}", retry_after=1.0))

    connection.call(call, replied)


def _lease(name: str, answer: Any) -> Lease | None:
    """The answer of the script."""
    row, now, meta = answer
    said = {row[n].decode(): row[n + 1].decode() for n in range(0, len(row), 2)}
    if not said:
        return None
    entries = int(said["entries"])
    if said["state"] == RUNNING:
        head = head_of(meta) if meta else None
        entries = 0 if head is None else seq_of(head)
    return Lease(
        name,
        int(said["generation"]),
        int(said["fence"]),
        said["state"],
        said["owner"],
        (int(said["until"]) - int(now)) / 1000,
        int(said["began"]) / 1000,
        int(said["since"]) / 1000,
        said["resumes"] == "1",
        said["key"],
        entries,
        said["asked"],
    )
