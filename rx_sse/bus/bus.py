"""Topics with history and resume.

A `Bus` is the same over every log: `MemoryBus` keeps its log in this process. It belongs to the loop that it
was started on; `on_next` works from every thread. It may be made at module level: it creates nothing of
asyncio before it is started, by `setup(app, bus=bus)` or `async with bus`.

Never: a topic, a user or a reader that is gone leaves anything behind except the history that its retention
promises, for as long as it promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from reactivex import Observable

from rx_sse.arguments import count, seconds
from rx_sse.bus.asking import Wish, history_of, position_of
from rx_sse.bus.core import Core
from rx_sse.bus.events import Events, check_after, check_beginnings, references
from rx_sse.bus.gap import Gap
from rx_sse.bus.history import HistoryPage
from rx_sse.bus.log.entry import END, Draft, draft_of, gap_data
from rx_sse.bus.log.idempotency import hashed_key
from rx_sse.bus.log.port import Log
from rx_sse.bus.log.position import MAX_TOPICS, cursor_of, part_of, ref_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.names import check_topic
from rx_sse.bus.presence import Presence
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.bus.rosters import Rosters
from rx_sse.bus.runs.methods import RunMethods
from rx_sse.bus.runtime import BusError, Runtime
from rx_sse.bus.since import Since, check_since
from rx_sse.bus.stats import BusStats
from rx_sse.bus.topic import Topic
from rx_sse.bus.user_code import Filter, Map, Snapshot, functions_of
from rx_sse.errors import UsageError
from rx_sse.wire.dumps import Dumps
from rx_sse.wire.event import ServerSentEvent


class Bus(RunMethods):
    """Topics over a log.

    Args:
        log: stores the entries.
        retention: how much of a topic is kept, unless a `retain` applies to it.
        publish_timeout: seconds that a publisher waits for room.
        position_timeout: seconds that a stream waits for the topics' positions; then it is refused (503).
        grace: seconds that a listener may be disconnected before it counts as having left (`presence`).
        max_token_life: seconds that a token may live, from ``iat`` to ``exp``; a token that lives longer is
            refused, and revocations are kept for this long.
        blind_limit: seconds that a process cut off from its log relies on the revocations that it knows.
        ring_bytes: recent entries of all topics that are kept ready for reconnects.
        clock: monotonic seconds, the same as the log's.
        rosters: makes the rosters of `presence`; a shared log may share them.
        check_workers: called by `setup`; warns if this bus cannot serve an application of several workers,
            and this process is one.
        dumps: replaces the JSON encoder for pushed values, and for the results of `map` and `snapshot`;
            without it, the encoder of `setup(dumps=)` is used.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(
        self,
        log: Log,
        retention: Retention | None = None,
        *,
        publish_timeout: float = 5.0,
        position_timeout: float = 5.0,
        grace: float = 10.0,
        max_token_life: float = 31 * 86_400.0,
        blind_limit: float = 300.0,
        ring_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
        rosters: Callable[[Runtime, float], Rosters] = Rosters,
        check_workers: Callable[[], None] = lambda: None,
        dumps: Dumps | None = None,
    ) -> None:
        self._core = Core(
            log,
            retention or Retention(),
            publish_timeout=publish_timeout,
            position_timeout=position_timeout,
            grace=grace,
            max_token_life=max_token_life,
            blind_limit=blind_limit,
            ring_bytes=ring_bytes,
            clock=clock,
            rosters=rosters,
            check_workers=check_workers,
        )
        self._core.encode_with(dumps)

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, on the running loop; `setup(app, bus=bus)` and `async with bus` call it. A second start on
        the same loop does nothing.

        Raises:
            UsageError: it is running on another loop.
        """
        await self._core.start()

    async def close(self) -> None:
        """Refuse new pushes, deliver everything pushed before, then end every subscription, with `BusClosed`
        and never with a `stream-end`. Entries that were accepted and could not be stored within 2 s are
        reported in `errors`.
        """
        await self._core.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def ready(self) -> bool:
        """Whether an event published now reaches this process's listeners."""
        return self._core.ready()

    @property
    def errors(self) -> Observable[BusError]:
        """Errors that are reported nowhere else: failures of sources, of `filter` and `map`, gaps that are
        sent to no client.
        """
        return self._core.runtime.errors

    # -- topics ----------------------------------------------------------------------------------------------

    def topic(self, name: str) -> Topic:
        """The topic `name`, a Subject of values. Costs nothing and keeps nothing.

        Args:
            name: 1 to 255 characters of ``A-Z a-z 0-9 _ - . ~ % : / @ + = ,``; `topic_name` makes one of
                any text.

        Returns:
            A new `Topic`; all of the same name are the same topic.

        Raises:
            TopicNameError: `name` is not valid.
        """
        return Topic(self._core, check_topic(name))

    def events(
        self,
        *topics: str,
        after: StreamCursor | str | None,
        last: int = 0,
        since: Since | None = None,
        snapshot: Snapshot | None = None,
        filter: Filter | None = None,
        map: Map | None = None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> Observable[ServerSentEvent]:
        """The events of topics, resumable: the events after the client's cursor, then live; without a gap,
        without a duplicate, in order.

        Args:
            *topics: 1 to 32 names.
            after: `last_event_id(request)`; outside a request None, or a cursor: a result of `position`, or
                an entry's id.
            last: without a cursor, begin with this many of the newest entries of each topic.
            since: without a cursor, begin with the entries that are not older: a `timedelta` back from the
                subscription, or a `datetime` with a time zone.
            snapshot: without a cursor, begin with the state that it returns for a topic's name; the changes
                made since it was called follow. May be a coroutine function. None means no state. One call
                serves all clients that wait for the same function, topic and user.
            filter: returns whether the client gets an event. The cursor moves past the other events too.
            map: returns what is sent instead: a `ServerSentEvent`, or a value. If either function raises, the
                client gets a gap for that event.
            on_gap: called with each `Gap`. Without a connection that sends gaps to a client, they also go to
                `errors`.

        Raises:
            TopicNameError: a name that is not valid.
            UsageError: no topic, too many topics, or an argument of the wrong type.
        """
        if not 1 <= len(topics) <= MAX_TOPICS:
            raise UsageError(f"events() takes 1 to {MAX_TOPICS} topics, not {len(topics)}")
        check_after(after)
        count("last", last, least=0)
        if since is not None:
            check_beginnings(after, last, check_since(since), snapshot)
        functions = functions_of(filter, map, snapshot, on_gap)
        return Events(self._core, references(topics), after, last=last, since=since, functions=functions)

    async def position(self, *topics: str) -> str:
        """The current position of topics: the cursor after every entry that the bus has accepted so far.

        Take it before you read the state that a page shows, and start the page's stream from it: a change
        made in between arrives as an event, and nothing is missed.

        Args:
            *topics: 1 to 32 names, the same as the stream's.

        Returns:
            A cursor: for `events(after=…)`, `history(after=…)`, and as ``Last-Event-ID`` or ``?lastEventId=``
            of a stream.

        Raises:
            TopicNameError: a name that is not valid.
            UsageError: no topic, too many topics, or one topic twice.
            Overloaded: the log does not answer in time.
            BusClosed: the bus is not running.
        """
        return await position_of(self._core, topics)

    async def history(
        self,
        topic: str,
        *,
        after: str | None = None,
        last: int | None = None,
        since: Since | None = None,
        limit: int = 100,
    ) -> HistoryPage:
        """A page of a topic's history, the oldest entry first. `after`, `last` or `since` selects where it
        begins; without any of them, with the oldest entry.

        Args:
            topic: its name.
            after: a cursor: the `next` of the page before, an entry's id, or a result of `position`.
            last: the number of newest entries to return.
            since: only entries that are not older: a `timedelta` back from now, or a `datetime` with a time
                zone.
            limit: entries of the page, 500 at most; it also ends before it would be over 1 MB.

        Raises:
            TopicNameError: `topic` is not a valid name.
            UsageError: two beginnings, a cursor of another topic, or a number out of range.
            Overloaded: the log does not answer in time.
            BusClosed: the bus is not running.
        """
        wish = Wish(topic, after=after, last=last, since=since, limit=limit)
        return (await history_of(self._core, wish))[0]

    def retain(
        self,
        pattern: str,
        *,
        history: int | None = None,
        history_bytes: int | None = None,
        ttl: float | None = None,
    ) -> None:
        """Keep more, or less, of some topics than of the others. The most specific pattern applies; calling
        it again for a pattern replaces its limits. May be called at any time and from any thread: it applies
        to entries published from then on, in this process.

        Args:
            pattern: a topic, or a prefix up to a separator and ``*``, as in ``orders:*``; ``*`` for all.
            history, history_bytes, ttl: as for the bus; a limit that is not given is the bus's.

        Raises:
            TopicNameError: `pattern` is not valid.
            UsageError: no limit is given, a number out of range, or over 1,000 patterns.
        """
        core = self._core
        core.retentions.retain(pattern, history=history, history_bytes=history_bytes, ttl=ttl)
        core.runtime.run_on_loop(core.retained)

    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        idempotency_key: str | None = None,
        user: str | None = None,
    ) -> str:
        """Publish, and wait until the log has stored the event.

        Args:
            topic: the topic's name.
            data: a value as for `Topic.on_next`.
            event: the event's name.
            idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and
                returns the same id.
            user: the key belongs to this user: the same key of another user is another key. The publish
                counts towards the limits that `setup(limits=)` sets for each user.

        Returns:
            The entry's cursor.

        Raises:
            EncodeError, EventTooLarge, TopicNameError: as for `on_next`.
            QueueFull, BusClosed: the event was not accepted.
            Overloaded: not accepted: this user publishes to too many topics, or used too many keys.
            PublishRefused: nothing was stored; also if the key was used with other data.
            PublishUnknown: no answer came in time, or not enough replicas have acknowledged it.
        """
        core = self._core
        draft = draft_of(check_topic(topic), data, event, core.retentions.of(topic), core.dumps)
        if user is not None:
            core.quotas.publish(user, topic, keyed=idempotency_key is not None)
        if idempotency_key is not None:
            draft.key = hashed_key(user, topic, idempotency_key)
        return await self._publish(draft)

    async def end(self, topic: str, reason: str | None = None) -> None:
        """End a topic: its readers get the remaining events, then `stream-end`, on every instance, now or
        when they reconnect.

        A client that connects after the end gets the history and the end. A publish after it starts the topic
        again.

        Args:
            topic: the topic's name.
            reason: the `reason` in the data of `stream-end`; "ended" without one.

        Raises:
            TopicNameError: a name that is not valid.
            PublishRefused, PublishUnknown, BusClosed: as for `publish`.
        """
        kept = self._core.retentions.of(check_topic(topic))
        await self._publish(Draft(topic, END, gap_data(reason or "ended"), None, kept))

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
            UsageError: neither or both, a value that no token can contain, or an `until` beyond
                `max_token_life`.
            Overloaded: 1,000,000 revocations are in force.
        """
        if (user is None) == (token_id is None):
            raise UsageError("revoke() takes either user= or token_id=")
        for name, value in (("user", user), ("token_id", token_id)):
            if value is not None and (not isinstance(value, str) or not value):
                raise UsageError(
                    f"revoke({name}={value!r}): give the text that the token contains, or it matches no token"
                )
        seconds("until", until, optional=True)
        await self._publish(self._core.revocations.request(user, token_id, until))

    def presence(self, topic: str) -> Presence:
        """The users that listen to a topic, in all processes that share the bus, and an Observable of joins
        and leaves.

        Args:
            topic: the topic's name.

        Returns:
            A `Presence`: `members` (users and their numbers of subscriptions), `total`, and an Observable of
            `PresenceChange`.

        Raises:
            TopicNameError: a name that is not valid.
        """
        return Presence(self._core, check_topic(topic))

    def stats(self) -> BusStats:
        """Counters and current sizes."""
        return BusStats.of(self._core)

    async def _publish(self, draft: Draft) -> str:
        position = await self._core.publish(draft)
        return cursor_of([part_of(ref_of(draft.topic), position)])


def core_of(bus: Bus) -> Core:
    """For the library: the core of a bus."""
    return bus._core  # pyright: ignore[reportPrivateUsage] (the one way to it)
