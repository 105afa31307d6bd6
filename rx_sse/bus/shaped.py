"""Results of `map` and `snapshot`, as events of a resumable stream."""

from __future__ import annotations

from typing import Any

from rx_sse.bus.log.position import SEQ_BITS, Mark, mark_of
from rx_sse.bus.user_code import UserCode
from rx_sse.errors import EncodeError
from rx_sse.wire.dumps import Dumps
from rx_sse.wire.encode import encode
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.raw_frame import RawFrame


def marked(event: ServerSentEvent, topic: str, mark: Mark) -> ServerSentEvent:
    """`event` at the position `mark`, with the cursor of a stream that has this one topic."""
    made = event.stamped("1_" + mark.part, topic=topic, position=mark)
    mark.original = id(made)
    return made


def encoded(value: Any, dumps: Dumps | None) -> ServerSentEvent:
    """A value as an event that has no id of its own."""
    event = encode(value, dumps)
    if isinstance(event, RawFrame):
        raise EncodeError(
            "a RawFrame has no place for the cursor of a resumable stream; return a ServerSentEvent"
        )
    if event.id is not None and event.position is None:
        raise EncodeError(f"id: {event.id!r}: on a resumable stream the bus gives the ids; leave it out")
    return event


def shaped(event: ServerSentEvent, code: UserCode, ref: str, dumps: Dumps | None) -> ServerSentEvent | None:
    """What the client gets for an event of the topic `ref`: None if the filter drops it.

    Raises:
        Exception: `filter` or `map` raised this, or the result of `map` cannot be sent.
    """
    if code.filter is not None and not code.filter(event):
        return None
    made: object = event if code.map is None else code.map(event)
    if made is event:
        return event
    mark: Any = event.position
    assert event.topic is not None
    return marked(encoded(made, dumps), event.topic, mark_of(ref, mark.position, mark.order >> SEQ_BITS))
