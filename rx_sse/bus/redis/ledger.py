"""The account of what was appended: what waits for Redis, and what Redis has acknowledged.

Standard: docs/resume.md §4.
Never: more than a bounded number of topics is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from rx_sse.bus.log.backlog import Backlog
from rx_sse.bus.log.position import Position
from rx_sse.bus.redis.protocol.append import Stored, entries_of
from rx_sse.bus.redis.subscriptions import Subscriptions

REMEMBERED = 10_000
"""Topics whose last acknowledged position is remembered, to see whether a failover took it back."""


class Ledger(Backlog):
    """The account of one log, while it is open; queues of appends report to it.

    Args:
        subscriptions: the topics that are listened to here: what this process stored is handed to them.
        on_dropped: called with a topic, and why pushes to it were refused or are unconfirmed.
        clock: monotonic seconds.

    Attributes:
        on_dropped: as given.
        acknowledged: for each topic the last position that was acknowledged, and the lineage.
        batches: script calls that published.
        short: entries that were stored while not enough replicas acknowledged them in time.
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

    # -- what a queue reports --------------------------------------------------------------------------------

    def sending(self) -> None:
        """A batch leaves."""
        self.batches += 1

    def stored(self, topic: str, lineage: int, before: int, row: Sequence[Stored]) -> None:
        """Drafts of this process are in the log, in a row behind the entry with the nonce `before`."""
        self.acknowledged[topic] = (row[-1][1], lineage)
        self.acknowledged.move_to_end(topic)
        if len(self.acknowledged) > REMEMBERED:
            self.acknowledged.popitem(last=False)
        if self._subscriptions.get(topic) is not None:
            self._subscriptions.own(topic, entries_of(row, before, self._clock()))

    def unconfirmed(self, count: int) -> None:
        """So many entries are stored, and not enough replicas have acknowledged them."""
        self.short += count

    def dropped(self, topic: str, error: Exception) -> None:
        """What was pushed to a topic was refused, or is unconfirmed."""
        self.on_dropped(topic, error)
