"""A browser as a viewer: its identity, and the users for whom it may read and write.

All tabs of a browser share one cookie with the viewer's name, and so one stream. The token, in a cookie of
its own, contains the viewer (`sub`) and the users for whom it may read and write.
"""

from __future__ import annotations

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
VIEWER_COOKIE = "rx_sse_demo_viewer"
VIEWER = re.compile(r"[0-9a-f]{32}")
VIEWER_LIFE = 30 * 86_400
"""Lifetime of the cookie with the viewer's name, in seconds."""
LIFE = 60
"""Lifetime of a token in seconds, unless the page requests less."""
LEAST = 1
"""Seconds of remaining life that an existing token must have to be kept."""


class Viewers:
    """The routes by which a page becomes a viewer, and breaks its own connection.

    Args:
        secret: the secret that signs tokens; the same for all processes of a demo.

    Attributes:
        auth: reads a viewer's token.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._secret = secret or secrets.token_urlsafe(32)
        self.auth = rx_sse.JWTAuth(key=self._secret, algorithms="HS256", cookie=COOKIE, insecure_http=True)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/viewers", self.sign_in)
        app.router.add_post("/viewers/{viewer}/token", self.shorten)
        app.router.add_post("/viewers/{viewer}/cut", self.cut)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Give the browser's viewer a token, unless it has one. The viewer is identified by its unguessable
        name, in a cookie; a browser without the cookie becomes a new viewer.
        """
        viewer = request.cookies.get(VIEWER_COOKIE, "")
        if not VIEWER.fullmatch(viewer):
            viewer = secrets.token_hex(16)
        left = self._left(request, viewer)
        if left <= LEAST:
            return self._signed(viewer, LIFE)
        return web.json_response({"viewer": viewer, "seconds": left})

    async def shorten(self, request: web.Request) -> web.Response:
        """Replace a viewer's token by one of a few seconds."""
        viewer = (await self.auth(request)).user
        (seconds,) = await fields(request, "seconds")
        if type(seconds) is not int or not 3 <= seconds <= LIFE:
            raise web.HTTPBadRequest(text=f"seconds={seconds!r} is no integer from 3 to {LIFE}")
        return self._signed(viewer, seconds)

    def _left(self, request: web.Request, viewer: str) -> int:
        """The remaining life of the token in the cookie, in seconds, if it is this viewer's."""
        try:
            claims = jwt.decode(request.cookies.get(COOKIE, ""), self._secret, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return 0
        return int(claims["exp"] - time.time()) if claims["sub"] == viewer else 0

    def _signed(self, viewer: str, seconds: int) -> web.Response:
        now = int(time.time())
        claims = {"sub": viewer, "people": PEOPLE, "iat": now, "exp": now + seconds}
        claims["jti"] = secrets.token_hex(8)
        token = jwt.encode(claims, self._secret, algorithm="HS256")
        response = web.json_response({"viewer": viewer, "seconds": seconds})
        for name, value, life in ((COOKIE, token, seconds), (VIEWER_COOKIE, viewer, VIEWER_LIFE)):
            response.set_cookie(name, value, path="/viewers", httponly=True, samesite="Strict", max_age=life)
        return response

    async def cut(self, request: web.Request) -> web.Response:
        """Cut the connection of this viewer, as a bad network does."""
        viewer = (await self.auth(request)).user
        streams = [
            s for s in registry_of(request).streams if s.principal is not None and s.principal.user == viewer
        ]
        for stream in streams:
            stream.connection.abort()
        return web.json_response({"cut": len(streams)})
