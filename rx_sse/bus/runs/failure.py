"""The end of a failed run, and the error that its readers get.

Standard: RFC 9457 (problem details).
Never: the text of an exception that was not written for the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from rx_sse.errors import StreamError

MASKED = {"title": "Internal Server Error", "status": 500}
LOST = {
    "title": "The run was lost",
    "status": 503,
    "detail": "the process that ran it has ended without a word",
    "reason": "lost",
}
PROBLEMS = {"failed": MASKED, "lost": LOST}


@dataclass(slots=True)
class Cause:
    """The exception with which the source of a run has failed, in the process that ran it; None elsewhere."""

    error: BaseException | None = None


def problem_of_run(error: BaseException) -> dict[str, Any]:
    """The problem document of a failure: a `StreamError`'s own; any other error is masked."""
    return error.problem() if isinstance(error, StreamError) else dict(MASKED)


def failure_of_run(problem: object) -> StreamError:
    """The error that readers get, from the problem document of an end mark."""
    said: dict[str, Any] = dict(cast("dict[str, Any]", problem) if isinstance(problem, dict) else MASKED)
    status, title, kind = said.pop("status", None), said.pop("title", None), said.pop("type", "about:blank")
    detail = str(said.pop("detail", ""))
    usable = type(status) is int and 400 <= status <= 599
    said.pop("retry", None)
    return StreamError(detail, title=title, type=str(kind), status=status if usable else None, **said)
