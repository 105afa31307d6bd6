"""The end of an async generator that is closed before it is at its own end.

`aclose()` raises `GeneratorExit` where the generator waits. A generator that waits inside an
`asyncio.TaskGroup` passes it on as a group, together with the exceptions of the group's tasks, and a failing
task of the group cancels the iterating task. Neither is a failure of the source; any other exception in the
group is.

Standard: PEP 525 (`aclose`), PEP 654 (exception groups).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

CLOSED = (GeneratorExit, asyncio.CancelledError)
"""Exceptions that a generator raises because it is closed, or its task is cancelled."""


async def close(iterator: AsyncIterator[Any]) -> None:
    """Close an async iterator, if it can be closed; a generator's `finally` blocks run."""
    if (aclose := getattr(iterator, "aclose", None)) is not None:
        await aclose()


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """The exception of a finished iterating task, without the exceptions that only stand for its closing.

    None if it ended by itself, was cancelled, or was closed and nothing else went wrong.
    """
    error = None if task.cancelled() else task.exception()
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(CLOSED)[1]
    return error
