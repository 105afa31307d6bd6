"""The shortest beginning of a subscription to events.

A client without a cursor that wants nothing of the past begins where its topic is. If this process knows that
position, there is nothing to locate and nothing to replay, and the subscription is live within the call. Most
streams of a user's own topic begin so.

Standard: docs/resume.md §2 ("Splice"): the position is taken, and the reader joined, without a callback
between them.
Never: a beginning with a cursor, a snapshot, or a replay.
"""

from __future__ import annotations

from collections.abc import Collection

from rx_sse.bus.core import Core
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.names import is_run
from rx_sse.bus.resume.stream_cursor import StreamCursor


def head_of(core: Core, handle: StreamCursor | None, topics: Collection[str]) -> LocalTopic | None:
    """The topic whose position is the beginning of the subscription; None if that has to be located.

    Args:
        core: the bus.
        handle: the connection's cursor.
        topics: the topics of the subscription.
    """
    if handle is None or len(topics) != 1 or not handle.unused:
        return None
    (topic,) = topics
    if is_run(topic):  # a run is read from its beginning
        return None
    local = core.topics.of(topic)
    return None if local.position is None or local.ended else local
