"""What an abandoned connection may still do: nothing.

A connection that hangs (in a proxy, behind a dead NAT entry) is given up with a call in it, the call is sent
again over another one, and later the first copy arrives after all. It was sent when nothing had to be looked
for, so it would be stored a second time. Therefore each call of a publisher carries a number; with a reply
that was lost the number is raised, the next call leaves it in Redis, and the script refuses every call with
a lower one.

Standard: fencing tokens (M. Kleppmann, "How to do distributed locking", 2016).
Never: a key in Redis for a publisher that lost no reply.
"""

from __future__ import annotations

import os

LIFE = 86_400_000
"""Milliseconds for which the number is remembered: TCP gives up within minutes, a proxy may take longer."""


class Fence:
    """The number of one publisher, for one partition.

    Attributes:
        name: of its key.
        number: that a call carries.
    """

    __slots__ = ("_left", "name", "number")

    def __init__(self) -> None:
        self.name = os.urandom(8).hex()
        self.number = 0
        self._left = 0

    def lost(self) -> None:
        """A reply was lost: what carries the present number may do nothing any more."""
        self.number += 1

    @property
    def life(self) -> int:
        """Milliseconds for which a call is to leave the number in Redis; 0: it has it."""
        return LIFE if self.number > self._left else 0

    def stands(self, number: int) -> None:
        """A call with `number` was answered."""
        self._left = max(self._left, number)
