"""The tests of launchdarkly/sse-contract-tests that are about requests and connections: see `contract`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from .case import Case, same, sends_id
from .endpoint import Endpoint, Failed, Visit
from .harness import Run

JSON_UTF8: Final = {"content-type": "application/json; charset=utf-8"}
BODY: Final = '{"hello": "world"}'


def http() -> Iterator[Case]:
    async def default(run: Run) -> None:
        endpoint = run.endpoint()
        await run.start(endpoint.url)
        visit = await endpoint.visit()
        found = {
            "method": visit.method,
            "Accept": visit.headers.getall("Accept", []),
            "Cache-Control": visit.headers.getall("Cache-Control", []),
            "Last-Event-Id": visit.headers.getall("Last-Event-Id", []),
        }
        awaited = {
            "method": "GET",
            "Accept": ["text/event-stream"],
            "Cache-Control": ["no-cache"],
            "Last-Event-Id": [],
        }
        same(awaited, found)

    async def no_content(run: Run) -> None:
        endpoint = run.endpoint()
        await run.start(endpoint.url)
        await (await endpoint.visit()).answer(204, {})
        await asyncio.sleep(1)
        if len(endpoint.visits) != 1:
            raise Failed(f"after a 204 came {len(endpoint.visits) - 1} more requests")

    def redirect(status: int) -> Case:
        async def steps(run: Run) -> None:
            first, second = run.endpoint(), run.endpoint()
            await run.start(first.url)
            await (await first.visit()).answer(status, {"Location": second.url})
            await (await second.stream()).send("data: hello\n\n")
            await run.event("hello")

        return Case(f"client follows {status} redirect", None, steps)

    def astray(status: int, what: str, headers: dict[str, str]) -> Case:
        async def steps(run: Run) -> None:
            endpoint = run.endpoint()
            await run.start(endpoint.url)
            await (await endpoint.visit()).answer(status, headers)
            # A client that goes round in circles gets the same answer until it has had enough of it.
            answering = asyncio.create_task(again(endpoint, status, headers))
            try:
                await run.error()
            finally:
                answering.cancel()

        return Case(f"{what} Location with {status}", None, steps)

    async def again(endpoint: Endpoint, status: int, headers: dict[str, str]) -> None:
        while True:
            try:
                await (await endpoint.visit()).answer(status, headers)
            except Failed:
                return

    async def headers(run: Run) -> None:
        sent = {"header-name-1": "value-1", "header-name-2": "value-2"}
        _, stream = await run.connect(headers=sent)
        same(sent, {name: stream.headers.get(name) for name in sent})

    def body(method: str, capability: str) -> Case:
        async def steps(run: Run) -> None:
            _, stream = await run.connect(method=method, headers=JSON_UTF8, body=BODY)
            got = (stream.method, stream.headers.get("Content-Type"), stream.body.decode())
            same((method, JSON_UTF8["content-type"], BODY), got)

        return Case(f"{method} request", capability, steps)

    async def last_event_id(run: Run) -> None:
        _, stream = await run.connect(lastEventId="abc")
        sends_id(stream, "abc")

    yield Case("default method and headers", None, default)
    yield Case("204 halts re-connection attempts", "server-directed-shutdown-request", no_content)
    yield redirect(301)
    yield redirect(307)
    for status in (301, 307):
        yield astray(status, "empty", {"Location": ""})
        yield astray(status, "missing", {})
    yield Case("custom headers", "headers", headers)
    yield body("POST", "post")
    yield body("REPORT", "report")
    yield Case("sends Last-Event-Id in initial request if set", "last-event-id", last_event_id)


def reconnection() -> Iterator[Case]:
    async def served(run: Run, *more: str) -> tuple[Endpoint, Visit]:
        """A client that got an event with an id; `more` events were sent with it."""
        endpoint, stream = await run.connect()
        sends_id(stream, None)
        await stream.send("id: abc\ndata: Hello\n\n", *more)
        await run.event("Hello", id="abc")
        return endpoint, stream

    async def comes_back(endpoint: Endpoint, stream: Visit, with_id: str | None) -> None:
        stream.end()
        sends_id(await endpoint.stream(), with_id)

    async def restart(run: Run) -> None:
        endpoint, stream = await run.connect()
        await stream.send("data: Hello\n\n")
        await run.event("Hello")
        await run.clients[0].command("restart")
        await (await endpoint.stream()).send("data: Thanks\n\n")
        await run.event("Thanks")

    async def sends_last_id(run: Run) -> None:
        await comes_back(*await served(run), "abc")

    async def later_events_had_none(run: Run) -> None:
        endpoint, stream = await served(run, "data: World\n\n")
        await run.event("World", id="abc")
        await comes_back(endpoint, stream, "abc")

    async def overridden(run: Run) -> None:
        endpoint, stream = await served(run, "id: \ndata: World\n\n")
        await run.event("World")
        await comes_back(endpoint, stream, None)

    async def resends_body(run: Run) -> None:
        endpoint, stream = await run.connect(method="POST", headers=JSON_UTF8, body=BODY)
        stream.end()
        second = await endpoint.stream()
        same(("POST", BODY), (second.method, second.body.decode()))

    async def read_timeout(run: Run) -> None:
        endpoint, stream = await run.connect(readTimeoutMs=500)
        await stream.send("data: Hello\n\n")
        await run.event("Hello")
        # Together: the next request is answered as it comes, since its headers may not take longer either.
        await asyncio.gather(run.error(), endpoint.stream())

    async def discards_partial(run: Run) -> None:
        endpoint, stream = await run.connect()
        await stream.send("id: abc\ndata: Hello\n\nid: def\ndata: Goodbye")
        await run.event("Hello", id="abc")
        stream.end()
        await (await endpoint.stream()).send("data: We meet again\n\n")
        await run.event("We meet again", not_id="def", error=True)

    async def new_one_works(run: Run) -> None:
        endpoint, stream = await served(run)
        stream.end()
        await (await endpoint.stream()).send("id: def\ndata: World\n\n")
        await run.event("World", id="def", error=True)

    yield Case("caller can trigger a restart", "restart", restart)
    yield Case("sends ID of last received event", None, sends_last_id)
    yield Case("sends ID of last received event if later events had none", None, later_events_had_none)
    yield Case("last event ID overridden with an empty value", None, overridden)
    yield Case("resends request body if any when reconnecting", "post", resends_body)
    yield Case("can set read timeout", "read-timeout", read_timeout)
    yield Case("discards partial messages on retry", None, discards_partial)
    yield Case("new connection after breaking previous is functional", None, new_one_works)
