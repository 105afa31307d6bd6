"""The log of a 401 or a 403: one line with the reason in words, and never the token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.refusals import AT_ONCE, MAX_KINDS, PAUSE, Refusals
from rx_sse.web.auth.tickets import Tickets

from .support import OTHER_SECRET, SECRET, forged, token, with_signature

COOKIE = "__Host-session"
AUTH = JWTAuth(key=SECRET, algorithms="HS256", cookie=COOKIE)


def numbered() -> str:
    """A token as NestJS's guide has it signed, with a number in `sub`."""
    bare = forged({"alg": "HS256", "typ": "JWT"}, {"sub": 7, "exp": int(time.time()) + 60}).rsplit(".", 1)[0]
    return with_signature(bare, SECRET)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def nobody(request: web.Request) -> None:
    return None


async def raising(request: web.Request) -> rx_sse.Principal:
    raise web.HTTPForbidden


FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
CASES: dict[str, tuple[Any, Callable[[], dict[str, str]], int, str]] = {
    "nothing": (
        AUTH,
        dict,
        401,
        f"no Authorization: Bearer header and no cookie '{COOKIE}'",
    ),
    "another scheme": (
        AUTH,
        lambda: {"Authorization": "Basic YTpi"},
        401,
        f"an Authorization header of another scheme than Bearer and no cookie '{COOKIE}'",
    ),
    "no exp": (
        AUTH,
        lambda: bearer(token(exp=None)),
        401,
        "the token was refused: it has no exp, which is required",
    ),
    "a number": (
        AUTH,
        lambda: bearer(numbered()),
        401,
        "the token was refused: its sub is a number, and RFC 7519 wants a text: sign the user's id as a "
        "string",
    ),
    "expired": (
        AUTH,
        lambda: bearer(token(exp=int(time.time()) - 30)),
        401,
        "the token was refused: it expired 30 s ago",
    ),
    "a foreign page": (
        AUTH,
        lambda: {"Cookie": f"{COOKIE}={token()}", **FOREIGN},
        403,
        "a cookie, sent for a page of 'https://evil.example', which is not in setup(allow_origins=…)",
    ),
    "a scope": (
        AUTH.require("orders:read", "orders:write"),
        lambda: bearer(token(scope="orders:write")),
        403,
        "the token lacks the scope 'orders:read'",
    ),
    "a ticket": (
        Tickets(AUTH, key=OTHER_SECRET, query="t"),
        lambda: bearer(token(OTHER_SECRET)),
        401,
        "the token was refused: its signature does not fit the key",
    ),
    "None": (nobody, dict, 401, "auth=nobody returned None"),
    "raised": (raising, dict, 403, "auth=raising raised it"),
}


def guarded(auth: Any) -> web.Application:
    app = rx_sse.setup(web.Application())
    app.router.add_get("/stream", rx_sse.sse(auth=auth)(lambda request: rx.never()))
    return app


@pytest.mark.parametrize("case", CASES)
async def test_a_refusal_has_one_line_with_its_reason(case: str, caplog: pytest.LogCaptureFixture) -> None:
    auth, headers, status, reason = CASES[case]
    async with open_stream(guarded(auth), "/stream?secret=s3cr3t", headers=headers()) as stream:
        assert stream.status == status
        assert reason.encode() not in await stream.body(), "the client is not told"
    (line,) = [r for r in caplog.records if r.name == "rx_sse.web.auth"]
    said = line.getMessage().replace("31 s ago", "30 s ago")
    assert (line.levelno, said) == (logging.INFO, f"GET /stream was answered {status}: {reason}")


async def test_a_token_in_the_query_is_not_taken_and_the_way_out_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_stream(guarded(AUTH), "/stream?token=abcdefghijklmnopqrst") as stream:
        assert stream.status == 401
    assert "a token in the query is not taken" in caplog.text
    assert "abcdefghijklmnopqrst" not in "".join(r.getMessage() for r in caplog.records if "rx_sse" in r.name)


async def test_a_flood_of_bad_tokens_is_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(guarded(JWTAuth(key=SECRET, algorithms="HS256"))) as url:
        for n in range(AT_ONCE + 7):
            async with open_stream(url, "/stream", headers=bearer(token(exp=int(time.time()) - 10 - n))):
                pass
    lines = [r for r in caplog.records if r.name == "rx_sse.web.auth"]
    assert [r.levelno for r in lines] == [logging.INFO] * AT_ONCE + [logging.DEBUG] * 7


async def test_what_was_left_out_is_counted_in_the_next_line(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)

    async def refuse(request: web.Request) -> web.Response:
        nonlocal now
        for _ in range(AT_ONCE + 3):
            refusals.tell(request, 401, "expired")
        now += PAUSE
        caplog.clear()
        refusals.tell(request, 401, "expired")
        refusals.tell(request, 401, "another")
        assert [r.getMessage() for r in caplog.records] == [
            "GET /a was answered 401: expired (3 more like it since the last line)",
            "GET /a was answered 401: another",
        ]
        for n in range(3 * MAX_KINDS):
            refusals.tell(request, 401, str(n))
        return web.Response()

    app = web.Application()
    app.router.add_get("/a", refuse)
    async with serve(app) as url, aiohttp.ClientSession() as session, session.get(url + "/a") as answer:
        assert answer.status == 200
    assert len(refusals) <= MAX_KINDS
