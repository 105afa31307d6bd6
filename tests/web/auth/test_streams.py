"""Streams guarded by tokens: let in, kept out, shed, and ended with their token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import Observable

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.jwks import JWKS
from rx_sse.web.auth.tickets import Tickets
from rx_sse.web.principal import principal

from .support import (
    INVALID_TOKEN,
    NO_CREDENTIALS,
    OTHER_SECRET,
    SECRET,
    forged,
    issuing,
    jwk,
    keep,
    rsa_key,
    token,
    until,
)

COOKIE = "__Host-session"
LISTED = "https://app.example.com"


def guarded(auth: Callable[..., Any]) -> web.Application:
    """One stream that says who reads it, and goes on."""

    @rx_sse.sse(auth=auth)
    def stream(request: web.Request) -> Observable[str]:
        return rx.never().start_with(principal(request).user)

    app = rx_sse.setup(web.Application(), allow_origins=[LISTED])
    app.router.add_get("/", stream)
    return app


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def auth() -> JWTAuth:
    return JWTAuth(key=SECRET, algorithms="HS256", cookie=COOKIE)


async def test_a_good_token_opens_a_stream_for_its_user(auth: JWTAuth) -> None:
    async with open_stream(guarded(auth), headers=bearer(token(sub="anna"))) as stream:
        assert stream.status == 200
        assert (await stream.next_event()).data == "anna"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_bad_token_opens_none(auth: JWTAuth, method: str) -> None:
    unsigned = forged({"alg": "none"}, {"sub": "7", "exp": 99_999_999_999})
    async with serve(guarded(auth)) as url:
        for headers, challenge in ((bearer(unsigned), INVALID_TOKEN), ({}, NO_CREDENTIALS)):
            async with open_stream(url, method=method, headers=headers) as stream:
                assert stream.status == 401
                assert stream.headers["www-authenticate"] == challenge


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": LISTED}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
        ({}, 200),
        ({"Origin": LISTED}, 200),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_a_cookie_opens_a_stream_for_the_pages_that_setup_lists(
    auth: JWTAuth, page: dict[str, str], status: int
) -> None:
    async with open_stream(guarded(auth), headers={"Cookie": f"{COOKIE}={token()}", **page}) as stream:
        assert stream.status == status
        assert "Origin" in stream.headers["vary"]


async def test_a_scope_that_is_missing_is_403(auth: JWTAuth) -> None:
    async with serve(guarded(auth.require("read"))) as url:
        async with open_stream(url, headers=bearer(token(scope="read"))) as stream:
            assert stream.status == 200
        async with open_stream(url, headers=bearer(token(scope="write"))) as stream:
            assert stream.status == 403
            assert 'error="insufficient_scope", scope="read"' in stream.headers["www-authenticate"]


async def test_a_stream_ends_when_its_token_does(auth: JWTAuth) -> None:
    async with serve(guarded(auth)) as url:
        began = time.time()
        ends = int(began) + 3
        async with open_stream(url, headers=bearer(token(exp=ends))) as stream:
            assert (await stream.next_event()).data == "7"
            last = await stream.next_event(timeout=30, control=True)
            assert last.type == "stream-expired"
            assert await stream.ended()
        # A token that was made for 3 s: 2 to 3 of them are left, as `exp` is whole seconds. Half a second is
        # what it may be late on a machine that is not busy.
        print(f"{time.time() - ends:+.3f} s from its end")
        assert began + 1.5 < time.time() < ends + 10
        async with open_stream(url, headers=bearer(token(exp=int(time.time()) - 1))) as stream:
            assert stream.status == 401


async def test_a_ticket_opens_a_stream(auth: JWTAuth) -> None:
    tickets = Tickets(auth, key=OTHER_SECRET)
    issued: list[str] = []

    async def issue(request: web.Request) -> web.Response:
        issued.append(keep(tickets.issue(await auth(request))))
        return web.Response()

    app = guarded(tickets)
    app.router.add_get("/ticket", issue)
    async with serve(app, access_log=None) as url:
        async with open_stream(url, "/ticket", headers=bearer(token(sub="anna"))) as answer:
            assert answer.status == 200
        async with open_stream(url, f"/?ticket={issued[0]}") as stream:
            assert (await stream.next_event()).data == "anna"
        async with open_stream(url, f"/?ticket={issued[0]}x") as stream:
            assert stream.status == 401


async def test_a_key_that_is_withdrawn_ends_its_streams_and_no_others() -> None:
    a, b = jwk(rsa_key("a"), kid="a"), jwk(rsa_key("b"), kid="b")
    async with issuing(a, b) as issuer:
        auth = JWTAuth(jwks_url=JWKS(issuer.url, refresh=0.1, cooldown=0.05), algorithms="RS256")

        def headers(name: str) -> dict[str, str]:
            return bearer(token(rsa_key(name), "RS256", kid=name, sub=name))

        async with (
            serve(guarded(auth)) as url,
            open_stream(url, headers=headers("a")) as ending,
            open_stream(url, headers=headers("b")) as staying,
        ):
            assert (await ending.next_event()).data == "a"
            assert (await staying.next_event()).data == "b"
            issuer.keys = [b]
            assert (await ending.next_event(timeout=5, control=True)).type == "stream-expired"
            assert await ending.ended()
            async with open_stream(url, headers=headers("b")) as another:
                assert (await another.next_event()).data == "b"
            with pytest.raises(TimeoutError):
                await staying.next_event(timeout=0.3, control=True)
        # With the application its watching has ended too: the issuer is left in peace.
        asked = issuer.asked
        with pytest.raises(TimeoutError):
            await until(lambda: issuer.asked > asked + 1, timeout=0.5)


async def test_without_keys_an_event_source_is_shed_and_others_get_503() -> None:
    async with issuing(jwk(rsa_key(), kid="a")) as issuer:
        issuer.fail()
        jwks = JWKS(issuer.url, cooldown=0.05)
        auth = JWTAuth(jwks_url=jwks, algorithms="RS256")
        headers = bearer(token(rsa_key(), "RS256", kid="a"))
        async with serve(guarded(auth)) as url:
            async with open_stream(url, headers=headers) as stream:
                assert stream.status == 200
                assert await stream.ended()
                assert stream.retry is not None and stream.retry >= 1000
            async with open_stream(url, headers={**headers, "Accept": "*/*"}) as stream:
                assert stream.status == 503
                assert int(stream.headers["retry-after"]) >= 1
            issuer.recover()
            await until(lambda: jwks.retry_after == 0)
            async with open_stream(url, headers=headers) as stream:
                assert (await stream.next_event()).data == "7"
