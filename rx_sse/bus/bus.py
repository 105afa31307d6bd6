"""Topics with history and resume.

A `Bus` is the same over every log: `MemoryBus` has one in this process. It belongs to the loop that it was
started on; `on_next` works from every thread. It may be made at module level: nothing of asyncio exists
before it is started, by `setup(app, bus=bus)` or `async with bus`.

Standard: none; `design.md` of the project says what users see.
Never: a topic, a user or a reader that has gone leaves anything behind but the history it is promised to
have, for as long as that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable

from rx_sse.arguments import count, function, seconds
from rx_sse.bus.cursor import MAX_TOPICS, cursor_of, part_of, ref_of
from rx_sse.bus.engine import Engine
from rx_sse.bus.entry import END, Gap, gap_data
from rx_sse.bus.feed import Events, Filter, Map, Snapshot, references
from rx_sse.bus.handle import UNASKED, Resume
from rx_sse.bus.keys import hashed_key
from rx_sse.bus.log import Draft
from rx_sse.bus.names import check_topic
from rx_sse.bus.presence import Presence
from rx_sse.bus.publisher import draft_of
from rx_sse.bus.report import BusStats
from rx_sse.bus.topic import Topic
from rx_sse.errors import BusClosed, UsageError
from rx_sse.wire.event import ServerSentEvent


class Bus(Engine):
    """Topics over a log.

    Args:
        log: where entries are kept.
        retention: how much of a topic is kept.
        publish_timeout: seconds that a publisher waits for room.
        position_timeout: seconds that a stream waits for the bus to tell its position; then it is shed.
        grace: seconds that a listener may be away without having left (`presence`).
        max_token_life: seconds that a token may live at most; revocations of users are kept so long.
        blind_limit: seconds that a process which is cut off goes on with the revocations that it knows.
        ring_bytes: recent entries of all topics that are kept ready for reconnects.
        clock: monotonic seconds, the same as the log's.
    """

    def topic(self, name: str) -> Topic:
        """The topic `name`, a Subject of values. Costs nothing and keeps nothing.

        Raises:
            TopicNameError: the name is not one.
        """
        return Topic(self, check_topic(name))

    def events(
        self,
        *topics: str,
        after: Resume | None,
        last: int = 0,
        snapshot: Snapshot | None = None,
        filter: Filter | None = None,
        map: Map | None = None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> Observable[ServerSentEvent]:
        """The events of topics, resumable: what came after the client's cursor, then live; no gap, no
        duplicate, in order.

        Args:
            *topics: 1 to 32 names.
            after: `last_event_id(request)`; None outside a request.
            last: without a cursor, begin with so many of the newest entries of each topic.
            snapshot: without a cursor, begin with the state that it returns, given the topic's name; then
                come the changes since it was called. May be a coroutine function. None means no state. One
                call serves all who wait for the same function, topic and user.
            filter: tells which events the client gets. The position moves for the others too.
            map: what the client gets instead: a `ServerSentEvent`, or a value. An exception in either is a
                gap for that event.
            on_gap: called with each `Gap`. Without a connection that tells the client, gaps also go to
                `errors`.

        Raises:
            TopicNameError: a name that is not one.
            UsageError: no topic, too many, or an argument that is something else.
        """
        if not 1 <= len(topics) <= MAX_TOPICS:
            raise UsageError(f"events() takes 1 to {MAX_TOPICS} topics, not {len(topics)}")
        if after is not None and not isinstance(after, Resume):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                f"after={after!r}: give rx_sse.last_event_id(request), or None outside a request"
            )
        if after is None and (tell := UNASKED.get()) is not None:
            tell()
        count("last", last, least=0)
        function("snapshot", snapshot, "a function of a topic's name that returns its state")
        function("filter", filter, "a function of an event that tells whether the client gets it")
        function("map", map, "a function of an event that returns what the client gets instead")
        function("on_gap", on_gap, "a function of a Gap")
        refs = references(tuple(check_topic(topic) for topic in topics))
        return Events(self, refs, after, last=last, snapshot=snapshot, filter=filter, map=map, on_gap=on_gap)

    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        idempotency_key: str | None = None,
        user: str | None = None,
    ) -> str:
        """Publish, and know that the bus has it.

        Args:
            topic: where.
            data: as `Topic.on_next` takes it.
            event: the event's name.
            idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and
                returns the same id.
            user: whose key it is; the same key of another user is another key.

        Returns:
            The entry's cursor.

        Raises:
            EncodeError, EventTooLarge, TopicNameError: as for `on_next`.
            QueueFull, BusClosed: not taken.
            PublishRefused: nothing was stored; also if the key was used with other data.
            PublishUnknown: no answer came in time, or not enough replicas have acknowledged it.
        """
        draft = draft_of(check_topic(topic), data, event, self.retention, self.dumps)
        if idempotency_key is not None:
            draft.key = hashed_key(user, topic, idempotency_key)
        return await self._publish(draft)

    async def end(self, topic: str, reason: str | None = None) -> None:
        """End a topic: its readers get what there is, then `stream-end`, on every instance, now or later.

        Whoever comes after the end gets the history and the end. A publish after it begins the topic again.
        """
        await self._publish(Draft(check_topic(topic), END, gap_data(reason or "ended"), None, self.retention))

    async def revoke(
        self, *, user: str | None = None, token_id: str | None = None, until: float | None = None
    ) -> None:
        """Refuse tokens from now on, and end the streams that were opened with them, on every instance.

        Args:
            user: all tokens of this user that were issued before now.
            token_id: the token with this ``jti``.
            until: epoch seconds after which the revocation may be forgotten: the token's ``exp``. Without it,
                the longest life that a token may have.

        Raises:
            UsageError: neither or both, or what no token says.
        """
        if (user is None) == (token_id is None):
            raise UsageError("revoke() takes either user= or token_id=")
        for name, value in (("user", user), ("token_id", token_id)):
            if value is not None and (not isinstance(value, str) or not value):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise UsageError(
                    f"revoke({name}={value!r}): give the text that the token says, or it fits none"
                )
        seconds("until", until, optional=True)
        await self._publish(self.revocations.draft(user, token_id, until, None))

    def presence(self, topic: str) -> Presence:
        """Who listens to a topic in this process, and an Observable of who comes and goes."""
        return Presence(self, check_topic(topic))

    def check_workers(self) -> None:
        """Warn if this kind of bus cannot serve an application of several workers, and this is one. `setup`
        calls it.
        """

    def stats(self) -> BusStats:
        """What it has done and holds."""
        return BusStats.of(self)

    async def _publish(self, draft: Draft) -> str:
        self.require_loop()
        if self.publisher is None:
            raise BusClosed("the bus is closed")
        return cursor_of([part_of(ref_of(draft.topic), await self.publisher.publish(draft))])
