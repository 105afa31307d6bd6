"""An issuer that fails, hangs and lies; and the life of the object that asks it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from rx_sse.errors import Overloaded
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.challenge import Unavailable
from rx_sse.web.auth.jwks import MAX_DOCUMENT
from rx_sse.web.principal import Principal

from .support import (
    A,
    B,
    Issuer,
    asking,
    by,
    issuing,
    jwk,
    jwks_of,
    rsa_key,
    trusting,
    until,
)

# -- the bad days --------------------------------------------------------------------------------------------

# What the issuer does → and what the log says of it, in our words.
LIES: dict[str, tuple[Callable[[Issuer], None], str]] = {
    "a failure": (lambda i: i.fail(), "status 500"),
    "a page": (lambda i: i.lie(b"<html>login</html>", headers={"Content-Type": "text/html"}), "no JSON"),
    "nothing": (lambda i: i.lie(b"", 204), "status 204"),
    "no JSON": (lambda i: i.lie(b"{"), "no JSON"),
    "no set": (lambda i: i.lie(b"[]"), "not a JWK Set"),
    "no keys": (lambda i: i.lie(b'{"keys": []}'), "a JWK Set without a usable key"),
    "no usable keys": (
        lambda i: i.lie(json.dumps({"keys": [jwk(rsa_key("a"), use="enc")]}).encode()),
        "a JWK Set without a usable key",
    ),
    "a secret": (
        lambda i: i.lie(json.dumps({"keys": [{"kty": "oct", "kid": "a", "k": "QUFB"}]}).encode()),
        "a JWK Set without a usable key",
    ),
    "a pit": (lambda i: i.lie(b"[" * 100_000), "no JSON"),
    "no UTF-8": (lambda i: i.lie(b'{"keys": "\xff"}'), "no JSON"),
    "an endless number": (lambda i: i.lie(b'{"keys": ' + b"1" * 10_000 + b"}"), "no JSON"),
    "too much": (
        lambda i: i.lie(json.dumps({"keys": [A], "x": "x" * MAX_DOCUMENT}).encode()),
        f"more than {MAX_DOCUMENT} bytes",
    ),
    "too much, packed": (
        lambda i: i.lie(gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}),
        f"more than {MAX_DOCUMENT} bytes",
    ),
    "no gzip": (lambda i: i.lie(b"xxxx", headers={"Content-Encoding": "gzip"}), "ClientPayloadError"),
    "a redirect": (lambda i: i.lie(b"", 302, {"Location": "/elsewhere"}), "status 302"),
    "a permanent redirect": (lambda i: i.lie(b"", 308, {"Location": "/elsewhere"}), "status 308"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_no_key_set_changes_nothing(
    issuer: Issuer, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    auth = trusting(issuer, cooldown=0.02)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        LIES[lie][0](issuer)
        await until(lambda: jwks_of(auth).retry_after == 0)
        status, _, response = await client.ask(by("b"))  # asks, and gets the lie
        assert status == 503 and int(response.headers["Retry-After"]) >= 1
        assert issuer.asked == 2
        assert await client.user(by("a", sub="8")) == "8"
        issuer.keys.append(B)
        issuer.recover()
        await until(lambda: jwks_of(auth).retry_after == 0)
        assert await client.user(by("b")) == "7"
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == [f"the key set of 127.0.0.1 was not refreshed: {LIES[lie][1]}"]


@pytest.mark.parametrize("lie", LIES)
async def test_whoever_never_had_keys_says_come_back_and_not_go_away(issuer: Issuer, lie: str) -> None:
    auth = trusting(issuer, cooldown=0.05)
    LIES[lie][0](issuer)
    async with asking(auth) as client:
        for _ in range(3):
            status, body, response = await client.ask(by("a"))
            assert (status, body) == (503, "503: Service Unavailable")
            assert response.headers["Retry-After"] == "1"
            assert "WWW-Authenticate" not in response.headers
        issuer.recover()
        await until(lambda: jwks_of(auth).retry_after == 0)
        assert await client.user(by("a")) == "7"


async def test_an_issuer_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing(A) as gone:
        pass
    auth = trusting(gone)
    async with asking(auth) as client:
        status, _, response = await client.ask(by("a"))
        assert status == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 10
        assert await client.status() == 401
        assert await client.status("nonsense") == 401
    assert "was not refreshed: ClientConnectorError" in caplog.text


async def test_unavailable_is_an_overload_to_a_stream(issuer: Issuer) -> None:
    issuer.fail()
    auth = trusting(issuer)
    raised: list[BaseException] = []

    async def handler(request: web.Request) -> web.Response:
        try:
            await auth(request)
        except Overloaded as error:
            raised.append(error)
            raise
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    async with asking(app) as client:
        assert await client.status(by("a")) == 503
    (error,) = raised
    assert isinstance(error, Unavailable)
    assert 1.0 <= error.retry_after <= 10.0
    assert error.__context__ is None


async def test_an_issuer_that_hangs_holds_up_nobody_with_a_known_key(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.01, timeout=2.0)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        issuer.hang()
        await until(lambda: jwks_of(auth).retry_after == 0)
        unknown = asyncio.create_task(client.status(by("b")))
        await issuer.hanging.wait()
        for n in range(10):
            assert await client.user(by("a", sub=f"u{n}")) == f"u{n}"
        assert not unknown.done()
        assert await unknown == 503
        assert issuer.asked == 2


async def test_a_client_that_leaves_does_not_end_the_fetch_of_the_others(issuer: Issuer) -> None:
    good = issuer.handle
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        issuer.answer = None
        issuer.hanging.set()
        await released.wait()
        issuer.asked -= 1
        return await good(request)

    issuer.answer = answer
    auth = trusting(issuer)
    # The test server's way, in which the handler of a client that leaves is cancelled.
    async with asking(auth, handler_cancellation=True) as client:
        leaver = asyncio.create_task(client.status(by("a")))
        await issuer.hanging.wait()
        other = asyncio.create_task(client.user(by("a")))
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        await asyncio.sleep(0.05)
        released.set()
        assert await other == "7"
        assert issuer.asked == 1


async def test_an_issuer_that_drips_is_given_up(issuer: Issuer) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    issuer.answer = drip
    auth = trusting(issuer, timeout=0.3)
    async with asking(auth) as client:
        began = time.monotonic()
        assert await client.status(by("a")) == 503
        assert 0.25 < time.monotonic() - began < 4


async def test_an_outage_that_outlasts_max_age_ends_the_old_keys(issuer: Issuer) -> None:
    auth = trusting(issuer, refresh=0.1, cooldown=0.05, max_age=1.5)
    who: list[Principal] = []

    async def remember(request: web.Request) -> Principal:
        who.append(await auth(request))
        return who[-1]

    async with asking(remember) as client:
        text = by("a")
        assert await client.user(text) == "7"
        issuer.fail()
        began = time.monotonic()
        told: list[Callable[[Principal], bool]] = []
        auth.watch(told.append)
        assert await client.user(text) == "7"
        await until(lambda: bool(told))
        assert time.monotonic() - began > 1.0
        assert told[0](who[0])
        assert await client.status(text) == 503
        issuer.recover()
        await until(lambda: client.says(200, text))
    await auth.close()


# -- its life ------------------------------------------------------------------------------------------------


def fetching() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("rx_sse")]


async def test_start_fetches_ahead_and_close_leaves_nothing(issuer: Issuer) -> None:
    async with trusting(issuer, refresh=0.1, cooldown=0.05) as auth:
        assert issuer.asked == 1
        issuer.keys = [A, B]
        await until(lambda: issuer.asked >= 3)
        async with asking(auth) as client:
            assert await client.user(by("b")) == "7"
    asked = issuer.asked
    await asyncio.sleep(0.3)
    assert issuer.asked == asked
    assert not fetching()


async def test_close_ends_a_fetch_that_hangs(issuer: Issuer) -> None:
    issuer.hang()
    auth = trusting(issuer, timeout=60)
    async with asking(auth) as client:
        waiting = asyncio.create_task(client.status(by("a")))
        await issuer.hanging.wait()
        await auth.close()
        assert await waiting == 503
        await auth.close()
        assert not fetching()


async def test_an_issuer_down_at_the_start_does_not_keep_the_application_from_starting(
    issuer: Issuer,
) -> None:
    issuer.fail()
    async with trusting(issuer, cooldown=0.05) as auth, asking(auth) as client:
        assert await client.status(by("a")) == 503
        issuer.recover()
        await until(lambda: (jwks := auth.stats().jwks) is not None and jwks.keys == 1)
        assert await client.user(by("a")) == "7"


def test_one_object_lives_through_several_loops() -> None:
    """At module level, as a program has it; each test of that program has a loop of its own."""
    auths: list[JWTAuth] = []

    async def run() -> None:
        async with issuing(A) as issuer:
            if not auths:
                auths.append(trusting(issuer, cooldown=0.001))
            auth = auths[0]
            jwks_of(auth).url = URL(issuer.url)
            auth.watch(lambda _: None)
            async with asking(auth) as client:
                assert await client.user(by("a")) == "7"
                issuer.keys = [A, B]
                await until(lambda: client.says(200, by("b")))
                issuer.keys = [A]
                await until(lambda: jwks_of(auth).retry_after == 0)
                await until(lambda: client.says(401, by("c")))

    asyncio.run(run())
    asyncio.run(run())


async def test_a_fetch_of_another_loop_is_not_waited_for(issuer: Issuer) -> None:
    auth = trusting(issuer, timeout=60)
    issuer.hang()
    here = asyncio.create_task(jwks_of(auth).ask())
    await issuer.hanging.wait()
    issuer.recover()
    await asyncio.to_thread(asyncio.run, jwks_of(auth).ask())
    assert jwks_of(auth).stats().keys == 1
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
    assert not here.done()
    (hanging,) = fetching()
    hanging.cancel()
    await here
