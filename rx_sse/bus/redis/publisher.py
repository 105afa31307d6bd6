"""Publishing from a process without a loop: a worker, a cron job, a shell.

One call, one answer. It may be used from any number of threads, which take turns, and before or after a
fork: each process has a connection of its own, made at its first publish. A reply that was lost is not
guessed at: the same entry is sent again, under its nonce, until there is an answer or the time is over.

Standard: resume rules §4.
Never: an event loop, and neither reactivex nor aiohttp is imported.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Self

import hiredis

from rx_sse.arguments import function, seconds
from rx_sse.bus.cursor import Position, cursor_of, part_of, ref_of
from rx_sse.bus.keys import hashed_key
from rx_sse.bus.log import Retention
from rx_sse.bus.names import check_topic
from rx_sse.bus.publisher import draft_of
from rx_sse.bus.redis.address import Endpoint, address_of
from rx_sse.bus.redis.batch import Batch, refusal
from rx_sse.bus.redis.layout import PARTITIONS, Layout
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.bus.redis.wire import Wire
from rx_sse.errors import PublishRefused, PublishUnknown, RxSseError
from rx_sse.wire.dumps import Dumps

PAUSE = 0.05
"""Seconds before it is tried again."""


class _State:
    """What belongs to one process."""

    __slots__ = ("lock", "pid", "places", "wires")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.wires: dict[Endpoint, Wire] = {}
        self.places: dict[int, Endpoint] = {}


class RedisPublisher:
    """Publishes to the topics of a `RedisBus`; blocking.

    Args:
        target: as for `RedisBus`.
        prefix, partitions: the same as the bus's.
        history, history_bytes, ttl: how much of a topic is kept; the same as the bus's.
        timeout: seconds for one publish in all.
        replicas: how many replicas must have acknowledged a publish before it counts as accepted; they are
            waited for, by WAIT, for a quarter of `timeout`.
        dumps: replaces the JSON encoder.

    Raises:
        UsageError: `target` leads nowhere, or a number makes no sense.
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
        function("dumps", dumps, "a function of a value that returns JSON text")
        self._dumps = dumps
        self._address = address_of(target)
        self._layout = Layout(prefix, partitions)
        self._retention = Retention.of(history, history_bytes, ttl)
        self._timeout = seconds("timeout", timeout, zero="leaves Redis no time to answer")
        self._replicas = Replicas(replicas, timeout)
        self._state = _State()

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        idempotency_key: str | None = None,
        user: str | None = None,
    ) -> str:
        """Publish, and wait until Redis has it.

        Args:
            topic: where.
            data: a `str` as text, a `ServerSentEvent` with its event name, anything else as JSON.
            event: the event's name.
            idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and
                returns the same id.
            user: whose key it is.

        Returns:
            The entry's cursor.

        Raises:
            EncodeError, EventTooLarge, TopicNameError: it cannot be sent.
            PublishRefused: nothing was stored.
            PublishUnknown: no answer came in time, or not enough replicas have acknowledged it; repeat it
                with the same `idempotency_key`.
        """
        draft = draft_of(check_topic(topic), data, event, self._retention, self._dumps)
        if idempotency_key is not None:
            draft.key = hashed_key(user, topic, idempotency_key)
        deadline = time.monotonic() + self._timeout
        state = self._state
        if (
            state.pid != os.getpid()
        ):  # a child of a fork: that connection, and perhaps its lock, is the parent's
            state = self._state = _State()
        if not state.lock.acquire(timeout=self._timeout):
            raise PublishRefused(f"{topic}: others were waiting for {self._timeout} s; nothing was stored")
        try:
            position = self._store(state, Batch([draft], self._layout), deadline)
        finally:
            state.lock.release()
        return cursor_of([part_of(ref_of(topic), position)])

    def close(self) -> None:
        """Close the connections of this process. The next publish makes new ones."""
        state = self._state
        if state.pid == os.getpid():
            with state.lock:
                for wire in state.wires.values():
                    wire.close()
                state.wires.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, state: _State, batch: Batch, deadline: float) -> Position:
        topic = batch.drafts[0].topic
        partition = self._layout.partition(topic) if self._address.kind == "cluster" else 0
        announce = "SPUBLISH" if self._address.kind == "cluster" else "PUBLISH"
        why = ""
        whole = False
        there: Endpoint | None = None  # who was named by an ASK, which holds for one call
        while True:
            place, asking = there, there is not None
            there = None
            wire: Wire | None = None
            sent = False
            try:
                place = place or self._place(state, partition, deadline)
                wire = self._wire(state, place, deadline)
                if asking:
                    wire.ask(("ASKING",), deadline)
                command = batch.call(announce, whole=whole)
                sent = time.monotonic() < deadline  # after it nothing leaves
                outcome = batch.outcomes(wire.ask(command, deadline))[1][0]
            except hiredis.ReplyError as error:
                said = str(error)
                if said.startswith("NOSCRIPT"):
                    whole = True
                    continue
                if said.startswith("ASK ") and place is not None and not asking:
                    # The slot is on its way to another node, and these keys have arrived.
                    there, whole = _named(said, place), True
                    continue
                outcome = refusal(error) if sent else PublishRefused(f"Redis did not let us in: {error}")
                self._redirect(state, partition, said)
            except OSError as error:
                batch.unknown = batch.unknown or sent
                outcome, why = "lost", f"{type(error).__name__}: {error}"
                self._drop(state, place)
            if isinstance(outcome, Position):
                if self._replicas.count and wire is not None:
                    self._confirm(state, place, wire, deadline)
                return outcome
            if isinstance(outcome, RxSseError) and not batch.unknown:
                raise outcome
            whole = False
            left = deadline - time.monotonic()
            if left <= 0:
                said = why or str(outcome)
                if batch.unknown:
                    raise PublishUnknown(
                        f"{topic}: it was sent and no answer came ({said}): it may have been stored. "
                        "Repeat it with the same idempotency_key"
                    )
                raise PublishRefused(f"{topic}: {said}; nothing was stored")
            time.sleep(min(PAUSE, left))

    def _confirm(self, state: _State, place: Endpoint | None, wire: Wire, deadline: float) -> None:
        """Wait for the replicas, on the connection that wrote. Nobody else needs it, so one WAIT does."""
        replicas = self._replicas
        seconds = min(replicas.patience, (deadline - time.monotonic()) / 2)
        try:
            said: object = wire.ask(replicas.command(seconds), deadline)
        except hiredis.ReplyError as error:
            said = error
        except OSError as error:
            said = error
            self._drop(state, place)
        if (short := replicas.verdict(said)) is not None:
            raise short

    def _place(self, state: _State, partition: int, deadline: float) -> Endpoint:
        """Who stores a partition, as far as is known."""
        endpoint = state.places.get(partition)
        if endpoint is None:
            endpoint = self._address.endpoints[0]
            if self._address.kind == "sentinel":
                endpoint = self._master(deadline)
            elif self._address.kind == "cluster":
                endpoint = self._reachable(state, deadline)
            state.places[partition] = endpoint
        return endpoint

    def _wire(self, state: _State, endpoint: Endpoint, deadline: float) -> Wire:
        """The connection to a server."""
        wire = state.wires.get(endpoint)
        if wire is not None and not wire.alive:
            state.wires.pop(endpoint).close()
            wire = None
        if wire is None:
            wire = state.wires[endpoint] = Wire(endpoint, self._address.access, deadline)
        return wire

    def _reachable(self, state: _State, deadline: float) -> Endpoint:
        last: OSError = ConnectionError("the cluster has no nodes")
        for endpoint in self._address.endpoints:
            try:
                self._wire(state, endpoint, deadline)
            except OSError as error:
                last = error
            else:
                return endpoint
        raise last

    def _master(self, deadline: float) -> Endpoint:
        last: OSError = ConnectionError("no sentinel")
        for endpoint in self._address.endpoints:
            try:
                wire = Wire(endpoint, self._address.sentinel_access, deadline)
                try:
                    said = wire.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service), deadline)
                finally:
                    wire.close()
            except (OSError, hiredis.ReplyError) as error:
                last = ConnectionError(str(error))
                continue
            if said:
                return Endpoint(said[0].decode(), int(said[1]))
            last = ConnectionError(f"{endpoint} does not know a master called {self._address.service!r}")
        raise last

    def _redirect(self, state: _State, partition: int, error: str) -> None:
        """A refusal that names another node, or says that this one is not the master any more."""
        place = state.places.get(partition)
        if error.startswith("MOVED ") and place is not None:
            state.places[partition] = _named(error, place)
        elif error.startswith(("READONLY", "MASTERDOWN", "CLUSTERDOWN")):
            self._drop(state, place)

    def _drop(self, state: _State, endpoint: Endpoint | None) -> None:
        """Forget a server: the connection to it, and that it stores anything."""
        state.places = {number: place for number, place in state.places.items() if place != endpoint}
        if endpoint is not None and (wire := state.wires.pop(endpoint, None)) is not None:
            wire.close()


def _named(error: str, sayer: Endpoint) -> Endpoint:
    """The node that a refusal (``MOVED slot host:port``, ``ASK slot host:port``) names; without a host it is
    the one that said it.
    """
    host, _, port = error.split()[-1].rpartition(":")
    return Endpoint(host or sayer.host, int(port))
