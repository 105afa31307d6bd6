"""Every vector of web-platform-tests, with the ready states that only the client can tell of."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from rx_sse.client import EventSource
from rx_sse.errors import ConnectionFailed, UsageError

from ..conformance.endpoint import Endpoint, Site
from ..conformance.vectors import Vector, content, messages, of_kind
from .seen import Seen

Split = Callable[[bytes], list[bytes]]


def by(size: int) -> Split:
    return lambda whole: [whole[start : start + size] for start in range(0, len(whole), size)]


def at_random(whole: bytes) -> list[bytes]:
    chance = random.Random(len(whole))
    cuts = sorted(chance.sample(range(len(whole)), min(6, len(whole))))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


SPLITS: dict[str, Split] = {
    "whole": lambda whole: [whole],
    "by 1": by(1),
    "by 2": by(2),
    "by 3": by(3),
    "at random": at_random,
}


def name(vector: Vector) -> str:
    return vector["name"]


@pytest.mark.parametrize("vector", of_kind("stream"), ids=name)
async def test_stream(site: Site, vector: Vector) -> None:
    """Each vector as it came and in every split, all at once: the same events, ids and reconnection time."""
    whole = b"".join(content(vector["chunks"]))
    ways = {"as it came": content(vector["chunks"])} | {how: split(whole) for how, split in SPLITS.items()}

    async def one(how: str, pieces: list[bytes]) -> None:
        endpoint = site.endpoint()
        seen = Seen(endpoint.url, retry=0)
        visit = await endpoint.stream()
        await visit.send(*(piece for piece in pieces if piece))
        events = [await seen.event() for _ in vector["expected"]]  # before the stream ends
        visit.end()
        await seen.until("open")
        lost = await seen.until("connecting")
        found = [{"type": e.type, "data": e.data, "lastEventId": e.last_event_id} for e in events]
        assert (how, found, len(seen.events)) == (how, vector["expected"], len(events))
        assert lost.last_event_id == vector["last_event_id"]
        if vector["retry"] != "any":
            retry = vector["retry"] or 0
            assert retry <= lost.delay * 1000 <= max(retry * 1.25, 200), how
        seen.subscription.dispose()

    await asyncio.gather(*(one(how, pieces) for how, pieces in ways.items()))


@pytest.mark.parametrize("vector", of_kind("http"), ids=name)
async def test_http(site: Site, endpoint: Endpoint, vector: Vector) -> None:
    seen = Seen(endpoint.url)
    visit = await endpoint.visit()
    for header, value in vector.get("expected_request_headers", {}).items():
        assert visit.headers.getall(header) == [value]
    response = vector["response"]
    if "location" in response:
        target = site.endpoint()
        await visit.answer(response["status"], {"Location": target.url})
        visit = await target.stream()
        await visit.send("data: data\n\n")
        assert (await seen.event()).data == "data"
        assert seen.course == ["connecting", "open"]
        assert (seen.states[-1].url, seen.source.url) == (target.url, endpoint.url)
    elif vector["outcome"] == "open":
        await visit.open(headers=response["headers"])
        await visit.send(response["body"])
        assert (await seen.event()).data == response["body"].strip("\n").removeprefix("data: ")
        assert seen.course == ["connecting", "open"]
    else:
        await visit.answer(response["status"], response["headers"], response["body"].encode())
        await seen.end()
        assert seen.course == ["connecting", "closed"]
        assert seen.events == []
        assert seen.states[-1].status == response["status"]
        assert len(endpoint.visits) == 1
        # For a browser 204 is a failure like the others. Here it completes: it is how a server says that all
        # is said, and nobody wants an error for that.
        assert isinstance(seen.error, ConnectionFailed) != (response["status"] == 204)
        assert seen.completed == (response["status"] == 204)
    seen.subscription.dispose()


def marked(vector: Vector) -> object:
    """Those that wait for seconds are slow here: tests/conformance has each in the default run."""
    waits = [step.get("after_previous_open_ms", (0, 0)) for step in vector["expected_steps"]]
    slow = any(shortest >= 2000 for shortest, _ in waits)
    return pytest.param(vector, id=name(vector), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("vector", [marked(vector) for vector in of_kind("reconnect")])
async def test_reconnect(endpoint: Endpoint, vector: Vector) -> None:
    loop = asyncio.get_running_loop()
    steps: list[dict[str, Any]] = []

    async def serve() -> None:
        for response in vector["responses"]:
            visit = await endpoint.visit()
            value = visit.headers.get("Last-Event-ID")
            # aiohttp reads headers with surrogates for what is not ASCII.
            raw = None if value is None else value.encode("utf-8", "surrogateescape")
            steps.append({"request": raw and raw.decode()})
            await visit.open(response["status"], response["headers"])
            if response["body"]:
                await visit.send(response["body"])
            visit.end()

    serving = asyncio.create_task(serve())
    seen = Seen(endpoint.url)
    opened: list[float] = []
    wanted = [step for step in vector["expected_steps"] if "quiet_ms" not in step]
    events = sum(messages(response["body"]) for response in vector["responses"])
    for step in wanted:
        if "message" in step:
            event = await seen.event()
            got = {"type": event.type, "data": event.data, "lastEventId": event.last_event_id}
            assert got == step["message"]
        elif "open" in step:
            await seen.until("open")
            opened.append(loop.time())
            if "after_previous_open_ms" in step:
                shortest, longest = step["after_previous_open_ms"]
                assert shortest <= (opened[-1] - opened[-2]) * 1000 <= longest
        elif step.get("readyState") == "CONNECTING":
            await seen.until("connecting")
        elif step.get("readyState") == "CLOSED":
            await seen.until("closed")
    await serving
    assert len(seen.events) == events
    requests = [step["request"]["Last-Event-ID"] for step in wanted if "request" in step]
    sent = [step["request"] for step in steps]
    assert requests == sent[-len(requests) :] if requests else set(sent) == {None}
    seen.subscription.dispose()
    if "quiet_ms" in vector["expected_steps"][-1]:
        assert seen.completed
        await asyncio.sleep(vector["expected_steps"][-1]["quiet_ms"] / 1000)
        assert len(endpoint.visits) == len(vector["responses"])


# The kind `api` is not data. What a client outside of a browser can have of it has a test below.

IN_A_BROWSER_ONLY = {
    "wpt/dedicated-worker eventsource-close2": "there are no workers here",
    "wpt/eventsource-constructor-document-domain": "there is no document",
    "wpt/eventsource-constructor-empty-url": "there is no document whose URL an empty one could mean",
    "wpt/eventsource-constructor-stringify": "a URL is a str or a yarl.URL; anything else is a mistake here",
    "wpt/eventsource-constructor-url-multi-window": "there are no frames",
    "wpt/eventsource-constructor-no-new": "Python has no `new`",
    "wpt/eventsource-cross-origin": "no origin of ours, so nothing is cross-origin",
    "wpt/eventsource-cross-origin fails": "no origin of ours, so no CORS",
    "wpt-pr49257/eventsource-cross-origin-preflight": "no origin of ours, so no preflight",
    "wpt/request-credentials": "no origin of ours; cookies belong to the session",
    "wpt/eventsource-request-cancellation": "there is no window to stop; dispose() is in test_observable.py",
    "wpt/eventsource-bfcache": "there is no back/forward cache",
    "wpt/eventsource-onmessage-trusted": "events have no isTrusted",
    "wpt/eventsource-onmessage-realm": "there are no realms",
    "wpt/eventsource-prototype": "there are no prototypes",
    "wpt/interfaces (old file)": "there is no IDL",
}


async def test_ready_state(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    visit = await endpoint.visit()
    assert seen.course == ["connecting"]
    await visit.open()
    assert (await seen.until("open")).state == "open"
    seen.subscription.dispose()
    assert (await seen.until("closed")).reason == "closed by the subscriber"
    assert seen.course == ["connecting", "open", "closed"]


@pytest.mark.parametrize(
    "url", ["ftp://example.not/", "about:blank", "mailto:whatwg@example.org", "javascript:alert('FAIL')"]
)
def test_another_scheme_fails_at_once(url: str) -> None:
    """A browser tells it by an error event with CLOSED; here it is told where the mistake is made."""
    with pytest.raises(UsageError, match="http"):
        EventSource(url)


@pytest.mark.parametrize(
    "url", ["http://this is invalid/", "http://a:99999/", "http://[::1", "http://", "/x"]
)
def test_an_invalid_url_raises_at_construction(url: str) -> None:
    with pytest.raises(UsageError, match="url"):
        EventSource(url)


async def test_the_url_stays_as_it_was_through_redirects(site: Site, endpoint: Endpoint) -> None:
    target = site.endpoint()
    seen = Seen(endpoint.url)
    await (await endpoint.visit()).answer(302, {"Location": target.url})
    await target.stream()
    await seen.until("open")
    assert seen.source.url == endpoint.url
    seen.subscription.dispose()


TESTED_ABOVE = {
    "wpt/eventsource-close readyState": test_ready_state,
    "wpt/eventsource-readyState (old file)": test_ready_state,
    "wpt/eventsource-constructor-non-same-origin": test_another_scheme_fails_at_once,
    "wpt/eventsource-constructor-url-bogus": test_an_invalid_url_raises_at_construction,
    "wpt/eventsource-url": test_the_url_stays_as_it_was_through_redirects,
}


def test_every_vector_of_the_kind_api_has_a_test_or_a_reason() -> None:
    named = {vector["name"] for vector in of_kind("api")}
    assert named == TESTED_ABOVE.keys() | IN_A_BROWSER_ONLY.keys()
    assert not TESTED_ABOVE.keys() & IN_A_BROWSER_ONLY.keys()
