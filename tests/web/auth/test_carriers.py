"""Where a token may stand, which one counts, and what a cookie needs besides."""

from __future__ import annotations

from itertools import product

import pytest
from aiohttp import web
from multidict import CIMultiDict

from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.credentials import MAX_TOKEN, Credential, find_credential

from .support import INVALID_TOKEN, NO_CREDENTIALS, SECRET, asking, forged, send, serving, token, whoami

COOKIE = "__Host-session"
LISTED = "https://app.example.com"


@pytest.fixture
def auth() -> JWTAuth:
    return JWTAuth(key=SECRET, algorithms="HS256", cookie=COOKIE)


def bad() -> str:
    return forged({"alg": "HS256"}, {"sub": "7", "exp": 99_999_999_999}, b"x" * 32)


# Origin of the page → headers, and whether a cookie may act from there on a GET and on a POST.
PAGES: dict[str, tuple[dict[str, str], bool, bool]] = {
    "our own": ({"Sec-Fetch-Site": "same-origin"}, True, True),
    "the address bar": ({"Sec-Fetch-Site": "none"}, True, True),
    "listed": ({"Sec-Fetch-Site": "cross-site", "Origin": LISTED}, True, True),
    "a stranger": ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False, False),
    "a stranger's link": ({"Sec-Fetch-Site": "cross-site"}, False, False),
    "a sibling": ({"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example.com"}, False, False),
    "a sandbox": ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, False, False),
    "a program": ({}, True, False),
    "listed, an old browser": ({"Origin": LISTED}, True, True),
    "a stranger, an old browser": ({"Origin": "https://evil.example"}, False, False),
    "a sandbox, an old browser": ({"Origin": "null"}, False, False),
}
# What is in the header, what is in the cookie → who decides, and what about it.
TOKENS = [
    (None, None, None, 401),
    ("good", None, "header", 200),
    ("bad", None, "header", 401),
    (None, "good", "cookie", 200),
    (None, "bad", "cookie", 401),
    ("good", "good", "header", 200),
    ("good", "bad", "header", 200),
    ("bad", "good", "header", 401),
    ("bad", "bad", "header", 401),
]


async def test_carrier_by_origin(auth: JWTAuth) -> None:
    """Every carrier from every kind of page: a header may come from anywhere, a cookie may not."""
    text = {"good": token(), "bad": bad()}
    asked = 0
    async with asking(whoami(auth, allow_origins=(LISTED,))) as client:
        for page, (header, cookie, decides, status), method in product(PAGES, TOKENS, ("GET", "POST")):
            headers, may_get, may_post = PAGES[page]
            if decides == "cookie" and not (may_get if method == "GET" else may_post):
                status = 403
            sent = dict(headers)
            if cookie is not None:
                sent["Cookie"] = f"theme=dark; {COOKIE}={text[cookie]}"
            got, body, response = await client.ask(header and text[header], method=method, **sent)
            assert got == status, (page, header, cookie, method)
            if got == 200:
                assert body["carrier"] == decides
            elif got == 401:
                expected = NO_CREDENTIALS if decides is None else INVALID_TOKEN
                assert response.headers["WWW-Authenticate"] == expected
                assert response.headers["Vary"] == "Origin"
            else:
                assert body == "403: Forbidden"
                assert "WWW-Authenticate" not in response.headers
                assert response.headers["Vary"] == "Origin"
            asked += 1
    assert asked == 11 * 9 * 2


async def test_a_page_that_may_not_act_costs_nothing_and_counts_against_nobody(auth: JWTAuth) -> None:
    async with asking(auth) as client:
        stranger = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        assert await client.status(Cookie=f"{COOKIE}={token()}", **stranger) == 403
        assert await client.status(Cookie=f"{COOKIE}={bad()}", **stranger) == 403
    assert auth.stats().verified == auth.stats().refused == 0


async def test_without_a_cookie_configured_none_is_looked_at() -> None:
    async with asking(JWTAuth(key=SECRET, algorithms="HS256")) as client:
        status, _, response = await client.ask(Cookie=f"{COOKIE}={token()}")
        assert status == 401
        assert response.headers["WWW-Authenticate"] == NO_CREDENTIALS


async def test_no_access_token_in_the_query(auth: JWTAuth) -> None:
    async with serving(whoami(auth), access_log=None) as url, asking(auth) as client:
        client.url = url + "/"
        for name in ("access_token", "token", "ticket", "authorization", "jwt"):
            status, _, response = await client.ask(query=f"?{name}={token()}")
            assert status == 401
            assert response.headers["WWW-Authenticate"] == NO_CREDENTIALS


