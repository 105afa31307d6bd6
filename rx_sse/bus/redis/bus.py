"""The bus of many processes.

Never: a connection before it is started, so it may be made at module level and before a fork.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rx_sse.arguments import seconds
from rx_sse.bus.bus import Bus
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.redis.log import RedisLog
from rx_sse.bus.redis.net.address import address_of
from rx_sse.bus.redis.protocol.keys import PARTITIONS, Keys
from rx_sse.bus.redis.stats import RedisStats
from rx_sse.bus.shared_rosters import SharedRosters
from rx_sse.wire.dumps import Dumps


class RedisBus(Bus):
    """Topics with history and resume, shared by all processes that use the same Redis and prefix.

    Args:
        target: a URL (``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://a:26379,b:26379/mymaster``,
            ``redis+cluster://a:6379,b:6379``), or a client of redis-py, whose configuration is used.
        prefix: the prefix of all keys and channels.
        partitions: the number of partitions of topics on a cluster; the same in every process.
        history: entries that a topic keeps at least; Redis trims in blocks.
        history_bytes: bytes that a topic keeps.
        ttl: seconds that an entry is kept, and that an unused topic is.
        probe_interval: seconds between two probes; a dead subscription is detected within two.
        publish_timeout: seconds that a publisher waits.
        replicas: how many replicas must have acknowledged a publish before it counts as accepted. WAIT waits
            for them, for a quarter of `publish_timeout`; if fewer have, `publish` raises `PublishUnknown`,
            and a value pushed by `on_next` is reported in `errors` and counted in `stats()`.
        grace: seconds that a listener may be disconnected before it counts as having left (`presence`).
        max_token_life: seconds that a token may live, from ``iat`` to ``exp``; a token that lives longer is
            refused, and revocations are kept for this long.
        blind_limit: seconds that a process cut off from Redis relies on the revocations that it knows.
        dumps: replaces the JSON encoder for pushed values, and for the results of `map` and `snapshot`;
            without it, the encoder of `setup(dumps=)` is used.
        clock: monotonic seconds.

    Raises:
        UsageError: `target` is no valid address, or a number is out of range.
    """

    def __init__(
        self,
        target: Any,
        *,
        prefix: str = "rx_sse",
        partitions: int = PARTITIONS,
        history: int = 1000,
        history_bytes: int = 8 * 1024 * 1024,
        ttl: float = 3600.0,
        probe_interval: float = 1.0,
        publish_timeout: float = 5.0,
        replicas: int = 0,
        grace: float = 10.0,
        max_token_life: float = 31 * 86_400.0,
        blind_limit: float = 300.0,
        dumps: Dumps | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        retention = Retention.of(history, history_bytes, ttl)
        log = RedisLog(
            address_of(target),
            Keys(prefix, partitions),
            retention,
            timeout=seconds("publish_timeout", publish_timeout, zero="leaves Redis no time to answer"),
            replicas=replicas,
            probe_interval=seconds("probe_interval", probe_interval, zero="would probe without a pause"),
            clock=clock,
        )
        super().__init__(
            log,
            retention,
            publish_timeout=publish_timeout,
            grace=grace,
            max_token_life=max_token_life,
            blind_limit=blind_limit,
            clock=clock,
            rosters=lambda runtime, away: SharedRosters(runtime, away, log),
            dumps=dumps,
        )
        log.on_trouble = self._core.runtime.error
        log.retention_of = self._core.runtime.retention_of
        self._core.measures.commits = log.topology.commits
        self._redis = log

    def stats(self) -> RedisStats:
        """Counters and current sizes, those of the connections included."""
        return RedisStats.over(super().stats(), self._redis)
