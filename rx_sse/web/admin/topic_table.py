"""The topics of this process, as the page shows them.

Never: a row for every topic, or a query to the log about a topic that is not shown.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rx_sse.bus.bus import Bus, core_of
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.position import seq_of
from rx_sse.bus.names import CONTROL
from rx_sse.web.admin.survey import ROWS

SLICE = 1_000
"""Topics between two turns of the loop."""
USERS = 8
"""Users of a topic that are named."""


@dataclass(frozen=True, slots=True)
class TopicTable:
    """The result.

    Attributes:
        names: names of all topics by reference.
        refs: references of the topics that match the search; empty without a search.
        shown: for the page.
    """

    names: Mapping[str, str]
    refs: frozenset[str]
    shown: dict[str, Any]


async def topic_table(bus: Bus, find: str) -> TopicTable:
    """Scan all topics of this process.

    Args:
        bus: the bus.
        find: a part of a name, in small letters; empty for all.
    """
    core = core_of(bus)
    topics = [topic for topic in core.topics if not topic.topic.startswith(CONTROL)]
    matching: list[LocalTopic] = []
    names: dict[str, str] = {}
    for start in range(0, len(topics), SLICE):
        for topic in topics[start : start + SLICE]:
            names[topic.ref] = topic.topic
            if find in topic.topic.lower():
                matching.append(topic)
        if start + SLICE < len(topics):
            await asyncio.sleep(0)
    top = heapq.nsmallest(ROWS, matching, key=lambda topic: (-topic.users, -_seq(topic), topic.topic))
    rows = [_row(topic, *_present(bus, topic.topic)) for topic in top]
    shown = {"rows": rows, "matching": len(matching), "all": len(topics)}
    return TopicTable(names, frozenset(topic.ref for topic in matching) if find else frozenset(), shown)


def _present(bus: Bus, name: str) -> tuple[int, list[str], int]:
    rosters = core_of(bus).rosters
    members = rosters.members(name)
    first = heapq.nsmallest(USERS, members)
    return rosters.count(name), first, len(members)


def _seq(topic: LocalTopic) -> int:
    return 0 if topic.position is None else seq_of(topic.position)


def _row(topic: LocalTopic, present: int, users: list[str], all_users: int) -> dict[str, Any]:
    return {
        "topic": topic.topic,
        "entries": None if topic.position is None else seq_of(topic.position),
        "kept": len(topic.ring),
        "bytes": topic.ring.size,
        "listeners": topic.users,
        "present": present,
        "users": users,
        "more_users": max(0, all_users - len(users)),
        "ended": topic.ended,
    }
