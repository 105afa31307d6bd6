"""Queries about a topic: its position, and a page of its history.

Both query the log itself, also on a bus whose log is on a server: an entry whose publish has returned is in
the result. Nothing is subscribed to and no state remains.

Standard: docs/positions.md.
Never: a query that waits without a limit; if the log does not answer within `position_timeout`, it is
`Overloaded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from rx_sse.arguments import count
from rx_sse.bus.core import Core
from rx_sse.bus.history import HistoryPage, history_page
from rx_sse.bus.log.port import PAGE_BYTES, PAGE_ENTRIES, Page, Query
from rx_sse.bus.log.position import MAX_TOPICS, UNKNOWN, Position, cursor_of, parse, part_of, ref_of
from rx_sse.bus.log.search import Ask, Search
from rx_sse.bus.names import check_topic
from rx_sse.bus.runtime import NOT_RUNNING
from rx_sse.bus.since import Since, check_since, fresh_since
from rx_sse.errors import BusClosed, Overloaded, UsageError

T = TypeVar("T")
Begin = Callable[[Callable[[T], None], Ask], None]

MOST = PAGE_ENTRIES
"""Entries of a page of history: one page of the log, so that all of it is from one instant."""


async def position_of(core: Core, topics: tuple[str, ...]) -> str:
    """The cursor of the ends of topics."""
    if not 1 <= len(topics) <= MAX_TOPICS:
        raise UsageError(f"position() takes 1 to {MAX_TOPICS} topics, not {len(topics)}")
    if len(set(topics)) != len(topics):
        raise UsageError(f"position{topics} names a topic twice")
    core.runtime.require_loop()
    names = [check_topic(topic) for topic in topics]
    pages = [await _answer(core, Query(name)) for name in names]
    return cursor_of(part_of(ref_of(name), page.head) for name, page in zip(names, pages, strict=True))


class Wish:
    """Which part of a topic's history is requested, checked.

    Args:
        topic: its name.
        after: the cursor after which the page begins.
        last: the number of newest entries to return.
        since: only entries that are not older. At most one of the three; without any, from the oldest entry
            on.
        limit: entries of the page, 500 at most.
        max_bytes: bytes of the page; a single entry over it is returned alone.

    Raises:
        TopicNameError: `topic` is not a valid name.
        UsageError: two beginnings, a cursor of another topic, or a number out of range.
    """

    __slots__ = ("after", "last", "limit", "max_bytes", "since", "topic")

    def __init__(
        self,
        topic: str,
        *,
        after: str | None = None,
        last: int | None = None,
        since: Since | None = None,
        limit: int = 100,
        max_bytes: int = PAGE_BYTES,
    ) -> None:
        self.topic = check_topic(topic)
        given = [name for name, it in (("after", after), ("last", last), ("since", since)) if it is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(f'{it}=' for it in given)} are two beginnings: give only one")
        self.last = None if last is None else count("last", last)
        self.since = check_since(since)
        self.limit = count("limit", limit)
        if limit > MOST:
            raise UsageError(f"limit={limit} is more than {MOST}, the most of one page: go on with its next")
        self.after = None if after is None else _place(topic, after)
        self.max_bytes = max_bytes


async def history_of(core: Core, wish: Wish) -> tuple[HistoryPage, int]:
    """A page of a topic's history, and the bytes of its entries."""
    core.runtime.require_loop()
    begin: dict[str, Any] = {"after": UNKNOWN}  # the position of no entry: from the oldest entry on
    if wish.after is not None:
        begin = {"after": wish.after}
    elif wish.last is not None:
        begin = {"last": wish.last}
    elif wish.since is not None:
        begin = {"after": await _since(core, wish.topic, wish.since)}
    page = await _answer(core, Query(wish.topic, **begin, max_entries=wish.limit, max_bytes=wish.max_bytes))
    size = sum([entry.size for entry in page.entries])
    return history_page(wish.topic, page, wish.after, core.runtime.wall), size


def _place(topic: str, after: str) -> Position:
    places = parse(after) if isinstance(after, str) else None
    place = None if places is None else places.get(ref_of(topic))
    if place is None:
        raise UsageError(
            f"after={str(after)[:80]!r} is not a cursor of topic {topic!r}: give the id of one of its "
            "entries, or what position() returned"
        )
    return place.position


async def _since(core: Core, topic: str, since: Since) -> Position:
    """The position behind which the entries since a time begin."""

    def search(found: Callable[[Position], None], ask: Ask) -> None:
        Search(topic, fresh_since(since, core.runtime), ask, found).start()

    return await _outcome(core, topic, search)


async def _answer(core: Core, query: Query) -> Page:
    def question(found: Callable[[Page], None], ask: Ask) -> None:
        ask(query, found)

    return await _outcome(core, query.topic, question)


async def _outcome(core: Core, topic: str, begin: Begin[T]) -> T:
    """Wait for the result of queries to the log; those that it cannot answer now are repeated.

    Args:
        core: of the bus.
        topic: the topic that the queries are about.
        begin: sends the first query, given the function that takes the result, and the function that queries.

    Raises:
        Overloaded: the log did not answer in time.
        BusClosed: the bus was closed meanwhile.
    """
    runtime, timeout = core.runtime, core.position_timeout
    if not runtime.running:
        raise BusClosed(NOT_RUNNING)
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def found(result: T) -> None:
        if not outcome.done():
            outcome.set_result(result)

    def ask(query: Query, done: Callable[[Page], None]) -> None:
        def answered(page: Page | None) -> None:
            if outcome.done():
                return
            if page is not None:
                done(page)
            else:
                runtime.later(lambda: ask(query, done))

        if not outcome.done():
            runtime.counted("reads")
            core.log.read(query, answered)

    runtime.questions.add(outcome)
    try:
        begin(found, ask)
        async with asyncio.timeout(timeout):
            return await outcome
    except TimeoutError:
        why = f"topic {topic!r}: the log did not answer for {timeout} s"
        raise Overloaded(why, retry_after=timeout or None) from None
    finally:
        runtime.questions.discard(outcome)
