"""How long to wait before the next attempt.

Standard: WHATWG HTML §9.2.3, whose reconnection time is a lower bound here, never undercut. Without I/O and
without a clock: chance is handed in, so that a test can name it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Final

__all__ = ["MAX_DELAY", "reconnection_delay"]

# Seconds. LaunchDarkly's SSE clients stop growing here, and a person waits that long for a page.
MAX_DELAY: Final = 30.0

# Seconds from which failures grow, so that `retry: 0` becomes a quick return and not a storm.
_FIRST: Final = 0.1

# A server that ends all its streams at once gets its clients back over a quarter of the reconnection time.
_SPREAD: Final = 0.25


def reconnection_delay(
    retry: int, failures: int, *, at_least: float = 0.0, chance: Callable[[], float] = random
) -> float:
    """The seconds to wait.

    Args:
        retry: the reconnection time of the stream, in milliseconds.
        failures: how many attempts in a row have come to nothing; 0 after a connection that served.
        at_least: seconds that the server asked for in a ``Retry-After``.
        chance: a number from 0 to 1.
    """
    # [spec] Wait a delay equal to the reconnection time of the event source.
    base = retry / 1000
    delay = base * (1 + _SPREAD * chance())
    if failures:
        # [spec] Optionally, wait some more. In particular, if the previous attempt failed, then user agents
        # might introduce an exponential backoff delay to avoid overloading a potentially already overloaded
        # server. Half of it fixed, half by chance, and the exponent bounded before the number is.
        ceiling = min(max(base, _FIRST) * 2 ** min(failures, 32), max(base, MAX_DELAY))
        delay = max(delay, ceiling * (1 + chance()) / 2)
    return max(delay, at_least)
