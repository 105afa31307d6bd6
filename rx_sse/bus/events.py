"""The result of `bus.events(...)`: a resumable Observable."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NoReturn

from reactivex import abc

from rx_sse.bus.core import Core
from rx_sse.bus.events_subscription import EventsSubscription
from rx_sse.bus.log.position import ref_of
from rx_sse.bus.names import check_topic
from rx_sse.bus.resume.stream_cursor import ASKED, StreamCursor
from rx_sse.bus.since import Since
from rx_sse.bus.user_code import Functions
from rx_sse.errors import UsageError
from rx_sse.reactive.observer import Callbacks, Unwrapped
from rx_sse.wire.event import ServerSentEvent


class Events(Unwrapped[ServerSentEvent]):
    """The events of topics, resumable. Endless: subscribe to it or return it, do not await it."""

    scheduled = False

    def __init__(
        self,
        core: Core,
        topics: dict[str, str],
        after: StreamCursor | str | None,
        *,
        last: int,
        since: Since | None,
        functions: Functions,
    ) -> None:
        super().__init__()
        self._core = core
        self._topics = topics
        self._after = after
        self._newest = last if functions.snapshot is None else 0
        self._since = since
        self._functions = functions

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Subscribe, on the bus's loop. The position is taken at this moment; events follow from the next
        turn of the loop on.
        """
        # A cursor given as text belongs to no connection: each subscription begins there.
        handle = StreamCursor(self._after) if isinstance(self._after, str) else self._after
        subscription = EventsSubscription(self._core, handle, self._functions, observer)
        try:
            subscription.start(self._topics, self._newest, self._since)
        except Exception as error:
            subscription.fail(error)
        return subscription

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError(
            "events() is endless: return it from the handler, or subscribe to it, but do not await it"
        )


def check_after(after: object) -> None:
    """Check what was given as `after=`.

    Raises:
        UsageError: not a cursor, or a text inside a request that has a cursor of its own.
    """
    if isinstance(after, StreamCursor):
        return
    if after is not None and not isinstance(after, str):
        raise UsageError(
            f"after={after!r}: give rx_sse.last_event_id(request); outside a request a cursor, or None"
        )
    if (asked := ASKED.get()) is not None:
        asked(after)


def check_beginnings(after: object, last: int, since: Since | None, snapshot: object) -> None:
    """Check that a stream has at most one beginning for clients without a cursor.

    Raises:
        UsageError: it has two beginnings.
    """
    if since is None:
        return
    others = {"after": isinstance(after, str) and after, "last": last, "snapshot": snapshot is not None}
    for name, given in others.items():
        if given:
            raise UsageError(f"since= and {name}= are two beginnings: give only one")


def references(topics: tuple[str, ...]) -> dict[str, str]:
    """The topics of a stream and their references in cursors.

    Raises:
        TopicNameError: a name that is not one.
        UsageError: two references that are the same.
    """
    refs: dict[str, str] = {}
    for topic in topics:
        refs[check_topic(topic)] = ref_of(topic)
    if len(refs) > 1 and len(set(refs.values())) != len(refs):
        raise UsageError(
            f"topics {', '.join(refs)}: two of them cannot be on one stream, their cursors would look alike"
        )
    return refs
