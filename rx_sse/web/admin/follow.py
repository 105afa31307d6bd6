"""A topic, live: its newest entries, then every event as it is published.

`GET /follow?topic=…` is an event stream for the debugger of the page, with these events: `begin`
(each time
the connection is opened: what was shown before is shown again), `entry`, `gap`, and `stream-end` at the
    topic's end.

Precedent: the debugger of Mercure's hub.
Never: more of an entry than `LONGEST` characters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

from rx_sse.bus.gap import Gap
from rx_sse.errors import TopicNameError, UsageError
from rx_sse.web.admin.access import Access
from rx_sse.web.registry import registry_of
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.harmless import harmless

LAST = 20
"""Entries of the history that are shown."""
LONGEST = 4_000
"""Characters of an entry's data."""


class Follow:
    """The handler.

    Args:
        access: reading a topic needs the permission to act.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def stream(self, request: web.Request) -> rx.Observable[ServerSentEvent]:
        """The stream of one topic."""
        self._access.check_origin(request)
        self._access.check_scope(request)
        bus = registry_of(request).bus
        if bus is None:
            raise web.HTTPConflict(text="the application has no bus")
        topic = request.query.get("topic", "")
        try:
            page = await bus.history(topic, last=LAST)
        except (TopicNameError, UsageError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        gaps: Subject[ServerSentEvent] = Subject()
        kept = [_entry(it.event, it.data, it.id, it.time) for it in page]
        live = bus.events(topic, after=page.next, map=_live, on_gap=lambda gap: gaps.on_next(_gap(gap)))
        begin = ServerSentEvent({"topic": topic, "kept": len(kept)}, event="begin")
        return rx.concat(
            rx.of(begin, *kept), rx.merge(live.pipe(ops.do_action(on_completed=gaps.on_completed)), gaps)
        )


def _live(event: ServerSentEvent) -> ServerSentEvent:
    return _entry(event.event, event.data, event.id, datetime.now(UTC))


def _entry(event: str | None, data: Any, entry: str | None, time: datetime) -> ServerSentEvent:
    text = str(data)
    shown: dict[str, Any] = {
        "event": event,
        "id": entry,
        "at": time.timestamp(),
        "data": harmless(text[:LONGEST]),
        "size": len(text),
    }
    return ServerSentEvent(shown, event="entry")


def _gap(gap: Gap) -> ServerSentEvent:
    return ServerSentEvent({"reason": gap.reason, "missed": gap.missed}, event="gap")
