"""Log lines for refused requests.

A 401 or a 403 tells the client little, on purpose. The log has the rest: a line at INFO with the method, the
path and the reason in words. Each kind of reason is logged a few times at once and then periodically, with
the number of lines left out, so that a flood of bad tokens causes no flood of lines; the lines left out are
logged at DEBUG.

In the development mode (`setup(debug=True)`) the answer has the reason as well.

Never: a token, a query, or a part of either.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from aiohttp import web

from rx_sse.web.log_fields import request_fields

logger = logging.getLogger("rx_sse.web.auth")

AT_ONCE = 5
"""Lines of one kind that may follow each other at once."""
PAUSE = 10.0
"""Seconds after which another line of the kind is logged."""
MAX_KINDS = 256
"""Kinds that are counted; there are some thirty. Beyond it, counting starts anew."""

REASON: web.RequestKey[str] = web.RequestKey("rx_sse.refusal", str)
"""The reason of a refused request, in words."""


class Refusals:
    """The refusal lines of one authenticator or application.

    Args:
        clock: monotonic seconds.
    """

    __slots__ = ("_clock", "_kinds")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, tuple[float, float, int]] = {}  # lines left, the time of that, lines left out

    def tell(self, request: web.BaseRequest, status: int, reason: str, *, kind: str | None = None) -> None:
        """A request was answered with `status`.

        Args:
            request: its method and path are logged.
            status: 401 or 403.
            reason: the reason, in words.
            kind: the part that equal reasons share, if their words differ.
        """
        request[REASON] = reason
        left_out = self._due(kind or reason)
        level = logging.DEBUG if left_out is None else logging.INFO
        more = f" ({left_out} more like it since the last line)" if left_out else ""
        path = request.rel_url.raw_path[:200]
        fields = request_fields(request, status=status)
        method = request.method
        logger.log(level, "%s %s was answered %d: %s%s", method, path, status, reason, more, extra=fields)

    def __len__(self) -> int:
        return len(self._kinds)

    def _due(self, kind: str) -> int | None:
        """How many lines were left out before this one; None if it is left out too."""
        now = self._clock()
        spare, at, left_out = self._kinds.get(kind, (float(AT_ONCE), now, 0))
        spare = min(AT_ONCE, spare + (now - at) / PAUSE)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        due = spare >= 1.0
        self._kinds[kind] = (spare - due, now, 0 if due else left_out + 1)
        return left_out if due else None


def explain(request: web.BaseRequest, answer: web.StreamResponse) -> None:
    """For the development mode: put the reason of a refusal, if there is one, into its answer. A handler that
    catches the refusal, as for guests, answers something else."""
    reason = request.get(REASON)
    if reason is None or answer.status not in (401, 403):
        return
    if not isinstance(answer, web.Response) or answer.text is None:
        return
    if answer.content_type == "text/plain":
        answer.text = f"{answer.status}: {reason}"
    elif answer.content_type == "application/problem+json":
        answer.text = json.dumps(json.loads(answer.text) | {"reason": reason})
