"""What is measured of a bus besides its counts: how large its replays are, how long its store takes.

Nothing is added to the path of an event: a replay is measured when it is over, a store once for each
transaction or call, which holds everything that was pushed meanwhile.

Standard: histograms are those of Prometheus (`rx_sse.metrics`).
Never: a value by topic or user.
"""

from __future__ import annotations

from rx_sse.histogram import COUNTS, Histogram


class BusMeasures:
    """The histograms of one bus.

    Attributes:
        replayed: entries that a client was sent of a topic before it was live: of each replay, and of each
            client that resumed, 0 if it had missed nothing.
        commits: seconds that the store took for a transaction; None for a log in memory.
    """

    __slots__ = ("commits", "replayed")

    def __init__(self) -> None:
        self.replayed = Histogram(COUNTS)
        self.commits: Histogram | None = None
