"""A page without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from rx_sse.demo.application import PACKAGE, make_app
from rx_sse.testing import open_stream, serve

SAME = {"Sec-Fetch-Site": "same-origin"}


class Viewer:
    """A page without a browser: signed in, with its cookie."""

    def __init__(self, url: str, name: str, cookie: str) -> None:
        self.url = url
        self.name = name
        self.path = f"/viewers/{name}"
        self.headers = {**SAME, "Cookie": f"rx_sse_demo={cookie}"}

    @classmethod
    async def sign_in(cls, url: str, name: str = "") -> Viewer:
        """A new viewer, or the one of that name with a new token."""
        headers = {**SAME, "Cookie": f"rx_sse_demo_viewer={name}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{url}/viewers") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return cls(url, (await answer.json())["viewer"], answer.cookies["rx_sse_demo"].value)

    def stream(self, **headers: str) -> Any:
        """The page's one stream."""
        return open_stream(self.url, f"{self.path}/events", headers={**self.headers, **headers})

    def job(self, topic: str, **headers: str) -> Any:
        """The stream of a job."""
        return open_stream(self.url, f"{self.path}/job/{topic}", headers={**self.headers, **headers})

    async def get(self, route: str, status: int = 200) -> str:
        """Read what the page does."""
        async with aiohttp.ClientSession(headers=self.headers) as session:
            async with session.get(f"{self.url}{self.path}/{route}") as answer:
                assert answer.status == status, await answer.text()
                return await answer.text()

    async def post(self, route: str, body: Any = None, status: int = 200) -> str:
        """Press one of the page's buttons."""
        path = route if route.startswith("/") else f"{self.path}/{route}"
        async with aiohttp.ClientSession(headers=self.headers) as session:
            async with session.post(self.url + path, json=body) as answer:
                text = await answer.text()
                assert answer.status == status, text
                return text


@asynccontextmanager
async def demo(folder: Path = PACKAGE, pause: float = 0.0) -> AsyncIterator[str]:
    """The demo's address."""
    async with serve(make_app(folder=folder, pause=pause)) as url:
        yield url


async def next_of(stream: Any, kind: str) -> Any:
    while True:
        event = await stream.next_event()
        if event.type == kind:
            return event.json()
