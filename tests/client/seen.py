"""What a test sees of a client: events, states, the end, each awaited and none by the clock."""

from __future__ import annotations

import asyncio
from typing import Any

from reactivex.abc import DisposableBase

from rx_sse.client import ConnectionState, EventSource
from rx_sse.wire.event import ServerSentEvent

PATIENCE = 20.0


class Seen:
    """An observer of an `EventSource`, subscribed to it."""

    def __init__(self, url: str, **options: Any) -> None:
        self.states: list[ConnectionState] = []
        self.events: list[ServerSentEvent] = []
        self.error: Exception | None = None
        self.completed = False
        self.ended = asyncio.Event()
        self._news: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
        self._told: asyncio.Queue[ConnectionState] = asyncio.Queue()
        self.source = EventSource(url, on_state=self._on_state, **options)
        self.subscription: DisposableBase = self.source.subscribe(
            self._on_next, self._on_error, self._on_completed
        )

    def _on_state(self, state: ConnectionState) -> None:
        self.states.append(state)
        self._told.put_nowait(state)

    def _on_next(self, event: ServerSentEvent) -> None:
        self.events.append(event)
        self._news.put_nowait(event)

    def _on_error(self, error: Exception) -> None:
        self.error = error
        self.ended.set()

    def _on_completed(self) -> None:
        self.completed = True
        self.ended.set()

    async def event(self) -> ServerSentEvent:
        """The next event."""
        async with asyncio.timeout(PATIENCE):
            return await self._news.get()

    async def state(self) -> ConnectionState:
        """The next state."""
        async with asyncio.timeout(PATIENCE):
            return await self._told.get()

    async def until(self, state: str) -> ConnectionState:
        """The next state of that name."""
        while (found := await self.state()).state != state:
            pass
        return found

    async def end(self) -> None:
        """Completion, or an error."""
        async with asyncio.timeout(PATIENCE):
            await self.ended.wait()

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events]

    @property
    def course(self) -> list[str]:
        """The names of the states, in order."""
        return [state.state for state in self.states]
