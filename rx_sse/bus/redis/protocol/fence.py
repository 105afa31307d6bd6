"""Fences off calls that an abandoned connection still delivers.

A hanging connection (in a proxy, behind a dead NAT entry) is closed with a call in flight, the call is sent
again over another connection, and later the first copy arrives after all. It was sent without a search for
stored entries, so it would be stored a second time. Therefore each call of a publisher carries a number;
after a lost reply the number is raised, the next call to these topics stores it in their metadata, and the
script refuses every call with a lower number. It is part of the topic's metadata: a key of its own would have
to be declared in every call, and on a cluster a half-moved slot would refuse them all.

Standard: fencing tokens (M. Kleppmann, "How to do distributed locking", 2016).
Never: a publisher that lost no reply stores anything in Redis.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

MAX_TOPICS = 10_000
"""Topics whose number has yet to be stored; the oldest are forgotten: nothing was sent to them since."""


class Fence:
    """The number of one publisher.

    Attributes:
        name: the publisher's name.
        number: the number that a call carries.
    """

    __slots__ = ("_missing", "name", "number")

    def __init__(self) -> None:
        self.name = os.urandom(6).hex()
        self.number = 0
        self._missing: dict[str, None] = {}

    def lost(self, topics: Iterable[str]) -> None:
        """A reply to a call to these topics was lost."""
        self.number += 1
        self._missing.update(dict.fromkeys(topics))
        while len(self._missing) > MAX_TOPICS:
            del self._missing[next(iter(self._missing))]

    def is_missing(self, topics: Iterable[str]) -> bool:
        """Whether a call to these topics has to store the number."""
        return bool(self._missing) and any(topic in self._missing for topic in topics)

    def stands(self, topics: Iterable[str]) -> None:
        """A call to these topics was answered."""
        if self._missing:
            for topic in topics:
                self._missing.pop(topic, None)
