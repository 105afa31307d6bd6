"""What a request carries: headers, tokens, bodies; through redirects; and what never shows."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
from yarl import URL

from rx_sse.client import EventSource
from rx_sse.errors import ConnectionFailed, UsageError

from ..conformance.endpoint import Endpoint, Site, listening
from .seen import Seen


async def test_headers_replace_what_is_sent_otherwise(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, headers={"accept": "text/event-stream, application/json", "X-Key": "é"})
    visit = await endpoint.visit()
    assert visit.headers.getall("Accept") == ["text/event-stream, application/json"]
    assert visit.headers.getall("Cache-Control") == ["no-cache"]
    assert visit.headers["X-Key"].encode("utf-8", "surrogateescape") == "é".encode()
    seen.subscription.dispose()


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        ("é", "é".encode(), "text/plain; charset=utf-8"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'.encode(), "application/json"),
        ("", b"", "text/plain; charset=utf-8"),
        (None, b"", None),
    ],
)
async def test_bodies(endpoint: Endpoint, body: Any, sent: bytes, kind: str | None) -> None:
    """The same on every attempt."""
    seen = Seen(endpoint.url, method="post", body=body, retry=0, reconnect=True)
    for _ in range(2):
        visit = await endpoint.stream()
        assert (visit.method, visit.body, visit.headers.get("Content-Type")) == ("POST", sent, kind)
        await visit.send("data: x\n\n")
        visit.end()
    seen.subscription.dispose()


async def test_a_large_body_and_a_content_type_of_one_s_own(endpoint: Endpoint) -> None:
    body = {"image": "x" * 5_000_000}
    seen = Seen(endpoint.url, method="POST", body=body, headers={"Content-Type": "application/vnd.x+json"})
    visit = await endpoint.visit()
    assert visit.headers.getall("Content-Type") == ["application/vnd.x+json"]
    assert json.loads(visit.body) == body
    seen.subscription.dispose()


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"[1]"), (308, "POST", b"[1]")],
)
async def test_redirects_of_a_post(site: Site, status: int, method: str, body: bytes) -> None:
    first, second = site.endpoint(), site.endpoint()
    seen = Seen(first.url, method="POST", body=[1])
    await (await first.visit()).answer(status, {"Location": second.url})
    visit = await second.visit()
    assert (visit.method, visit.body) == (method, body)
    seen.subscription.dispose()


async def test_a_redirect_to_another_origin_loses_the_token_and_one_within_keeps_it(site: Site) -> None:
    async with listening(Site()) as elsewhere:
        first, second, third = site.endpoint(), site.endpoint(), elsewhere.endpoint()
        seen = Seen(first.url, token="secret", last_event_id="7", headers={"Cookie": "a=b"})
        await (await first.visit()).answer(302, {"Location": second.url})
        visit = await second.visit()
        assert visit.headers["Authorization"] == "Bearer secret"
        await visit.answer(302, {"Location": third.url})
        visit = await third.visit()
        assert "Authorization" not in visit.headers
        assert "Cookie" not in visit.headers
        assert visit.headers["Last-Event-ID"] == "7"
        seen.subscription.dispose()


async def test_every_attempt_begins_at_the_original_url_with_the_token(site: Site) -> None:
    async with listening(Site()) as elsewhere:
        first, second = site.endpoint(), elsewhere.endpoint()
        seen = Seen(first.url, token="secret", retry=0)
        for _ in range(2):
            visit = await first.visit()
            assert visit.headers["Authorization"] == "Bearer secret"
            await visit.answer(301, {"Location": second.url})
            stream = await second.stream()
            await stream.send("data: x\n\n")
            stream.end()
        seen.subscription.dispose()


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_a_token_function_is_asked_before_every_attempt(endpoint: Endpoint, kind: str) -> None:
    tokens = iter(["one", "two", "three"])

    async def later() -> str:
        await asyncio.sleep(0)
        return next(tokens)

    seen = Seen(endpoint.url, token=later if kind != "function" else lambda: next(tokens), retry=0)
    for token in ("one", "two", "three"):
        stream = await endpoint.stream()
        assert stream.headers["Authorization"] == f"Bearer {token}"
        await stream.send("data: x\n\n")
        stream.end()
    seen.subscription.dispose()


async def test_network_trouble_in_the_token_function_is_retried(endpoint: Endpoint) -> None:
    attempts = 0

    def token() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ConnectionResetError("the login service is restarting")
        return "t"

    seen = Seen(endpoint.url, token=token, retry=0)
    assert (await endpoint.stream()).headers["Authorization"] == "Bearer t"
    assert [state.failures for state in seen.states] == [0, 1, 2]
    seen.subscription.dispose()


@pytest.mark.parametrize("token", ["", "a\r\nX: y", 7, b"bytes", None])
async def test_a_token_that_is_none_ends_the_stream_and_is_not_shown(endpoint: Endpoint, token: Any) -> None:
    seen = Seen(endpoint.url, token=lambda: token)
    await seen.end()
    assert isinstance(seen.error, UsageError)
    assert "X: y" not in str(seen.error)
    assert endpoint.visits == []


async def test_what_a_token_function_raises_otherwise_ends_the_stream(endpoint: Endpoint) -> None:
    def token() -> str:
        raise LookupError("no such user")

    seen = Seen(endpoint.url, token=token)
    await seen.end()
    assert isinstance(seen.error, LookupError)
    assert seen.course == ["connecting", "closed"]


async def test_user_and_password_of_the_url_are_used(endpoint: Endpoint) -> None:
    url = URL(endpoint.url).with_user("ada").with_password("secret")
    seen = Seen(str(url))
    visit = await endpoint.visit()
    assert visit.headers["Authorization"] == "Basic YWRhOnNlY3JldA=="
    seen.subscription.dispose()


async def test_no_secret_is_shown(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    url = URL(endpoint.url).with_user("ada").with_password("s3cret").with_query(key="s3cret")
    with caplog.at_level(logging.DEBUG, logger="rx_sse"):
        seen = Seen(str(url), headers={"X-Key": "s3cret"}, body="s3cret")
        EventSource(endpoint.url, token="s3cret", reconnect=False).subscribe(on_error=lambda _: None)
        for _ in range(2):
            await (await endpoint.visit()).answer(403, {})
        await seen.end()
        await asyncio.sleep(0.01)
    shown = f"{seen.source!r} {seen.states} {seen.error!r} {caplog.text}"
    assert "403" in caplog.text
    assert "s3cret" not in shown


async def test_a_session_of_one_s_own_is_used_and_stays_open(endpoint: Endpoint) -> None:
    async with aiohttp.ClientSession(headers={"X-From": "session"}, raise_for_status=True) as session:
        seen = Seen(endpoint.url, session=session)
        stream = await endpoint.stream()
        assert stream.headers["X-From"] == "session"
        seen.subscription.dispose()
        await seen.until("closed")
        assert not session.closed
        refused = Seen(endpoint.url, session=session)
        await (await endpoint.visit()).answer(404, {})
        await refused.end()
        assert isinstance(refused.error, ConnectionFailed)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"last-event-id": "7"}},
        {"headers": {"X-Key": "a\nb"}},
        {"headers": {"X Key\r\n": "a"}},
        {"token": "a", "headers": {"authorization": "Bearer b"}},
        {"last_event_id": "a\nb"},
        {"read_timeout": 0},
        {"headers": ["X-Key: a"]},
        {"headers": {"X-Key": 7}},
        {"last_event_id": 7},
        {"method": "GET /"},
        {"method": ""},
        {"method": None},
        {"read_timeout": float("nan")},
        {"read_timeout": 10**400},
        {"read_timeout": "5"},
        {"max_event_size": 0},
        {"max_event_size": float("nan")},
        {"max_event_size": None},
        {"reconnect": "always"},
        {"session": 7},
        {"on_state": 7},
        {"on_comment": "print"},
    ],
)
def test_what_cannot_work_is_refused_at_construction(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        EventSource("http://127.0.0.1/", **options)


@pytest.mark.parametrize("retry", [-1, True, 1.5, "3", 2**31])
def test_a_retry_that_is_none_is_refused(retry: Any) -> None:
    with pytest.raises(ValueError, match="retry"):
        EventSource("http://127.0.0.1/", retry=retry)


def test_a_body_that_is_no_json_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="cannot be sent as JSON"):
        EventSource("http://127.0.0.1/", body={"a": object()})


def test_user_and_token_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="once"):
        EventSource("http://ada:x@127.0.0.1/", token="t")
