"""Who may not open a stream now reads why, and the log has the cause; no client reads what is none of its."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Limits, Principal
from rx_sse.errors import Overloaded
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY

from ..ports import free_port
from .apps import app_of, exchange, streaming

EVENTS = "Accept: text/event-stream"
STATUS = "Accept: */*"


def kim(request: web.Request) -> Principal:
    return Principal(user="kim")


def never() -> rx.Observable[int]:
    return rx.never()


def fails(error: Exception) -> Any:
    def auth(request: web.Request) -> Principal:
        raise error

    return auth


async def refused(url: str) -> tuple[int, str, str]:
    """The status and text that most clients get, and the reason that an EventSource gets."""
    answer = await exchange(url, "GET /", STATUS)
    (event,) = rx_sse.EventParser().feed((await exchange(url, "GET /", EVENTS)).content)
    assert event.type == "stream-reconnect" and event.retry and event.retry >= 1000
    assert int(answer.header("Retry-After") or 0) >= 1
    return answer.status, answer.content.decode(), event.json()["reason"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"connections": 1}, (503, "Too many streams are open; try again later.", "overloaded")),
        (
            {"per_user": 1},
            (429, "You have too many streams open; close one, or try again later.", "overloaded"),
        ),
        (
            {"per_address": 1},
            (429, "Too many streams are open from your address; try again later.", "overloaded"),
        ),
    ],
    ids=str,
)
async def test_a_limit_is_told_as_that_limit(limits: dict[str, int], expected: tuple[int, str, str]) -> None:
    app = app_of(streaming(never, auth=kim, hold_headers=0), limits=Limits(**limits))
    async with serve(app) as url, AsyncExitStack() as stack:
        await stack.enter_async_context(open_stream(url))
        assert await refused(url) == expected


async def test_a_shutdown_is_told_as_a_shutdown() -> None:
    app = app_of(streaming(never))
    async with serve(app) as url:
        app[REGISTRY].closing = True
        assert await refused(url) == (503, "The server is closing; try again later.", "shutdown")


UNKNOWN = (503, "The token cannot be checked at the moment; try again later.", "unavailable")
UNAVAILABLE = (503, "The stream is not available at the moment; try again later.", "unavailable")


async def test_a_redis_that_is_away_is_no_crowd(caplog: pytest.LogCaptureFixture) -> None:
    bus = rx_sse.RedisBus(f"redis://127.0.0.1:{free_port()}")
    async with serve(app_of(streaming(never, auth=kim), bus=bus)) as url:
        assert await refused(url) == UNKNOWN
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("streams")]
    assert said == [
        "streams are refused: the bus has not told yet which tokens are revoked"
    ]  # once, not twice


async def test_an_authenticator_that_cannot_ask_is_no_crowd(caplog: pytest.LogCaptureFixture) -> None:
    error = Overloaded("https://keys.internal does not answer", retry_after=1.0)
    error.__cause__ = ConnectionRefusedError("port 1")
    async with serve(app_of(streaming(never, auth=fails(error)))) as url:
        assert await refused(url) == UNKNOWN
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == "streams are refused: https://keys.internal does not answer"
    assert record.exc_info and isinstance(record.exc_info[1], ConnectionRefusedError)


@pytest.mark.parametrize("early", [True, False], ids=["the handler", "the source"])
async def test_a_source_that_is_overloaded_is_no_crowd(early: bool, caplog: pytest.LogCaptureFixture) -> None:
    error = Overloaded("512 replays are running", retry_after=2.0)
    handler = (
        rx_sse.sse(lambda request: fails(error)(request)) if early else streaming(lambda: rx.throw(error))
    )
    app = app_of(handler)
    async with serve(app) as url:
        assert await refused(url) == UNAVAILABLE
        assert app[REGISTRY].stats().shed == 2
    assert "streams are refused: 512 replays are running" in caplog.text


async def test_one_that_is_overloaded_later_says_so_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    source = rx.concat(rx.of(1), rx.throw(Overloaded("the log has changed")))
    async with serve(app_of(streaming(lambda: source))) as url, open_stream(url) as stream:
        assert await stream.ended()
        told = stream.rest(control=True)[-1]
        assert (told.type, told.json()) == ("stream-reconnect", {"reason": "overloaded"})
    assert "streams are ended for now: the log has changed" in caplog.text
