"""Two users with stored messages: a viewer's token lists the users for whom it may read and write."""

from __future__ import annotations

import os

from aiohttp import web

import rx_sse
from rx_sse.demo.body import fields, new_key
from rx_sse.demo.viewers import PEOPLE


def topic_of(person: str) -> str:
    """The topic of the messages from and to a user."""
    return rx_sse.topic_name("user", person)


class People:
    """The route of the two users.

    Args:
        bus: stores their messages.
        auth: reads a viewer's token.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth) -> None:
        self._bus = bus
        self._auth = auth

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_post("/viewers/{viewer}/send", self.send)

    async def send(self, request: web.Request) -> web.Response:
        """Send a message from one user to the other."""
        signed = await self._auth(request)
        sender, to, text = await fields(request, "from", "to", "text")
        if sender not in signed.claims["people"]:
            raise web.HTTPForbidden(text=f"this page is not signed in as {sender!r}")
        if to not in PEOPLE:
            raise web.HTTPNotFound
        data = {"from": sender, "to": to, "text": str(text)[:500], "process": os.getpid()}
        data["key"] = new_key()
        for person in {sender, to}:
            await self._bus.publish(topic_of(person), data, event=person)
        return web.json_response(data)
