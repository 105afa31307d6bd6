"""The bus factory of a check of `check_bus`.

Never: a bus that is left open.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from rx_sse.bus.bus import Bus

MakeBus = Callable[..., Bus | Awaitable[Bus]]


class Bench:
    """Makes buses and topics for a check.

    Args:
        make_bus: see `check_bus`.
    """

    def __init__(self, make_bus: MakeBus) -> None:
        self._make_bus = make_bus

    @asynccontextmanager
    async def bus(self, **options: Any) -> AsyncIterator[Bus]:
        """A started bus."""
        made = self._make_bus(**options)
        bus = await made if inspect.isawaitable(made) else made
        async with bus:
            yield bus

    def topic(self) -> str:
        """A new topic name."""
        return f"check:{os.urandom(6).hex()}"
