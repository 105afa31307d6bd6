"""The account of appends: those waiting for Redis, and those that Redis has acknowledged.

Standard: docs/resume.md §4.
Never: it remembers more than a bounded number of topics.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from rx_sse.bus.log.backlog import Backlog
from rx_sse.bus.log.position import Position
from rx_sse.bus.redis.protocol.append import Stored, entries_of
from rx_sse.bus.redis.subscriptions import Subscriptions

REMEMBERED = 10_000
"""Topics whose last acknowledged position is kept, to detect whether a failover lost it."""


class Ledger(Backlog):
    """The account of one log, while it is open; queues of appends report to it.

    Args:
        subscriptions: the topics that are listened to here: they get the entries that this process stored.
        on_dropped: called with a topic, and the reason why pushes to it were refused or are unconfirmed.
        clock: monotonic seconds.

    Attributes:
        on_dropped: the argument.
        acknowledged: for each topic the last acknowledged position, and the lineage.
        batches: number of script calls that published.
        short: entries that were stored without enough replicas acknowledging them in time.
    """

    __slots__ = (
        "_clock", "_subscriptions", "acknowledged", "batches", "on_dropped", "short",
    )  # fmt: skip

    def __init__(
        self,
        subscriptions: Subscriptions,
        on_dropped: Callable[[str, Exception], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self._subscriptions = subscriptions
        self._clock = clock
        self.on_dropped = on_dropped
        self.acknowledged: OrderedDict[str, tuple[Position, int]] = OrderedDict()
        self.batches = 0
        self.short = 0

    # -- called by queues ------------------------------------------------------------------------------------

    def sending(self) -> None:
        """A batch is sent."""
        self.batches += 1

    def stored(self, topic: str, lineage: int, before: int, row: Sequence[Stored]) -> None:
        """Drafts of this process are in the log, in a row after the entry with the nonce `before`."""
        self.acknowledged[topic] = (row[-1][1], lineage)
        self.acknowledged.move_to_end(topic)
        if len(self.acknowledged) > REMEMBERED:
            self.acknowledged.popitem(last=False)
        if self._subscriptions.get(topic) is not None:
            self._subscriptions.own(topic, entries_of(row, before, self._clock()))

    def unconfirmed(self, count: int) -> None:
        """This number of entries was stored, and not enough replicas have acknowledged them."""
        self.short += count

    def dropped(self, topic: str, error: Exception) -> None:
        """Pushes to a topic were refused, or are unconfirmed."""
        self.on_dropped(topic, error)
