"""A running recording, inside a cell or beside other cells.

Never: without a limit; a recording ends at 100,000 values.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from rx_sse import tasks
from rx_sse.notebook.screen import Picture, Screen, bundle_of
from rx_sse.notebook.tape import Tape
from rx_sse.reactive import LoopScheduler
from rx_sse.reactive.recording import Recording

T = TypeVar("T", bound=Picture)
Result = Callable[[Mapping[str, Recording], float], T]


class Live(Generic[T]):
    """A recording that continues while other cells run. It displays its present state.

    Await it to wait for its end; `stop()` ends it now. Both return the recording.

    Args:
        tapes: the recorders of the streams, by name.
        seconds: the duration, if the streams do not end before; None for no limit.
        result: makes a recording or a diagram of the recorded moments and the duration in seconds.
        screen: displays it while it runs; None for no display.
        picture: the displayed picture, if it is not the result.
    """

    def __init__(
        self,
        tapes: Mapping[str, Tape],
        seconds: float | None,
        result: Result[T],
        screen: Screen | None = None,
        picture: Picture | None = None,
    ) -> None:
        self._tapes = dict(tapes)
        self._result = result
        self._screen = screen
        self._picture = picture
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._longest = math.inf if seconds is None else seconds
        self._took: float | None = None
        scheduler = LoopScheduler(self._loop)
        for tape in self._tapes.values():
            tape.changed = self._changed
        try:
            for tape in self._tapes.values():
                tape.start(scheduler)
        except BaseException:
            self._end()
            raise
        self._task = tasks.start(self._run, seconds)

    @property
    def running(self) -> bool:
        """Whether it is still recording."""
        return self._took is None

    @property
    def recorded(self) -> T:
        """Everything recorded so far."""
        seconds = self._elapsed() if self._took is None else self._took
        recordings = {
            name: Recording(list(tape.moments), seconds=seconds, name=name)
            for name, tape in self._tapes.items()
        }
        return self._result(recordings, seconds)

    def stop(self) -> T:
        """End it, and return the recording."""
        self._task.cancel()
        self._end()
        return self.recorded

    async def to_the_end(self) -> None:
        """Wait for its end; a cancellation ends the recording."""
        try:
            await asyncio.shield(self._task)
        finally:
            self.stop()

    def __await__(self) -> Generator[Any, None, T]:
        yield from self.to_the_end().__await__()
        return self.recorded

    async def _run(self, seconds: float | None) -> None:
        try:
            await asyncio.wait([tape.done for tape in self._tapes.values()], timeout=seconds)
        finally:
            self._end()

    def _end(self) -> None:
        if self._took is None:
            self._took = self._elapsed()
            for tape in self._tapes.values():
                tape.enough()
            if self._screen is not None:
                self._screen.finish()

    def _elapsed(self) -> float:
        return min(self._loop.time() - self._begin, self._longest)

    def _changed(self) -> None:
        if self._screen is not None and self._took is None:
            self._screen.changed()

    def __repr__(self) -> str:
        how = "recording" if self.running else "recorded"
        return f"{how}: {self._picture or self.recorded!r}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return bundle_of(self._picture or self.recorded)
