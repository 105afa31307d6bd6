"""Statistics of an application's streams: their number, and their ends.

Precedent: trio's statistics records.
Never: a payload, a query or a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegistryStats:
    """The streams of one application, at one moment.

    Attributes:
        open: streams that are open now.
        opened: streams opened since the start.
        shed: requests that were refused because a limit was reached or the application was closing.
        dropped: events that slow readers lost to their policy, in streams that have ended.
        ended: number of ended streams, by reason.
        closing: True from the shutdown on.
    """

    open: int
    opened: int
    shed: int
    dropped: int
    ended: Mapping[str, int]
    closing: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream that has ended.

    Attributes:
        label: method and path.
        reason: the end's name.
        lasted: seconds that it was open.
        at: the time of its end, on the loop's clock.
        user: the principal's user; None without a principal.
    """

    label: str
    reason: str
    lasted: float
    at: float
    user: str | None
