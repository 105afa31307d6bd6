"""The delay before the next connection attempt.

Standard: WHATWG HTML §9.2.3, whose reconnection time is a lower bound here. Without I/O and without a clock:
the random number is an argument, so that a test can choose it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Final

__all__ = ["MAX_DELAY", "reconnection_delay"]

# Seconds. LaunchDarkly's SSE clients stop growing here, and a person waits that long for a page.
MAX_DELAY: Final = 30.0

# Seconds from which delays after failures grow, so that `retry: 0` is a quick reconnect and not a storm.
_FIRST: Final = 0.1

# When a server ends all its streams at once, its clients reconnect over a quarter of the reconnection time.
_SPREAD: Final = 0.25


def reconnection_delay(
    retry: int, failures: int, *, at_least: float = 0.0, chance: Callable[[], float] = random
) -> float:
    """The seconds to wait.

    Args:
        retry: the reconnection time of the stream, in milliseconds.
        failures: how many attempts in a row have failed; 0 after a connection that received an event.
        at_least: seconds of the server's ``Retry-After``.
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
