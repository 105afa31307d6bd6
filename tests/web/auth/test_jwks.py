"""An issuer that publishes its keys, and rotates them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web

from rx_sse.web.principal import Principal

from .support import (
    INVALID_TOKEN,
    A,
    B,
    Issuer,
    asking,
    by,
    ec_key,
    issuing,
    jwk,
    jwks_of,
    keep,
    pem,
    rsa_key,
    token,
    trusting,
    until,
    with_signature,
)

# -- the good days -------------------------------------------------------------------------------------------


async def test_the_first_request_fetches_and_the_others_share_it(issuer: Issuer) -> None:
    auth = trusting(issuer)
    async with asking(auth) as client:
        users = await asyncio.gather(*(client.user(by("a", sub=str(n))) for n in range(50)))
        assert users == [str(n) for n in range(50)]
        assert issuer.asked == 1


async def test_another_key_under_a_known_name_is_refused_without_asking(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.001)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        for _ in range(5):
            assert await client.status(by("a", "b")) == 401
        assert issuer.asked == 1


async def test_an_algorithm_that_is_not_allowed_is_refused_without_asking(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.001)
    async with asking(auth) as client:
        assert await client.status(token(ec_key(), "ES256", kid="x")) == 401
        assert await client.status(token(kid="x")) == 401
        assert issuer.asked == 0


async def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """HS256 with the published key as the secret, in every form in which an attacker could have it."""
    auth = trusting(issuer)
    header = {"alg": "HS256", "kid": "a"}
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        for secret in (pem(rsa_key("a")), json.dumps(A), A["n"]):
            bare = jwt.encode({"sub": "7", "exp": int(time.time()) + 60}, "x" * 32, headers=header).rsplit(
                ".", 1
            )[0]
            assert await client.status(with_signature(bare, secret)) == 401


async def test_a_key_is_used_for_what_it_says_only() -> None:
    async with issuing(jwk(rsa_key("a"), kid="a", alg="RS256"), jwk(rsa_key("b"), kid="b")) as issuer:
        auth = trusting(issuer, algorithms=["RS256", "PS256"], cooldown=0.001)
        async with asking(auth) as client:
            assert await client.status(by("a")) == 200
            assert await client.status(token(rsa_key("a"), "PS256", kid="a")) == 401
            assert await client.status(token(rsa_key("b"), "PS256", kid="b")) == 200
            assert await client.status(token(rsa_key("b"), "RS384", kid="b")) == 401
            assert issuer.asked == 1


async def test_keys_of_one_name_and_tokens_without_one() -> None:
    async with issuing(
        jwk(rsa_key("a"), kid="x"), jwk(rsa_key("b"), kid="x"), jwk(ec_key(), kid="y")
    ) as issuer:
        auth = trusting(issuer, algorithms=["RS256", "ES256"], cooldown=0.001)
        async with asking(auth) as client:
            for name in ("a", "b"):
                assert await client.status(by("x", name)) == 200
                assert await client.status(by(None, name)) == 200
            assert await client.status(token(ec_key(), "ES256")) == 200
            assert await client.status(by("x", "c")) == 401
            assert await client.status(by(None, "c")) == 401


async def test_no_address_from_a_token_is_asked(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.001)
    async with issuing(jwk(rsa_key("evil"), kid="evil")) as evil, asking(auth) as client:
        now = int(time.time())
        payload = {"sub": "7", "iat": now - 60, "exp": now + 60}
        for header in ({"jku": evil.url}, {"x5u": evil.url}, {"jwk": jwk(rsa_key("evil"))}):
            for kid in ("a", "evil"):
                text = keep(jwt.encode(payload, rsa_key("evil"), "RS256", headers={"kid": kid, **header}))
                assert await client.status(text) == 401
        assert evil.asked == 0


# -- rotation ------------------------------------------------------------------------------------------------


async def test_a_new_key_is_fetched_once_for_all_who_bring_it(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.05)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        issuer.keys = [A, B]
        await until(lambda: jwks_of(auth).retry_after == 0)
        users = await asyncio.gather(*(client.user(by("b", sub=str(n))) for n in range(30)))
        assert users == [str(n) for n in range(30)]
        assert issuer.asked == 2


async def test_a_storm_of_unknown_keys_asks_once_per_cool_down(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=30.0)
    async with asking(auth) as client:
        long_ago = int(time.time()) - 600
        storm = [by(f"x{n}", "b", iat=long_ago) for n in range(100)]
        statuses = await asyncio.gather(*(client.status(text) for text in storm))
        assert set(statuses) == {401}
        assert await client.user(by("a")) == "7"
        assert issuer.asked == 1


async def test_a_token_newer_than_our_copy_is_not_called_bad_during_the_cool_down(issuer: Issuer) -> None:
    """401 would end an EventSource for good, and the issuer may have rotated a moment ago."""
    auth = trusting(issuer, cooldown=30.0)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        issuer.keys = [A, B]
        status, body, response = await client.ask(by("b"))
        assert (status, body) == (503, "503: Service Unavailable")
        assert 1 <= int(response.headers["Retry-After"]) <= 30
        assert await client.status(by("b", iat=int(time.time()) - 60)) == 401
        assert await client.status(by("b", iat=None)) == 503
        assert issuer.asked == 1


async def test_after_the_cool_down_the_issuer_has_the_last_word(issuer: Issuer) -> None:
    auth = trusting(issuer, cooldown=0.05)
    async with asking(auth) as client:
        assert await client.user(by("a")) == "7"
        issuer.keys = [A, B]
        await until(lambda: jwks_of(auth).retry_after == 0)
        assert await client.status(by("b")) == 200
        for iat in (None, int(time.time())):
            await until(lambda: jwks_of(auth).retry_after == 0)
            status, _, response = await client.ask(by("c", iat=iat))
            assert status == 401
            assert response.headers["WWW-Authenticate"] == INVALID_TOKEN


async def test_a_withdrawn_key_clears_the_cache_and_is_told_to_who_watches(issuer: Issuer) -> None:
    auth = trusting(issuer, refresh=0.2, cooldown=0.05)
    other = trusting(issuer)
    principals: dict[str, Principal] = {}

    async def remember(request: web.Request) -> Principal:
        who = await auth(request)
        principals[who.user] = who
        return who

    async with asking(remember) as client:
        a, b = by("a", sub="anna"), by("b", sub="bert")
        assert await client.user(a) == "anna"
        issuer.keys = [A, B]  # the set changes under anna's feet; her key does not
        await until(lambda: client.says(200, b))
        voucher = principals["anna"].voucher
        assert await client.user(a) == await client.user(a) == "anna"
        assert principals["anna"].voucher is voucher
        assert auth.stats().cached == 2
        told: list[Callable[[Principal], bool]] = []
        dispose = auth.watch(told.append)
        issuer.keys = [jwk(rsa_key("a"), kid="a", x5t="changed"), B]  # not another key
        asked = issuer.asked
        await until(lambda: issuer.asked >= asked + 2)
        hits = auth.stats().hits
        assert await client.user(a) == "anna"
        assert not told and auth.stats().hits == hits + 1
        issuer.keys = [B]
        await until(lambda: bool(told))  # nobody asks for anything: the watching keeps the keys fresh
        assert [told[0](principals[name]) for name in ("anna", "bert")] == [True, False]
        assert not told[0](Principal("anna"))
        async with asking(other) as elsewhere:
            await elsewhere.ask(b)
        # Newer than our copy, as the token is, its key might be a new one: until the next fetch says no.
        assert await client.status(a) in (401, 503)
        await until(lambda: client.says(401, a))
        assert await client.user(b) == "bert"
        assert jwks_of(auth).stats().withdrawn == 1
        dispose()
        dispose()
        asked = issuer.asked
        await asyncio.sleep(0.4)
        assert issuer.asked == asked
    await auth.close()


async def test_a_cached_token_does_not_keep_the_keys_from_being_refreshed(issuer: Issuer) -> None:
    auth = trusting(issuer, refresh=0.1, cooldown=0.05)
    async with asking(auth) as client:
        text = by("a")
        assert await client.user(text) == "7"
        issuer.keys = [B]
        await until(lambda: client.says(401, text))
    await auth.close()


async def test_one_watcher_that_raises_does_not_silence_the_next(issuer: Issuer) -> None:
    auth = trusting(issuer, refresh=0.05, cooldown=0.01)
    told: list[object] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def fail(_: object) -> None:
        raise RuntimeError("mine")

    auth.watch(fail)
    auth.watch(told.append)
    await until(lambda: issuer.asked > 0)
    issuer.keys = [B]
    await until(lambda: bool(told))
    assert [str(c["exception"]) for c in complaints] == ["mine"]
    await auth.close()
