"""The policy for a reader that is slower than its source.

Standard: the names are those of RxJava's and Reactor's overflow strategies, plus conflation ("latest", as in
market data feeds).
Never: it holds no queue and no state; one `Overflow` may serve every stream of an application.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

from rx_sse.errors import UsageError

Policy = Literal["disconnect", "drop_oldest", "drop_newest", "latest"]
POLICIES: tuple[str, ...] = get_args(Policy)

MAX_EVENTS = 512
"""Events that may wait for one reader. Twice NestJS's highWaterMark of 256 objects; at 1 KB an event it is
512 KB a reader."""
MAX_BYTES = 256 * 1024
"""Bytes that may wait for one reader: four writes of 64 KiB."""


@dataclass(frozen=True, slots=True)
class Overflow:
    """What happens to an event for which a reader has no room.

    Before the policy applies, as much is written to the reader as its socket accepts: only the rest counts.

    Args:
        policy: `"disconnect"` aborts the connection, so that the client reconnects with its `Last-Event-ID`;
            `"drop_oldest"` and `"drop_newest"` drop events and announce them with `stream-gap`;
            `"latest"` keeps one event per key: a newer one replaces the waiting one and goes to the tail.
        key: for `"latest"`, a function of the emitted value that gives its key. Without it all events share
            one key.
        max_events: events that may wait, an integer of at least 1. An event that finds the queue empty is
            always accepted.
        max_bytes: bytes of encoded events that may wait, an integer of at least 1.

    Raises:
        UsageError: an unknown policy, a limit below 1, a key that is not a function, or a key that the policy
            does not use.
    """

    policy: Policy
    _: KW_ONLY
    key: Callable[[Any], Hashable] | None = None
    max_events: int = MAX_EVENTS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(
                f"overflow policy {self.policy!r} does not exist; use one of {', '.join(POLICIES)}"
            )
        if self.key is not None and self.policy != "latest":
            raise UsageError(
                f"overflow key= belongs to the policy 'latest', not to {self.policy!r}; leave it out"
            )
        if self.key is not None and not callable(self.key):
            raise UsageError(
                f"overflow key={self.key!r} must be a function of the emitted value that gives its key"
            )
        for name, limit in (("max_events", self.max_events), ("max_bytes", self.max_bytes)):
            if type(limit) is not int or limit < 1:
                raise UsageError(f"overflow {name}={limit!r} must be an integer of at least 1")

    @classmethod
    def of(cls, given: Policy | Overflow) -> Overflow:
        """`given` if it is an `Overflow`, else the default limits with the policy of that name.

        Raises:
            UsageError: neither an `Overflow` nor the name of a policy.
        """
        return given if isinstance(given, Overflow) else cls(given)
