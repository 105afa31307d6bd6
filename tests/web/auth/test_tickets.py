"""Short tokens in the query: for opening streams, for minutes, and for nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

import jwt
import pytest
from aiohttp import web

from rx_sse.errors import UsageError
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.tickets import Tickets
from rx_sse.web.principal import REVOKED, principal

from .support import (
    INVALID_TOKEN,
    NO_CREDENTIALS,
    OTHER_SECRET,
    REFUSED,
    SECRET,
    Client,
    asking,
    keep,
    token,
    whoami,
)

EVENTS = {"Accept": "text/event-stream"}
COOKIE = "__Host-session"


@pytest.fixture
def auth() -> JWTAuth:
    return JWTAuth(key=SECRET, algorithms="HS256", cookie=COOKIE)


@pytest.fixture
def tickets(auth: JWTAuth) -> Tickets:
    return Tickets(auth, key=OTHER_SECRET, lifetime=120, claims=["tenant", "roles"])


@pytest.fixture
async def client(auth: JWTAuth, tickets: Tickets) -> AsyncGenerator[Client, None]:
    app = whoami(tickets)

    async def issue(request: web.Request) -> web.Response:
        who = await auth(request)
        return web.json_response({"ticket": keep(tickets.issue(who))})

    app.router.add_post("/ticket", issue)
    # A ticket stands in the URL, and so in the access log of any server; that is its price, and not tested
    # away.
    async with asking(app, access_log=None, max_line_size=65_536) as client:
        yield client


async def ticket(client: Client, **claims: Any) -> str:
    trade = Client(vars(client)["_session"], client.url + "ticket")
    status, body, _ = await trade.ask(token(**claims), method="POST")
    assert status == 200
    return body["ticket"]


def made(**claims: Any) -> str:
    """A ticket made by hand, with the secret."""
    now = int(time.time())
    payload = {"sub": "7", "aud": "rx_sse:ticket", "iat": now, "exp": now + 60} | claims
    return keep(jwt.encode({k: v for k, v in payload.items() if v is not None}, OTHER_SECRET, "HS256"))


async def test_a_token_is_traded_for_a_ticket_that_opens_a_stream(client: Client) -> None:
    text = await ticket(client, scope="a b", jti="t-1", exp=int(time.time()) + 600)
    for _ in range(3):  # an EventSource comes back with the same URL
        assert await client.status(query=f"?ticket={text}", **EVENTS) == 200
    _, body, _ = await client.ask(query=f"?ticket={text}", **EVENTS)
    assert (body["user"], body["scopes"], body["carrier"]) == ("7", ["a", "b"], "query")
    assert body["token_id"] == "t-1"  # revoked with the token that it was made from
    assert time.time() + 110 < body["expires_at"] <= time.time() + 120


async def test_it_does_not_outlive_its_token(client: Client) -> None:
    ends = int(time.time()) + 30
    _, body, _ = await client.ask(query=f"?ticket={await ticket(client, exp=ends)}", **EVENTS)
    assert body["expires_at"] == ends


async def test_a_ticket_without_a_named_token_gets_a_name(client: Client) -> None:
    _, body, _ = await client.ask(query=f"?ticket={await ticket(client)}", **EVENTS)
    assert len(body["token_id"]) == 16


async def test_claims_that_were_asked_for_come_along(auth: JWTAuth, tickets: Tickets) -> None:
    seen: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        who = await tickets(request)
        assert principal(request) is who
        seen.append(dict(who.claims))
        return web.json_response({"user": ""})

    async def issue(request: web.Request) -> web.Response:
        return web.json_response({"ticket": keep(tickets.issue(await auth(request)))})

    app = web.Application()
    app.router.add_get("/", handler)
    app.router.add_post("/ticket", issue)
    async with asking(app, access_log=None) as client:
        text = await ticket(client, tenant="blue", roles=[{"name": "x"}], email="secret@example.com")
        await client.ask(query=f"?ticket={text}", **EVENTS)
    assert seen[0]["tenant"] == "blue" and seen[0]["roles"][0]["name"] == "x"
    assert "email" not in seen[0]


async def test_scopes_do_not_multiply_on_the_way(client: Client) -> None:
    text = await ticket(client, scope=["a b", "c"])
    _, body, _ = await client.ask(query=f"?ticket={text}", **EVENTS)
    assert body["scopes"] == ["a b", "c"]


async def test_it_opens_streams_and_nothing_else(client: Client) -> None:
    text = await ticket(client)
    for method, accept in (
        ("GET", "text/html,*/*"),
        ("GET", "application/json"),
        ("HEAD", "text/event-stream"),
        ("POST", "text/event-stream"),
        ("DELETE", "text/event-stream"),
    ):
        status, _, response = await client.ask(method=method, query=f"?ticket={text}", Accept=accept)
        assert status == 401, (method, accept)
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN
    # Not where it was made either, and not where access tokens go.
    trade = Client(vars(client)["_session"], client.url + "ticket")
    assert await trade.status(method="POST", query=f"?ticket={text}") == 401
    assert await client.status(text, **EVENTS) == 401
    assert await client.status(Cookie=f"{COOKIE}={text}", **EVENTS) == 401


@pytest.mark.parametrize("accepts", ["header", "cookie"])
@pytest.mark.parametrize("audience", [None, "chat"])
async def test_with_one_secret_for_both_a_ticket_is_still_no_access_token(
    accepts: str, audience: str | None
) -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256", cookie=COOKIE, audience=audience)
    tickets = Tickets(auth, key=SECRET)
    app = whoami(tickets)
    async with asking(app, access_log=None) as client:
        now = int(time.time())
        text = jwt.encode({"sub": "7", "aud": "rx_sse:ticket", "iat": now, "exp": now + 9}, SECRET, "HS256")
        assert await client.status(query=f"?ticket={text}", **EVENTS) == 200
        sent = {"Authorization": f"Bearer {text}"} if accepts == "header" else {"Cookie": f"{COOKIE}={text}"}
        assert await client.status(**sent, **EVENTS) == 401
        assert await client.status(query=f"?ticket={token(aud=audience)}", **EVENTS) == 401


async def test_bad_tickets_get_the_one_answer(client: Client) -> None:
    now = int(time.time())
    good = made()
    assert await client.status(query=f"?ticket={good}", **EVENTS) == 200
    for name, query in {
        "empty": "?ticket=",
        "an access token": f"?ticket={token()}",
        "an access token with the audience": f"?ticket={token(aud='rx_sse:ticket')}",
        "two": f"?ticket={good}&ticket={good}",
        "for more than tickets": f"?ticket={made(aud=['rx_sse:ticket', 'api'])}",
        "for nobody": f"?ticket={made(aud=None)}",
        "too long a life": f"?ticket={made(exp=now + 130)}",
        "no birth": f"?ticket={made(iat=None)}",
        "no end": f"?ticket={made(exp=None)}",
        "ended": f"?ticket={made(iat=now - 60, exp=now - 1)}",
        "no user": f"?ticket={made(sub='')}",
        "no ASCII": "?ticket=%C3%A9",
        "huge": f"?ticket={made(x='x' * 9000)}",
    }.items():
        status, body, response = await client.ask(query=query, **EVENTS)
        assert (status, body) == (401, REFUSED), name
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN, name


async def test_header_and_cookie_come_first_and_are_not_rescued(client: Client) -> None:
    good = await ticket(client, sub="ticket")
    query = f"?ticket={good}"
    _, body, _ = await client.ask(token(sub="header"), query=query, **EVENTS)
    assert body["user"] == "header"
    _, body, _ = await client.ask(query=query, Cookie=f"{COOKIE}={token(sub='cookie')}", **EVENTS)
    assert body["user"] == "cookie"
    assert await client.status(token(OTHER_SECRET), query=query, **EVENTS) == 401
    assert await client.status(query=query, Cookie=f"{COOKIE}={token(OTHER_SECRET)}", **EVENTS) == 401
    _, body, _ = await client.ask(query=query, **EVENTS)
    assert body["user"] == "ticket"
    # Without a ticket everything is as it is without tickets.
    status, _, response = await client.ask(**EVENTS)
    assert (status, response.headers["WWW-Authenticate"]) == (401, NO_CREDENTIALS)


async def test_a_page_elsewhere_may_use_it_because_no_browser_sends_it_by_itself(client: Client) -> None:
    text = await ticket(client)
    away = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com", **EVENTS}
    assert await client.status(query=f"?ticket={text}", **away) == 200


async def test_it_is_revoked_and_asked_for_scopes_like_a_token(auth: JWTAuth, tickets: Tickets) -> None:
    app = whoami(tickets.require("a"))
    banned = set[str | None]()
    app[REVOKED] = lambda who: who.token_id in banned
    async with asking(app, access_log=None) as client:
        good, other = made(scope=["a"], jti="t-1"), made(scope=["b"], jti="t-2")
        assert await client.status(query=f"?ticket={good}", **EVENTS) == 200
        assert await client.status(query=f"?ticket={other}", **EVENTS) == 403
        banned.add("t-1")
        assert await client.status(query=f"?ticket={good}", **EVENTS) == 401
    tickets.watch(lambda _: None)()


async def test_our_own_log_has_no_ticket_where_the_access_log_is_kept(
    tickets: Tickets, caplog: pytest.LogCaptureFixture
) -> None:
    text = made(aud="other")
    async with asking(whoami(tickets), access_log=logging.getLogger("elsewhere")) as client:
        logging.getLogger("elsewhere").propagate = False
        assert await client.status(query=f"?ticket={text}", **EVENTS) == 401
    assert "GET / was answered 401: the ticket was refused: its aud is none of audience=" in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": "short"}, "too short"),
        ({"lifetime": 0.5}, "lifetime"),
        ({"lifetime": float("inf")}, "lifetime"),
        ({"audience": "chat"}, "one of their own"),
        ({"audience": ""}, "audience=''"),
        ({"query": ""}, "query=''"),
        ({"claims": ["sub"]}, "the ticket's own"),
        ({"claims": ["scope", "exp"]}, "the ticket's own"),
    ],
)
def test_what_is_not_safe_does_not_start(options: dict[str, Any], why: str) -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256", audience=["mail", "chat"])
    given: dict[str, Any] = {"key": SECRET} | options
    with pytest.raises(UsageError, match=why):
        Tickets(auth, **given)
