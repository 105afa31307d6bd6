"""Publishing from a process without a loop: a worker, a cron job, a shell.

If a reply is lost, its content is not guessed: the same entry is sent again, under its nonce, until there is
an answer or the timeout is over.

Standard: docs/resume.md §4.
Never: an event loop, and neither reactivex nor aiohttp is imported.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import hiredis

from rx_sse.bus.blocking_publisher import BlockingPublisher, ProcessState
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import not_stored
from rx_sse.bus.log.position import Position
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.retentions import Retentions
from rx_sse.bus.redis.backoff import Backoff
from rx_sse.bus.redis.net.address import Endpoint, Unreachable, address_of
from rx_sse.bus.redis.net.blocking import BlockingConnection
from rx_sse.bus.redis.protocol.append import AppendBatch, Outcome, maybe_stored
from rx_sse.bus.redis.protocol.call import ELSEWHERE, Done, Lost, Retry, ScriptCall
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import PARTITIONS, Keys
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.errors import PublishRefused, RxSseError
from rx_sse.wire.dumps import Dumps

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
"""Seconds before a retry."""

logger = logging.getLogger("rx_sse")


class _State(ProcessState):
    """The state of one process."""

    __slots__ = ("connections", "fence", "places", "said")

    def __init__(self) -> None:
        super().__init__()
        self.connections: dict[Endpoint, BlockingConnection] = {}
        self.places: dict[int, Endpoint] = {}
        self.fence = Fence()
        self.said = ""  # the last reported reason why Redis cannot be reached


class RedisPublisher(BlockingPublisher[_State]):
    """Publishes to the topics of a `RedisBus`; blocking.

    Args:
        target: as for `RedisBus`.
        prefix, partitions: the same as the bus's.
        history, history_bytes, ttl: how much of a topic is kept; the same as the bus's.
        timeout: seconds for one publish, all retries included.
        replicas: how many replicas must have acknowledged a publish before it counts as accepted; WAIT waits
            for them, for a quarter of `timeout`.
        dumps: replaces the JSON encoder.

    Raises:
        UsageError: `target` is no valid address, or a number is out of range.
    """

    def __init__(
        self,
        target: Any,
        *,
        prefix: str = "rx_sse",
        partitions: int = PARTITIONS,
        history: int = 1000,
        history_bytes: int = 8 * 1024 * 1024,
        ttl: float = 3600.0,
        timeout: float = 5.0,
        replicas: int = 0,
        dumps: Dumps | None = None,
    ) -> None:
        super().__init__(_State, timeout, "Redis", dumps)
        self._address = address_of(target)
        self._sharded = self._address.kind == "cluster"
        self._keys = Keys(prefix, partitions)
        self._retentions = Retentions(Retention.of(history, history_bytes, ttl))
        self._replicas = Replicas(replicas, timeout)

    def retain(
        self,
        pattern: str,
        *,
        history: int | None = None,
        history_bytes: int | None = None,
        ttl: float | None = None,
    ) -> None:
        """Change the retention of some topics; as `Bus.retain`. Give the same rules to every process that
        publishes: the retention of a topic is that of its last publisher.

        Raises:
            TopicNameError: the pattern is not valid.
            UsageError: no limit is given, a number out of range, or over 1,000 rules.
        """
        self._retentions.retain(pattern, history=history, history_bytes=history_bytes, ttl=ttl)

    # -- inside ----------------------------------------------------------------------------------------------

    def _retention(self, topic: str) -> Retention:
        return self._retentions.of(topic)

    def _disconnect(self, state: _State) -> None:
        for connection in state.connections.values():
            connection.close()
        state.connections.clear()

    def _store(self, state: _State, draft: Draft, deadline: float) -> Position:
        """Send a batch of one until it is settled."""
        topic, batch = draft.topic, AppendBatch([draft], self._keys)
        partition = self._keys.partition(topic) if self._sharded else 0
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            outcome, why = self._attempt(state, batch, partition, deadline)
            if isinstance(outcome, int):
                return outcome
            if isinstance(outcome, RxSseError) and not batch.unknown:
                raise outcome
            time.sleep(min(backoff.next(), max(deadline - time.monotonic(), 0.0)))
            if time.monotonic() >= deadline:
                if batch.unknown:
                    raise maybe_stored(f"{topic}: {why}")
                raise not_stored(f"{topic}: {why}, for {self._timeout} s")

    def _attempt(
        self, state: _State, batch: AppendBatch, partition: int, deadline: float
    ) -> tuple[Outcome, str]:
        """Send it, and retry while no pause is needed; returns the result, and the reason."""
        fence = state.fence
        call = batch.call("SPUBLISH" if self._sharded else "PUBLISH", fence)
        place: Endpoint | None = None
        while True:
            try:
                place = place or self._place(state, partition, deadline)
                connection = self._connection(state, place, deadline)
            except hiredis.ReplyError as error:
                return PublishRefused(f"Redis did not let us in: {error}; nothing was stored"), str(error)
            except OSError as error:
                self._drop(state, place)
                self._report(state, error)
                return "UNREACHABLE", str(error)
            sent = time.monotonic() < deadline  # nothing is sent after the deadline
            answer = self._answer(connection, call, deadline)
            match call.reply(answer):
                case Done(answer=Exception() as refused):
                    return batch.refused(refused)[0], str(refused)
                case Done(answer=found):
                    outcome = self._outcome(batch, found, fence)
                    if isinstance(outcome, int) and self._replicas.count:
                        self._confirm(state, place, connection, deadline)
                    elif isinstance(outcome, str) and outcome in ELSEWHERE:
                        self._drop(state, place)
                    return outcome, str(outcome)
                case Retry(at_once=True, where=where):
                    place = place if where is None else _named(where, place)
                case Retry() as retry:
                    if isinstance(answer, Lost):
                        if sent:
                            batch.lost(fence)
                        self._drop(state, place)
                    elif retry.where is not None:
                        state.places[partition] = _named(retry.where, place)
                    elif retry.code in ELSEWHERE:
                        self._drop(state, place)
                    return retry.code, retry.said

    @staticmethod
    def _outcome(batch: AppendBatch, found: Any, fence: Fence) -> Outcome:
        try:
            return batch.outcomes(found, fence)[1][0]
        except ValueError as error:  # the script never returns this
            return batch.refused(error)[0]

    @staticmethod
    def _answer(connection: BlockingConnection, call: ScriptCall, deadline: float) -> Any:
        try:
            return connection.call(call, deadline)
        except OSError as error:
            return Lost(f"{type(error).__name__}: {error}")

    def _report(self, state: _State, error: OSError) -> None:
        """Log at once that Redis cannot be reached; the publish retries until its deadline."""
        said = str(error)
        if isinstance(error, Unreachable) and said != state.said:
            state.said = said
            logger.warning("rx_sse: %s; RedisPublisher tries again for %s s", said, self._timeout)

    def _confirm(
        self, state: _State, place: Endpoint, connection: BlockingConnection, deadline: float
    ) -> None:
        """Wait for the replicas, on the connection that wrote. No other command needs it, so one WAIT
        suffices."""
        replicas = self._replicas
        seconds = min(replicas.patience, (deadline - time.monotonic()) / 2)
        try:
            said: object = connection.ask(replicas.command(seconds), deadline)
        except hiredis.ReplyError as error:
            said = error
        except OSError as error:
            said = error
            self._drop(state, place)
        if (short := replicas.verdict(said)) is not None:
            raise short

    def _place(self, state: _State, partition: int, deadline: float) -> Endpoint:
        """The server that stores a partition, as far as known."""
        endpoint = state.places.get(partition)
        if endpoint is None:
            endpoint = self._address.endpoints[0]
            if self._address.kind == "sentinel":
                endpoint = self._master(deadline)
            elif self._address.kind == "cluster":
                endpoint = self._reachable(state, deadline)
            state.places[partition] = endpoint
        return endpoint

    def _connection(self, state: _State, endpoint: Endpoint, deadline: float) -> BlockingConnection:
        """The connection to a server."""
        connection = state.connections.get(endpoint)
        if connection is not None and not connection.alive:
            state.connections.pop(endpoint).close()
            connection = None
        if connection is None:
            connection = state.connections[endpoint] = BlockingConnection(
                endpoint, self._address.access, deadline
            )
        return connection

    def _reachable(self, state: _State, deadline: float) -> Endpoint:
        last: OSError = Unreachable("the cluster has no nodes")
        for endpoint in self._address.endpoints:
            try:
                self._connection(state, endpoint, deadline)
            except OSError as error:
                last = error
            else:
                return endpoint
        raise last

    def _master(self, deadline: float) -> Endpoint:
        last: OSError = Unreachable("no sentinel")
        for endpoint in self._address.endpoints:
            try:
                connection = BlockingConnection(endpoint, self._address.sentinel_access, deadline)
                try:
                    said = connection.ask(
                        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service), deadline
                    )
                finally:
                    connection.close()
            except (OSError, hiredis.ReplyError) as error:
                last = Unreachable(str(error).replace("Redis at", "the sentinel at", 1))
                continue
            if said:
                return Endpoint(said[0].decode(), int(said[1]))
            last = Unreachable(f"{endpoint} does not know a master called {self._address.service!r}")
        raise last

    def _drop(self, state: _State, endpoint: Endpoint | None) -> None:
        """Forget a server: the connection to it, and the partitions that it stores."""
        state.places = {number: place for number, place in state.places.items() if place != endpoint}
        if endpoint is not None and (connection := state.connections.pop(endpoint, None)) is not None:
            connection.close()


def _named(where: str, sayer: Endpoint) -> Endpoint:
    """The ``host:port`` that a refusal names; without a host, the server that sent the refusal."""
    host, _, port = where.rpartition(":")
    return Endpoint(host or sayer.host, int(port))
