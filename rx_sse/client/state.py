"""The state of a connection, as a record.

Standard: the three ready states of WHATWG HTML §9.2.2, by their names there. A record is frozen, holds no
token, and is complete for a status line or a log: earlier records need not be kept.
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
    """The state that an `EventSource` passes to its `on_state`.

    Attributes:
        state: ``"connecting"`` before the first attempt and after every loss, ``"open"`` when a stream has
            answered, ``"closed"`` once, at the end.
        reason: the reason in a few words: how the last connection ended, or why it ended for good.
        url: the URL of the stream; when open, after redirects. Without user, password and query.
        status: the HTTP status of the last answer; None if there was none.
        delay: seconds until the next attempt, while connecting.
        failures: failed attempts in a row, the last one included.
        last_event_id: the ``Last-Event-ID`` of the next request.
        error: the exception that caused it, if there was one.
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
    """Log a record without `on_state`: failures as warnings, the rest at DEBUG."""
    again = f"; next attempt in {state.delay:.1f} s" if state.delay else ""
    level = logging.DEBUG if state.error is None else logging.WARNING
    _log.log(level, "%s: %s (%s)%s", state.url, state.state, harmless(state.reason), again)
