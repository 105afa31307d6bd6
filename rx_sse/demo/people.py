"""Two people whose messages are kept: who may read and write them says a short token in a cookie.

A page is a viewer. Its token names the viewer (`sub`) and the people for whom it may read and write; the
cookie belongs to the viewer's own path, so that two tabs never share a token.
"""

from __future__ import annotations

import os
import re
import secrets
import time

import jwt
from aiohttp import web

import rx_sse
from rx_sse.demo.body import fields
from rx_sse.web.registry import registry_of

PEOPLE = ("ada", "ben")
COOKIE = "rx_sse_demo"
VIEWER = re.compile(r"[0-9a-f]{32}")
LIFE = 60
"""Seconds that a token is good for, unless the page asks for another life."""


def topic_of(person: str) -> str:
    """Where the messages from and to a person are."""
    return rx_sse.topic_name("user", person)


class People:
    """The routes of the two people.

    Args:
        bus: what carries their messages.
        secret: what tokens are signed with; the same for all processes of a demo.

    Attributes:
        auth: reads a viewer's token.
    """

    def __init__(self, bus: rx_sse.Bus, secret: str | None = None) -> None:
        self._bus = bus
        self._secret = secret or secrets.token_urlsafe(32)
        self.auth = rx_sse.JWTAuth(key=self._secret, algorithms="HS256", cookie=COOKIE, insecure_http=True)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/viewers", self.sign_in)
        app.router.add_post("/viewers/{viewer}/sign-in", self.sign_in)
        app.router.add_post("/viewers/{viewer}/send", self.send)
        app.router.add_post("/viewers/{viewer}/cut", self.cut)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Give a viewer, new or known by its unguessable name, a token for so many seconds."""
        viewer = request.match_info.get("viewer") or secrets.token_hex(16)
        wanted = request.query.get("seconds", "")
        seconds = min(300, max(3, int(wanted))) if re.fullmatch("[0-9]{1,4}", wanted) else LIFE
        if not VIEWER.fullmatch(viewer):
            raise web.HTTPNotFound
        now = int(time.time())
        claims = {"sub": viewer, "people": PEOPLE, "iat": now, "exp": now + seconds}
        claims["jti"] = secrets.token_hex(8)
        response = web.json_response({"viewer": viewer, "seconds": seconds})
        response.set_cookie(
            COOKIE,
            jwt.encode(claims, self._secret, algorithm="HS256"),
            path=f"/viewers/{viewer}",
            httponly=True,
            samesite="Strict",
            max_age=seconds,
        )
        return response

    async def send(self, request: web.Request) -> web.Response:
        """Send a message from one person to another."""
        signed = await self.auth(request)
        sender, to, text = await fields(request, "from", "to", "text")
        if sender not in signed.claims["people"]:
            raise web.HTTPForbidden(text=f"this page is not signed in as {sender!r}")
        if to not in PEOPLE:
            raise web.HTTPNotFound
        data = {"from": sender, "to": to, "text": str(text)[:500], "process": os.getpid()}
        for person in {sender, to}:
            await self._bus.publish(topic_of(person), data, event=person)
        return web.json_response(data)

    async def cut(self, request: web.Request) -> web.Response:
        """Cut the connection of this viewer, as a bad network does."""
        viewer = (await self.auth(request)).user
        streams = [
            s for s in registry_of(request).streams if s.principal is not None and s.principal.user == viewer
        ]
        for stream in streams:
            stream.connection.abort()
        return web.json_response({"cut": len(streams)})
