"""Publishing from a process without a loop, to any log: one call, one answer.

Any number of threads may use it (they take turns), before or after a fork: each process has its own
connection, made at its first publish.

Standard: docs/resume.md §4.
Never: an event loop, and neither reactivex nor aiohttp is imported.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from rx_sse.arguments import function, seconds
from rx_sse.bus.log.entry import Draft, draft_of
from rx_sse.bus.log.idempotency import hashed_key
from rx_sse.bus.log.port import not_stored
from rx_sse.bus.log.position import Position, cursor_of, part_of, ref_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.traceparent import current_traceparent
from rx_sse.bus.names import check_topic
from rx_sse.wire.dumps import Dumps


class ProcessState:
    """The state of one process."""

    __slots__ = ("lock", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()


State = TypeVar("State", bound=ProcessState)


class BlockingPublisher(ABC, Generic[State]):
    """The common part of the publishers of all logs; a subclass stores one draft.

    Args:
        state: makes the state of a process.
        timeout: seconds for one publish, all retries included.
        store: names the log in the message about a timeout of zero.
        dumps: replaces the JSON encoder.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(self, state: Callable[[], State], timeout: float, store: str, dumps: Dumps | None) -> None:
        function("dumps", dumps, "a function of a value that returns JSON text")
        self._dumps = dumps
        self._timeout = seconds("timeout", timeout, zero=f"leaves {store} no time to answer")
        self._new_state = state
        self._state = state()

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        idempotency_key: str | None = None,
        user: str | None = None,
    ) -> str:
        """Publish, and wait until the log has it. The entry belongs to the OpenTelemetry span that is current
        in this thread.

        Args:
            topic: the topic's name.
            data: a `str` as text, a `ServerSentEvent` with its event name, anything else as JSON.
            event: the event's name.
            idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and
                returns the same id.
            user: the key belongs to this user; other users' keys do not collide with it.

        Returns:
            The entry's cursor.

        Raises:
            EncodeError, EventTooLarge, TopicNameError: the event cannot be sent, or the name is not valid.
            UsageError: `SQLitePublisher`: this path can never hold a log.
            PublishRefused: nothing was stored.
            PublishUnknown: it may be stored: no answer came in time, too few replicas have acknowledged it,
                or the commit failed. Repeat it with the same `idempotency_key`.
        """
        draft = draft_of(check_topic(topic), data, event, self._retention(topic), self._dumps)
        if idempotency_key is not None:
            draft.key = hashed_key(user, topic, idempotency_key)
        draft.trace = current_traceparent()
        deadline = time.monotonic() + self._timeout
        state = self._state
        if state.pid != os.getpid():
            # A child of a fork: that connection, and perhaps its lock, belongs to the parent.
            state = self._state = self._new_state()
        if not state.lock.acquire(timeout=self._timeout):
            raise not_stored(f"{topic}: other threads were publishing for {self._timeout} s")
        try:
            position = self._store(state, draft, deadline)
        finally:
            state.lock.release()
        return cursor_of([part_of(ref_of(topic), position)])

    def close(self) -> None:
        """Close the connections of this process. The next publish makes new ones."""
        state = self._state
        if state.pid == os.getpid():
            with state.lock:
                self._disconnect(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- implemented by a subclass ---------------------------------------------------------------------------

    @abstractmethod
    def _retention(self, topic: str) -> Retention:
        """How much of a topic is kept."""
        ...

    @abstractmethod
    def _store(self, state: State, draft: Draft, deadline: float) -> Position:
        """Store a draft, or raise `PublishRefused` or `PublishUnknown`. `state.lock` is held."""
        ...

    @abstractmethod
    def _disconnect(self, state: State) -> None:
        """Close the connections of a process."""
        ...
