"""The bus of one process.

Never: it reaches another process. Under several workers it is several buses, which `setup` warns of.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable

from rx_sse.arguments import count
from rx_sse.bus.bus import Bus
from rx_sse.bus.log.memory import MAX_BYTES, MAX_TOPICS, MemoryLog
from rx_sse.bus.log.retention import Retention
from rx_sse.wire.dumps import Dumps


class MemoryBus(Bus):
    """Topics with history and resume, in the memory of this process.

    Args:
        history: entries that a topic keeps.
        history_bytes: bytes that a topic keeps.
        ttl: seconds that an entry is kept, and that an unused topic is.
        max_bytes: bytes of all topics' history; beyond it the least recently used topics lose their oldest
            entries.
        max_topics: topics that are kept; beyond it the least recently used topics are forgotten.
        publish_timeout: seconds that a publisher waits for room.
        grace: seconds that a listener may be disconnected before it counts as having left (`presence`).
        max_token_life: seconds that a token may live, from ``iat`` to ``exp``; a token that lives longer is
            refused, and revocations are kept for this long.
        dumps: replaces the JSON encoder for pushed values, and for the results of `map` and `snapshot`;
            without it, the encoder of `setup(dumps=)` is used.
        clock: monotonic seconds; a test may supply its own.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(
        self,
        *,
        history: int = 1000,
        history_bytes: int = 8 * 1024 * 1024,
        ttl: float = 3600.0,
        max_bytes: int = MAX_BYTES,
        max_topics: int = MAX_TOPICS,
        publish_timeout: float = 5.0,
        grace: float = 10.0,
        max_token_life: float = 31 * 86_400.0,
        dumps: Dumps | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        retention = Retention.of(history, history_bytes, ttl)
        super().__init__(
            MemoryLog(
                retention,
                max_bytes=count("max_bytes", max_bytes, least=0),
                max_topics=count("max_topics", max_topics),
                clock=clock,
            ),
            retention,
            publish_timeout=publish_timeout,
            grace=grace,
            max_token_life=max_token_life,
            clock=clock,
            check_workers=_Workers().check,
            dumps=dumps,
        )


class _Workers:
    """Whether this process looks like one of several workers of the same application."""

    __slots__ = ("_made_in",)

    def __init__(self) -> None:
        self._made_in = os.getpid()

    def check(self) -> None:
        """Warn if so."""
        if (sign := self._sign()) is not None:
            warnings.warn(
                f"MemoryBus under several workers ({sign}) is several buses: what is published in one "
                "does not reach the listeners of another. Use rx_sse.SQLiteBus (on one machine), "
                "rx_sse.RedisBus, or one worker.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _sign(self) -> str | None:
        if os.getpid() != self._made_in:
            return "it was made before a fork"
        if multiprocessing.parent_process() is not None:
            return "this is a process of multiprocessing"
        words = [
            *os.environ.get("GUNICORN_CMD_ARGS", "").split(),
            *(sys.argv if "gunicorn" in sys.argv[0] else []),
        ]
        counts = [os.environ.get("WEB_CONCURRENCY", "")]
        for word, following in zip(words, [*words[1:], ""], strict=False):
            name, _, value = word.partition("=")
            if name in ("-w", "--workers"):
                counts.append(value or following)
            elif name.startswith("-w"):
                counts.append(name[2:])
        for given in counts:
            if given.isdecimal() and int(given) > 1:
                return f"{given} workers"
        return None