async def test_the_list_of_origins_is_found_from_a_sub_application(auth: JWTAuth) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response((await auth(request)).user)

    inner = web.Application()
    inner.router.add_get("/", handler)
    outer = whoami(auth, allow_origins=(LISTED,))
    outer.add_subapp("/inner", inner)
    async with asking(outer) as client:
        client.url += "inner/"
        cookie = f"{COOKIE}={token()}"
        assert await client.status(Cookie=cookie, Origin=LISTED) == 200
        assert await client.status(Cookie=cookie, Origin="https://evil.example") == 403


def find(*lines: tuple[str, str], cookie: str | None = COOKIE) -> Credential | None:
    return find_credential(CIMultiDict(lines), cookie)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], None),
        ([("Authorization", "Bearer abc")], ("header", "abc")),
        ([("Authorization", "bEARER abc")], ("header", "abc")),
        ([("Authorization", "Bearer   abc ")], ("header", "abc")),
        ([("Authorization", "Bearer")], ("header", None)),
        ([("Authorization", "Bearer ")], ("header", None)),
        ([("Authorization", "Bearerabc")], None),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer a")], ("header", None)),
        ([("Authorization", "Bearer é")], ("header", None)),
        ([("Authorization", "Bearer \udce9")], ("header", None)),
        ([("Authorization", "Bearer " + "a" * MAX_TOKEN)], ("header", "a" * MAX_TOKEN)),
        ([("Authorization", "Bearer " + "a" * (MAX_TOKEN + 1))], ("header", None)),
        ([("Authorization", "Basic abc")], None),
        ([("Authorization", "Basic abc"), ("Cookie", f"{COOKIE}=abc")], ("cookie", "abc")),
        ([("Authorization", "Basic abc"), ("Authorization", "Bearer abc")], ("header", "abc")),
        ([("Authorization", "Bearer"), ("Cookie", f"{COOKIE}=abc")], ("header", None)),
        ([("Cookie", f"{COOKIE}=abc")], ("cookie", "abc")),
        ([("Cookie", f"a=b;{COOKIE}=abc;c=d")], ("cookie", "abc")),
        ([("Cookie", f'a=b;  {COOKIE} = "abc" ; c')], ("cookie", "abc")),
        ([("Cookie", "a=b"), ("Cookie", f"{COOKIE}=abc")], ("cookie", "abc")),
        ([("Cookie", f"{COOKIE}=abc; {COOKIE}=def")], ("cookie", None)),
        ([("Cookie", f"{COOKIE}=abc"), ("Cookie", f"{COOKIE}=def")], ("cookie", None)),
        ([("Cookie", f"{COOKIE}=; {COOKIE}=abc")], ("cookie", "abc")),
        ([("Cookie", f"{COOKIE}=")], None),
        ([("Cookie", f"{COOKIE}")], None),
        ([("Cookie", "")], None),
        ([("Cookie", f"x{COOKIE}=abc; {COOKIE}x=abc; {COOKIE.lower()}=abc")], None),
        ([("Cookie", f"{COOKIE}=é")], ("cookie", None)),
        ([("Cookie", f"{COOKIE}={'a' * 9000}")], ("cookie", None)),
    ],
)
def test_what_is_found(lines: list[tuple[str, str]], found: tuple[str, str | None] | None) -> None:
    credential = find(*lines)
    assert (None if credential is None else (credential.carrier, credential.token)) == found


def test_a_credential_does_not_show_its_token() -> None:
    assert repr(find(("Authorization", "Bearer abcdef"))) == "Credential(carrier='header')"


async def test_odd_headers_on_a_socket(auth: JWTAuth) -> None:
    text = token().encode()
    async with serving(whoami(auth), max_field_size=65_536) as url:
        assert (await send(url, b"Authorization: Bearer " + text))[0] == 200
        assert (await send(url, b"Cookie: " + COOKIE.encode() + b"=" + text))[0] == 200
        for lines in (
            [b"Authorization: Bearer " + text, b"Authorization: Bearer " + text],
            [b"Authorization: Bearer " + text[:-1] + b"\xe9"],
            [b"Authorization: Bearer " + text + b"\xff\xfe"],
            [b"Authorization: Bearer ", b"Cookie: " + COOKIE.encode() + b"=" + text],
            [b"Authorization: Bearer " + b"A" * 60_000],
            [b"Cookie: " + COOKIE.encode() + b"=" + b"A" * 60_000],
        ):
            assert await send(url, *lines) == (401, b"401: Unauthorized"), lines[0][:40]
