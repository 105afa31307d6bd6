"""What a token was issued for, and revocation, in ordinary handlers."""

from __future__ import annotations

import pytest
from aiohttp import web

from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.principal import REVOKED, Principal

from .support import (
    INVALID_TOKEN,
    NO_CREDENTIALS,
    SECRET,
    asking,
    forged,
    issuing,
    jwk,
    rsa_key,
    token,
    whoami,
)


@pytest.fixture
def auth() -> JWTAuth:
    return JWTAuth(key=SECRET, algorithms="HS256", cookie="__Host-session")


async def test_all_scopes_are_needed_and_named_in_the_refusal(auth: JWTAuth) -> None:
    async with asking(auth.require("events:read", "chat")) as client:
        assert await client.user(token(scope="chat other events:read")) == "7"
        for scope in ("chat", "events:read", "", "events:readx chat", "EVENTS:READ CHAT"):
            status, body, response = await client.ask(token(scope=scope))
            assert (status, body) == (403, "403: Forbidden")
            assert (
                response.headers["WWW-Authenticate"]
                == 'Bearer realm="rx_sse", error="insufficient_scope", scope="chat events:read"'
            )
            assert response.headers["Cache-Control"] == "no-store"


async def test_who_is_nobody_is_told_that_first(auth: JWTAuth) -> None:
    async with asking(auth.require("a")) as client:
        for text, challenge in (
            (None, NO_CREDENTIALS),
            (forged({"alg": "HS256"}, {"sub": "7", "exp": 99_999_999_999, "scope": "a"}), INVALID_TOKEN),
        ):
            status, _, response = await client.ask(text)
            assert (status, response.headers["WWW-Authenticate"]) == (401, challenge)


async def test_requirements_add_up_and_leave_the_first_as_it_was(auth: JWTAuth) -> None:
    both = auth.require("a").require("b")
    async with asking(auth) as plain, asking(auth.require("a")) as one, asking(both) as two:
        for scope, expected in (
            ("", (200, 403, 403)),
            ("a", (200, 200, 403)),
            ("b", (200, 403, 403)),
            ("a b", (200, 200, 200)),
        ):
            text = token(scope=scope)
            assert tuple([await client.status(text) for client in (plain, one, two)]) == expected
    assert auth.stats().verified == 4  # one cache


@pytest.mark.parametrize("scopes", [(), ("",), ("a b",), ('a"',), ("a\\b",), ("a\r\nb",), ("é",), (7,)])
def test_what_is_no_scope_is_refused(auth: JWTAuth, scopes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="scope"):
        auth.require(*scopes)


async def test_a_requirement_passes_on_what_the_issuer_takes_back() -> None:
    async with issuing(jwk(rsa_key(), kid="a")) as issuer:
        auth = JWTAuth(jwks_url=issuer.url, algorithms="RS256")
        dispose = auth.require("a").watch(lambda _: None)
        await auth.start()
        assert issuer.asked == 1
        dispose()
        await auth.close()


async def test_a_fixed_key_is_never_taken_back(auth: JWTAuth) -> None:
    auth.watch(lambda _: None)()
    async with auth:
        pass


async def test_a_revoked_token_is_refused_in_ordinary_handlers_also_from_the_cache(auth: JWTAuth) -> None:
    banned = set[str | None]()
    app = whoami(auth)
    app[REVOKED] = lambda who: who.token_id in banned
    async with asking(app) as client:
        a, b = token(jti="a"), token(jti="b")
        assert await client.status(a) == await client.status(b) == 200
        banned.add("a")
        status, body, response = await client.ask(a)
        assert (status, body, response.headers["WWW-Authenticate"]) == (
            401,
            "401: Unauthorized",
            INVALID_TOKEN,
        )
        assert await client.status(b) == 200
        banned.clear()
        assert await client.status(a) == 200


async def test_the_outermost_application_knows_who_is_revoked(auth: JWTAuth) -> None:
    inner, outer = whoami(auth), web.Application()
    inner[REVOKED] = lambda _: False
    outer[REVOKED] = lambda who: who.user == "banned"
    outer.add_subapp("/inner", inner)
    async with asking(outer) as client:
        client.url += "inner/"
        assert await client.status(token()) == 200
        assert await client.status(token(sub="banned")) == 401


async def test_while_revocations_are_unknown_nobody_is_let_in_and_nobody_refused(auth: JWTAuth) -> None:
    def unknown(_: Principal) -> bool:
        raise Overloaded("not loaded", retry_after=3.2)

    app = whoami(auth)
    app[REVOKED] = unknown
    async with asking(app) as client:
        status, _, response = await client.ask(token())
        assert (status, response.headers["Retry-After"]) == (503, "4")
        assert await client.status() == 401


async def test_middlewares_and_handlers_see_the_same_principal(auth: JWTAuth) -> None:
    app = web.Application()

    async def handler(request: web.Request) -> web.Response:
        first = await auth(request)
        assert await auth(request) is first
        return web.json_response(first.user)

    app.router.add_get("/", handler)
    async with asking(app) as client:
        assert (await client.ask(token()))[1] == "7"
