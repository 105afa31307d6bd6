"""The mount's answers to refused requests: problem details, with `Retry-After` where a retry makes sense.

Standard: RFC 9457 (problem details), RFC 9110 §10.2.3 (`Retry-After`), RFC 6585 §4 (429).
Never: the text of an error from outside this library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from aiohttp import hdrs, web

from rx_sse.bus.quotas import OverQuota
from rx_sse.errors import (
    BusClosed,
    EncodeError,
    EventTooLarge,
    Overloaded,
    PublishRefused,
    PublishUnknown,
    RxSseError,
    TopicNameError,
)

BUSY = 1.0
"""Seconds of `Retry-After` where the error names none."""

# Answers to failed publishes that are not worth repeating; the first match applies.
STATUSES: tuple[tuple[type[RxSseError], int], ...] = (
    (TopicNameError, 400),
    (EncodeError, 400),
    (EventTooLarge, 413),
    (PublishRefused, 422),
    (PublishUnknown, 504),
    (BusClosed, 503),
    (OverQuota, 429),
    (Overloaded, 503),
)


def refused(error: RxSseError) -> web.HTTPException:
    """The answer to a failure of the bus."""
    again: float | None = getattr(error, "retry_after", None)
    if isinstance(error, PublishRefused) and again is not None:
        return problem(503, str(error), retry_after(again))
    for kind, status in STATUSES:
        if isinstance(error, kind):
            headers = retry_after(again or BUSY) if status in (429, 503) else {}
            return problem(status, str(error), headers)
    return problem(500, "the event was not published")


def retry_after(seconds: float) -> dict[str, str]:
    """The `Retry-After` header."""
    return {hdrs.RETRY_AFTER: str(max(1, math.ceil(seconds)))}


class _Problem(web.HTTPException):
    """An answer with problem details; the status is the instance's."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]) -> None:
        self.status_code = status
        body = {"type": "about:blank", "status": status, "detail": detail}
        super().__init__(text=json.dumps(body), content_type="application/problem+json", headers=headers)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, *, close: bool = False
) -> web.HTTPException:
    """A problem-details answer, to be raised; `close`: the connection is closed behind it."""
    answer = _Problem(status, detail, headers or {})
    if close:
        answer.force_close()
    return answer
