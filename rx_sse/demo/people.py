"""Two people with a stream each: signed in by a short token in a cookie, resuming where they broke."""

from __future__ import annotations

import os
import secrets
import time

import jwt
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.web.edge import edge_of

PEOPLE = ("ada", "ben")
COOKIE = "rx_sse_demo"


class People:
    """The routes of the two people.

    Args:
        bus: what carries their messages.
        secret: what their tokens are signed with; the same for all processes of a demo.
    """

    def __init__(self, bus: rx_sse.Bus, secret: str | None = None) -> None:
        self._bus = bus
        self._secret = secret or secrets.token_urlsafe(32)
        auth = rx_sse.JWTAuth(key=self._secret, algorithms="HS256", cookie=COOKIE, insecure_http=True)
        self._auth = auth
        self.events = rx_sse.sse(auth=auth, retry=3000)(self._events)

    def add_to(self, app: web.Application) -> None:
        """Add the routes; each person has a path of its own, and the cookie belongs to it."""
        app.router.add_post("/people/{name}/sign-in", self.sign_in)
        app.router.add_get("/people/{name}/events", self.events)
        app.router.add_post("/people/{name}/send", self.send)
        app.router.add_post("/people/{name}/cut", self.cut)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Give `name` a token for so many seconds."""
        name = request.match_info["name"]
        seconds = min(300, max(3, int(request.query.get("seconds", "60"))))
        if name not in PEOPLE:
            raise web.HTTPNotFound
        now = int(time.time())
        claims = {"sub": name, "iat": now, "exp": now + seconds, "jti": secrets.token_hex(8)}
        response = web.json_response({"user": name, "seconds": seconds})
        response.set_cookie(
            COOKIE,
            jwt.encode(claims, self._secret, algorithm="HS256"),
            path=f"/people/{name}",
            httponly=True,
            samesite="Strict",
            max_age=seconds,
        )
        return response

    def _events(self, request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        mine = rx_sse.topic_name("user", rx_sse.principal(request).user)
        return self._bus.events(mine, after=rx_sse.last_event_id(request), last=20)

    async def send(self, request: web.Request) -> web.Response:
        """Send a message from the one who is signed in to another."""
        sender = await self._auth(request)
        message = await request.json()
        if message["to"] not in PEOPLE:
            raise web.HTTPNotFound
        data = {
            "from": sender.user,
            "to": message["to"],
            "text": str(message["text"])[:500],
            "process": os.getpid(),
        }
        for user in {sender.user, message["to"]}:
            await self._bus.publish(rx_sse.topic_name("user", user), data)
        return web.json_response(data)

    async def cut(self, request: web.Request) -> web.Response:
        """Cut the connections of the one who is signed in, as a bad network does."""
        user = (await self._auth(request)).user
        streams = [
            s for s in edge_of(request).streams if s.principal is not None and s.principal.user == user
        ]
        for stream in streams:
            stream.connection.abort()
        return web.json_response({"cut": len(streams)})
