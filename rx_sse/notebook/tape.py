"""Records the moments of one stream.

Never: more than `MOST` values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc

from rx_sse.reactive import LoopScheduler
from rx_sse.reactive.recording import Kind, Moment

MOST = 100_000
"""Maximal number of values in one recording."""


class Tape:
    """Records the moments of one stream.

    Args:
        stream: the recorded stream.
        n: the number of values after which it ends; None for no limit.
        heard: called after each moment.

    Attributes:
        changed: called after `heard`.
        moments: the moments so far.
        done: a future that is resolved when the recording has ended.
    """

    def __init__(
        self, stream: Observable[Any], n: int | None, heard: Callable[[Moment], None] | None = None
    ) -> None:
        self.changed: Callable[[], None] | None = None
        self.moments: list[Moment] = []
        self.done = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._left = MOST if n is None else n
        self._heard = heard
        self._subscription: abc.DisposableBase | None = None
        self._begin = 0.0

    def start(self, scheduler: LoopScheduler) -> None:
        """Subscribe."""
        self._begin = asyncio.get_running_loop().time()
        subscription = self._stream.subscribe(
            lambda value: self._hear("next", value),
            lambda error: self._hear("error", f"{type(error).__name__}: {error}"),
            lambda: self._hear("completed", None),
            scheduler=scheduler,
        )
        self._subscription = subscription
        if self.done.done():
            self.stop()

    def enough(self) -> None:
        """End the recording."""
        if not self.done.done():
            self.done.set_result(None)
        self.stop()

    def stop(self) -> None:
        """Dispose of the subscription."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()

    def _hear(self, kind: Kind, value: Any) -> None:
        if self.done.done():
            return
        loop = self.done.get_loop()
        moment = Moment(loop.time() - self._begin, kind, value)
        self.moments.append(moment)
        if kind == "next":
            self._left -= 1
        if kind != "next" or self._left <= 0:
            self.enough()
        if self._heard is not None:
            self._heard(moment)
        if self.changed is not None:
            self.changed()
