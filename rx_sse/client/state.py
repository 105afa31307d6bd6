"""What a connection tells about itself.

Standard: the three ready states of WHATWG HTML §9.2.2, by their names there. A record is frozen, holds no
token, and says all that a status line or a log wants: the record before it need not be remembered.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Literal

from rx_sse.wire.harmless import harmless

__all__ = ["ConnectionState", "log_state"]

_log: Final = logging.getLogger("rx_sse.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """What an `EventSource` hands to its `on_state`.

    Attributes:
        state: ``"connecting"`` before the first attempt and after every loss, ``"open"`` when a stream has
            answered, ``"closed"`` once, at the end.
        reason: why, in a few words: how the last connection ended, or what ended it for good.
        url: where the stream is; when it is open, where its redirects led. Without user, password and query.
        status: the HTTP status of the answer that led here; None if there was none.
        delay: seconds until the next attempt, while connecting.
        failures: attempts in a row that came to nothing, the one that just ended included.
        last_event_id: what the next request sends as ``Last-Event-ID``.
        error: the exception behind it, if there was one.
    """

    state: Literal["connecting", "open", "closed"]
    reason: str
    url: str
    status: int | None = None
    delay: float = 0.0
    failures: int = 0
    last_event_id: str = ""
    error: BaseException | None = None


def log_state(state: ConnectionState) -> None:
    """What happens to a record without `on_state`: trouble is a warning, the rest is for debugging."""
    again = f"; next attempt in {state.delay:.1f} s" if state.delay else ""
    level = logging.DEBUG if state.error is None else logging.WARNING
    _log.log(level, "%s: %s (%s)%s", state.url, state.state, harmless(state.reason), again)
