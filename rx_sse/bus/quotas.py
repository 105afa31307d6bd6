"""What one principal may take of the tables of a bus that all principals share: topics and idempotency keys.

The application binds them with `setup(limits=)`; a bus without an application has none. They hold for what
names a principal: the mount, and `bus.publish(user=)`.

Standard: the token bucket (`allowance`).
Never: a publish that names no principal is refused by it; a topic that a principal uses again counts again,
as long as it is among the last `REMEMBERED`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from rx_sse.bus.allowance import Allowance
from rx_sse.bus.log.idempotency import KEY_LIFE
from rx_sse.errors import Overloaded

OPENING_PERIOD = 128.0
"""Seconds in which a principal may open `Limits.topics_per_user` topics again."""
REMEMBERED = 65_536
"""Topics, over all principals, that are known to be in use by a principal: 14 MB at most."""


class OverQuota(Overloaded):
    """A principal has taken all that it may take for now."""


class Quotas:
    """The bounds of each principal of one bus.

    Args:
        clock: monotonic seconds.
        remembered: topics that are known to be in use by a principal.

    Attributes:
        topics: topics that a principal may begin to use in a row; None for no bound.
        keys: idempotency keys of a principal that are remembered at a time; None for no bound.
    """

    __slots__ = ("_keys", "_opened", "_owner", "_published", "_remembered", "keys", "topics")

    def __init__(self, clock: Callable[[], float] = time.monotonic, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self.topics: int | None = None
        self.keys: int | None = None
        self._owner: object = None
        self._opened = Allowance(OPENING_PERIOD, clock)
        self._keys = Allowance(KEY_LIFE, clock)
        self._published: OrderedDict[tuple[str, str], None] = OrderedDict()

    def bind(self, owner: object, *, topics: int | None, keys: int | None) -> None:
        """These bounds hold until `owner` calls `release`. Of several applications that share a bus, those of
        the first to start: of a tree, the outermost.
        """
        if self._owner is None:
            self._owner, self.topics, self.keys = owner, topics, keys

    def release(self, owner: object) -> None:
        """The bounds of `owner` hold no longer."""
        if self._owner is owner:
            self._owner = self.topics = self.keys = None

    def open(self, user: str, count: int) -> None:
        """A principal begins to read `count` topics.

        Raises:
            OverQuota: it has begun to use too many lately.
        """
        if (wait := self._opened.take(user, count, self.topics)) > 0:
            raise OverQuota("this principal has opened too many topics lately", retry_after=wait)

    def publish(self, user: str, topic: str, *, keyed: bool) -> None:
        """A principal publishes.

        Args:
            user: who.
            topic: where.
            keyed: with an idempotency key.

        Raises:
            OverQuota: it has begun to use too many topics lately, or has too many keys remembered.
        """
        if self.topics is not None:
            published, known = self._published, (user, topic)
            if known not in published:
                self.open(user, 1)
                if len(published) >= self._remembered:
                    published.popitem(last=False)
                published[known] = None
            else:
                published.move_to_end(known)
        if keyed and self.keys is not None:
            # A bucket holds half of them: the other half is what flows in while a key is remembered.
            wait = self._keys.take(user, 1, max(1, self.keys // 2))
            if wait > 0:
                detail = f"this principal has used {self.keys:,} idempotency keys lately, which is the most"
                raise OverQuota(detail, retry_after=wait)
