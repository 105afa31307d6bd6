"""The names of keys and channels in Redis.

All keys of a topic hash to one slot of a cluster, and so do all topics of a partition, so that a script may
access them together::

    rx_sse:{17}:log:orders      a stream, one entry for each of the topic's
    rx_sse:{17}:meta:orders     a string: the last position, the lineage, what is stored
    rx_sse:{17}:key:9f86d08...  the use of an idempotency key
    rx_sse:{17}:here:orders     a hash: the listeners, by process
    rx_sse:{17}:run:report      a hash: the lease and the state of a run
    rx_sse:{17}:runs            a sorted set: the runs of a partition, by their start
    rx_sse:{17}:leases          a sorted set: the running runs, by the end of their lease
    rx_sse:{17}:orders          the channel

Standard: hash tags as in the Redis Cluster specification.
Never: a prefix with braces, which Redis would take for the tag.
"""

from __future__ import annotations

import binascii
import zlib
from functools import lru_cache

from rx_sse.bus.names import RUNS, is_run, run_of
from rx_sse.errors import UsageError

SLOTS = 16_384
PARTITIONS = 64
"""Enough for topics to be distributed evenly over a dozen nodes, few enough for batches to stay large."""
VERSION = 1


class Keys:
    """Names of keys and channels.

    Args:
        prefix: the prefix of all names.
        partitions: the number of partitions of topics.
    """

    __slots__ = ("config", "partitions", "prefix", "tags")

    def __init__(self, prefix: str = "rx_sse", partitions: int = PARTITIONS) -> None:
        usable = isinstance(prefix, str) and prefix.isascii() and prefix.isprintable()
        if not usable or not prefix or set(prefix) & set("{} *?[]\\"):
            raise UsageError(f"prefix={prefix!r}: give ASCII without spaces and without any of {{}}*?[]\\")
        if type(partitions) is not int or not 1 <= partitions <= SLOTS:
            raise UsageError(f"partitions={partitions!r}: give 1 to {SLOTS}")
        self.prefix = prefix
        self.partitions = partitions
        self.tags = [f"{prefix}:{{{number}}}:" for number in range(partitions)]
        self.config = f"{prefix}:config"
        for number, tag in enumerate(self.tags):
            slots = {slot_of(tag + rest) for rest in ("log:t", "meta:t", "key:k", "here:t", "t")}
            assert slots == {slot_of(str(number))}, "a topic's keys and channel would be on several nodes"

    def partition(self, topic: str) -> int:
        """The partition of a topic."""
        return _hash(topic) % self.partitions

    def places(self, topic: str) -> tuple[str, str, str]:
        """The keys of a topic's stream and metadata, and its channel."""
        tag = self.tags[_hash(topic) % self.partitions]
        return f"{tag}log:{topic}", f"{tag}meta:{topic}", tag + topic

    def log(self, topic: str) -> str:
        """The key of a topic's stream."""
        return f"{self.tags[_hash(topic) % self.partitions]}log:{topic}"

    def meta(self, topic: str) -> str:
        """The key of a topic's metadata."""
        return f"{self.tags[_hash(topic) % self.partitions]}meta:{topic}"

    def channel(self, topic: str) -> str:
        """The channel on which a topic's entries are announced."""
        return f"{self.tags[_hash(topic) % self.partitions]}{topic}"

    def here(self, topic: str) -> str:
        """The key of a topic's listeners, by process."""
        return f"{self.tags[_hash(topic) % self.partitions]}here:{topic}"

    def run(self, topic: str) -> str:
        """The key of the lease of the run that a topic belongs to."""
        return f"{self.tags[_hash(topic) % self.partitions]}run:{run_of(topic)}"

    def key(self, topic: str, hashed: str) -> str:
        """The key of an idempotency key, beside its topic."""
        return f"{self.tags[_hash(topic) % self.partitions]}key:{hashed}"

    def configuration(self) -> str:
        """The options that all processes must share."""
        return f"version={VERSION} partitions={self.partitions}"


@lru_cache(maxsize=4096)
def _hash(topic: str) -> int:
    # The topics of a run that was started again are beside its lease.
    return zlib.crc32((RUNS + run_of(topic) if is_run(topic) else topic).encode())


def slot_of(key: str) -> int:
    """The slot of a cluster that a key or a channel belongs to."""
    begin = key.find("{")
    if begin >= 0 and (end := key.find("}", begin + 1)) > begin + 1:
        key = key[begin + 1 : end]
    return binascii.crc_hqx(key.encode(), 0) % SLOTS
