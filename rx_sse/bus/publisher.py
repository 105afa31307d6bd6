"""From a value to the log: the one way in.

A value is encoded on the thread that pushes it, once and for all readers, so an impossible one raises there.
Then it goes through the inbox, the one place where threads cross, and the log gets it on the loop's thread,
in the order of the pushes.

When there is no room, a thread that has no loop waits for it, up to `publish_timeout`; on a loop nobody may
wait, so the push raises, and the readers of the topic are told of a gap as soon as there is room again.

Standard: resume rules §4.
Never: a value that was not refused is forgotten; a push delivers inside the call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from rx_sse.bus.cursor import Position
from rx_sse.bus.dispatch import Dispatcher
from rx_sse.bus.entry import GAP, JSON, MAX_EVENT, TEXT, gap_data
from rx_sse.bus.log import Bounded, Draft, Log, Retention
from rx_sse.delivery.inbox import Inbox
from rx_sse.errors import BusClosed, EncodeError, EventTooLarge, QueueFull
from rx_sse.wire.dumps import Dumps, json_of
from rx_sse.wire.event import RawFrame, ServerSentEvent

MAX_WAITING = 65_536
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Deliveries that readers have still to be called for. Beyond it the publisher has no room, whatever the
inbox has.
"""
PATIENCE = 0.002
"""Seconds between two looks of a thread that waits for room."""


class Home(Protocol):
    """The bus, as the publisher sees it."""

    @property
    def log(self) -> Log: ...

    @property
    def dispatcher(self) -> Dispatcher: ...

    @property
    def retention(self) -> Retention: ...

    def later(self, action: Callable[[], None]) -> object: ...


class Publisher:
    """The way into the log of one running bus.

    Args:
        home: the bus.
        inbox: where the threads cross.
        timeout: seconds that a thread waits for room.
    """

    __slots__ = (
        "_bounded",
        "_home",
        "_inbox",
        "_lock",
        "_refused",
        "_timeout",
        "accepted",
        "closed",
        "refused",
    )

    def __init__(self, home: Home, inbox: Inbox, timeout: float) -> None:
        self._home = home
        self._bounded = home.log if isinstance(home.log, Bounded) else None
        self._inbox = inbox
        self._timeout = timeout
        self._lock = threading.Lock()
        self._refused: dict[str, None] = {}
        self.closed = False
        self.accepted = 0
        self.refused = 0

    def push(self, draft: Draft) -> None:
        """Publish, from any thread.

        Raises:
            QueueFull: there is no room.
            BusClosed: the bus has been closed.
        """
        if self._has_room() and self._inbox.put(self._append, draft, draft.size):
            return
        if _on_a_loop():
            self._refuse(draft.topic)
        elif self._wait(draft):
            return
        self._refuse_if_closed()
        raise QueueFull(
            f"{draft.topic}: the queue is full, pushes come faster than deliveries; the value was not taken",
            retry_after=1.0,
        )

    async def publish(self, draft: Draft) -> Position:
        """Publish, on the bus's loop, and wait until the log has it.

        Raises:
            QueueFull: there was no room for `publish_timeout`.
            PublishRefused: the log refused it.
            PublishUnknown: the log did not answer in time.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Position] = loop.create_future()

        def settle(result: Position | Exception) -> None:
            if outcome.done():
                return
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)

        draft.settle = settle
        deadline = loop.time() + self._timeout
        while not (self._has_room() and self._inbox.put(self._append, draft, draft.size)):
            self._refuse_if_closed()
            if loop.time() > deadline:
                raise QueueFull(f"{draft.topic}: no room for {self._timeout} s", retry_after=1.0)
            await asyncio.sleep(PATIENCE)
        return await outcome

    def _append(self, draft: Draft) -> None:
        self.accepted += 1
        self._home.log.append(draft)

    def _has_room(self) -> bool:
        dispatcher = self._home.dispatcher
        if self._bounded is not None and self._bounded.full:
            return False
        return len(dispatcher) < MAX_WAITING and dispatcher.size < MAX_WAITING_BYTES

    def _wait(self, draft: Draft) -> bool:
        """Wait for room, on a thread that has no loop."""
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0:
            if not self._has_room():
                time.sleep(min(PATIENCE, left))
            elif self._inbox.put(self._append, draft, draft.size, timeout=left):
                return True
            else:
                self._refuse_if_closed()
        return False

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise BusClosed("the bus is closed; the value was not taken")

    def _refuse(self, topic: str) -> None:
        with self._lock:
            self.refused += 1
            first = not self._refused
            self._refused[topic] = None
        if first:
            self._inbox.on_room(self._tell_refused)

    def _tell_refused(self) -> None:
        """There is room: tell the readers of what was refused."""
        if self.closed:
            return
        if not self._has_room():
            self._home.later(self._tell_refused)
            return
        with self._lock:
            topics, self._refused = self._refused, {}
        for topic in topics:
            self._home.log.append(Draft(topic, GAP, gap_data("refused"), None, self._home.retention))


def draft_of(
    topic: str, value: Any, event: str | None, retention: Retention, dumps: Dumps | None = None
) -> Draft:
    """A value as what the log stores; `dumps` replaces the JSON encoder.

    Raises:
        EncodeError: it cannot be sent.
        EventTooLarge: it is over 1 MB.
    """
    if isinstance(value, str):
        # A text without a carriage return or a surrogate needs no second look.
        kind, data = TEXT, value if value.isascii() and "\r" not in value else ServerSentEvent(value).data
    elif isinstance(value, ServerSentEvent):
        kind, data = TEXT, value.data
        event = _name_of(value) if event is None else event
    elif isinstance(value, RawFrame):
        raise EncodeError(
            "a RawFrame has no place for a cursor: publish a ServerSentEvent with its event name and data"
        )
    else:
        kind, data = JSON, json_of(value, dumps)
        if "\n" in data or "\r" in data:  # what was laid out over several lines is one line of the same JSON
            data = data.replace("\r", " ").replace("\n", " ")
    if event is not None:
        event = ServerSentEvent("", event=event).event
    if len(data) * 4 > MAX_EVENT and len(data.encode()) > MAX_EVENT:
        raise EventTooLarge(
            f"{topic}: {len(data.encode()):,} bytes, and {MAX_EVENT:,} is the most; publish a reference to it"
        )
    return Draft(topic, kind, data, event, retention)


def _name_of(event: ServerSentEvent) -> str | None:
    for field, found in (("id", event.id), ("retry", event.retry), ("comment", event.comment)):
        if found is not None and event.position is None:
            raise EncodeError(
                f"{field}: {found!r}: an event on a topic has data and a name only; the bus gives the ids"
            )
    if not event.has_data:
        raise EncodeError("an event on a topic needs data: without it no browser would hand it to the page")
    return event.event


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
