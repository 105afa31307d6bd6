"""The settings of each viewer: the operator of its pipeline, the policy for its slow reader.

A setting is published to a topic, so that it reaches the viewer's stream in any process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.demo.body import fields
from rx_sse.demo.pipeline import OPERATORS
from rx_sse.demo.slow import POLICIES

EVERY = "settings"
"""The topic of all settings."""
CHOICES = {"operator": tuple(OPERATORS), "policy": POLICIES}
FIRST = {"operator": "throttle_latest", "policy": "drop_oldest"}
MOST = 10_000
"""Viewers whose settings are kept; beyond it, the first are forgotten."""

Chosen = dict[str, str]


class Settings:
    """The settings of each viewer.

    Args:
        bus: stores the topics.
        auth: reads a viewer's token.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth) -> None:
        self._bus = bus
        self._auth = auth
        self._chosen: dict[str, Chosen] = {}  # by viewer: the settings for a stream that reconnects

    def add_to(self, app: web.Application) -> None:
        """Add the route, and follow the settings of other processes."""
        app.router.add_post("/viewers/{viewer}/settings", self.choose)
        app.cleanup_ctx.append(self._hear)

    def now(self, viewer: str) -> Chosen:
        """A viewer's settings."""
        return self._chosen.get(viewer, FIRST)

    def of(self, viewer: str) -> rx.Observable[Chosen]:
        """A viewer's settings: now, and whenever they change."""
        return self._bus.topic(_topic_of(viewer)).start_with(self.now(viewer))

    async def choose(self, request: web.Request) -> web.Response:
        """Change one setting of a viewer, while its stream runs."""
        viewer = (await self._auth(request)).user
        name, value = await fields(request, "name", "value")
        if not isinstance(name, str) or name not in CHOICES or value not in CHOICES[name]:
            known = "; ".join(f"{name}: {', '.join(values)}" for name, values in CHOICES.items())
            raise web.HTTPBadRequest(text=f"{name}={value!r} is no setting; there are {known}")
        chosen = {**self.now(viewer), name: value}
        self._remember([viewer, chosen])
        await self._bus.publish(EVERY, [viewer, chosen])
        await self._bus.publish(_topic_of(viewer), chosen)
        return web.json_response(chosen)

    async def _hear(self, _: web.Application) -> AsyncIterator[None]:
        with self._bus.topic(EVERY).subscribe(self._remember, scheduler=rx_sse.LoopScheduler()):
            yield

    def _remember(self, told: Any) -> None:
        viewer, chosen = told
        self._chosen.pop(viewer, None)
        self._chosen[viewer] = chosen
        if len(self._chosen) > MOST:
            del self._chosen[next(iter(self._chosen))]


def _topic_of(viewer: str) -> str:
    return rx_sse.topic_name("settings", viewer)
