"""The tokens that were verified: bounded, by fingerprint, until they end."""

from __future__ import annotations

import pytest

from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.cache import TokenCache, fingerprint
from rx_sse.web.principal import Principal

from .support import SECRET, asking, forged, token


def test_it_holds_no_token() -> None:
    cache = TokenCache()
    cache.put(fingerprint("header", "the-token-itself"), Principal("7"))
    assert cache.get(fingerprint("header", "the-token-itself"), 0.0) == Principal("7")
    assert "the-token-itself" not in repr([getattr(cache, name) for name in TokenCache.__slots__])


def test_what_has_ended_is_gone() -> None:
    cache = TokenCache()
    mark = fingerprint("header", "a")
    cache.put(mark, Principal("7", expires_at=100.0))
    assert cache.get(mark, 99.9) is not None
    assert cache.get(mark, 100.0) is None
    assert len(cache) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = TokenCache(size=3)
    marks = [fingerprint("header", str(n)) for n in range(4)]
    for mark in marks[:3]:
        cache.put(mark, Principal("7"))
    cache.get(marks[0], 0.0)
    cache.put(marks[3], Principal("7"))
    assert [cache.get(mark, 0.0) is not None for mark in marks] == [True, False, True, True]
    assert len(cache) == 3


def test_one_token_in_two_carriers_is_two_principals() -> None:
    assert fingerprint("header", "a") != fingerprint("cookie", "a")


async def test_a_token_is_verified_once() -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256", cookie="__Host-session")
    async with asking(auth) as client:
        text = token()
        for _ in range(5):
            assert (await client.ask(text))[1]["carrier"] == "header"
            assert (await client.ask(Cookie=f"__Host-session={text}"))[1]["carrier"] == "cookie"
    stats = auth.stats()
    assert (stats.verified, stats.hits, stats.cached, stats.refused) == (2, 8, 2, 0)


async def test_bad_tokens_take_no_room() -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256")
    async with asking(auth) as client:
        for n in range(20):
            text = forged({"alg": "HS256"}, {"sub": str(n), "exp": 99_999_999_999}, b"x" * 32)
            assert await client.status(text) == 401
    assert auth.stats().cached == 0
    assert auth.stats().refused == 20


@pytest.mark.parametrize("change", ["first character", "last character", "a dot more"])
async def test_nothing_but_the_very_token_is_found(change: str) -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256")
    text = token()
    changed = {"first character": "f" + text[1:], "last character": text[:-1], "a dot more": text + "."}[
        change
    ]
    async with asking(auth) as client:
        assert await client.status(text) == 200
        assert await client.status(changed) == 401
        assert await client.status(text) == 200
