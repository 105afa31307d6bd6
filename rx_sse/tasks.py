"""Tasks of the library: created, and stored by their owner, before they run.

Under `asyncio.eager_task_factory` (Python 3.12) `create_task` runs the coroutine up to its first real wait
before it returns. An owner that writes `self._task = loop.create_task(self._run())` does not yet have its
task inside `_run`, and an event that `_run` emits arrives inside the constructor. `start` makes a task that
begins in the next turn of the loop, whatever the task factory.

Standard: `loop.set_task_factory`; a factory of the application's is used, never bypassed.
Never: it holds the task. The owner keeps a reference, as asyncio requires, and observes its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Args = TypeVarTuple("Args")


def start(
    function: Callable[[Unpack[Args]], Coroutine[Any, Any, T]],
    *args: *Args,
    loop: asyncio.AbstractEventLoop | None = None,
    name: str | None = None,
    context: Context | None = None,
) -> asyncio.Task[T]:
    """A task that runs `function(*args)`, from the next turn of the loop on.

    Args:
        function: a coroutine function.
        *args: its arguments.
        loop: its loop; the running loop if not given.
        name: the task's.
        context: the context that it runs in; a copy of the current one if not given.
    """
    loop = loop or asyncio.get_running_loop()
    # Without a factory nothing runs early, and the task needs no coroutine around its own.
    made = function(*args) if loop.get_task_factory() is None else _from_the_next_turn(function, *args)
    return loop.create_task(made, name=name, context=context)


async def _from_the_next_turn(function: Callable[[Unpack[Args]], Coroutine[Any, Any, T]], *args: *Args) -> T:
    await asyncio.sleep(0)
    return await function(*args)
