"""What an abandoned connection may still do: nothing.

A connection that hangs (in a proxy, behind a dead NAT entry) is given up with a call in it, the call is sent
again over another one, and later the first copy arrives after all. It was sent when nothing had to be looked
for, so it would be stored a second time. Therefore each call of a publisher carries a number; with a reply
that was lost the number is raised, the next call to these topics leaves it with them, and the script refuses
every call with a lower one. It stands in the topic's meta: a key of its own would have to be declared in
every call, and on a cluster a slot that is half moved would refuse them all.

Standard: fencing tokens (M. Kleppmann, "How to do distributed locking", 2016).
Never: anything in Redis for a publisher that lost no reply.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

MAX_TOPICS = 10_000
"""Topics whose number has to be left; the oldest are forgotten: nothing was sent to them since."""


class Fence:
    """The number of one publisher.

    Attributes:
        name: of the publisher.
        number: that a call carries.
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
        """Whether a call to these topics is to leave the number with them."""
        return bool(self._missing) and any(topic in self._missing for topic in topics)

    def stands(self, topics: Iterable[str]) -> None:
        """A call to these topics was answered."""
        if self._missing:
            for topic in topics:
                self._missing.pop(topic, None)
