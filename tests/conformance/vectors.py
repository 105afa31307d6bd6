"""web-platform-tests for EventSource, as far as they are data, and as far as a driver sees them from outside.

Standard: WHATWG HTML §9.2, by way of ``tests/vectors/wpt.json``, whose `format` explains its members. What a
driver cannot see is left to tests that know their client: the ready state, the `open` event, and the kind
``api``; for ours they are in ``tests/client/test_vectors.py``.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from .case import Case, sends_id
from .endpoint import Failed
from .harness import Run

Vector = dict[str, Any]

_FILE: Final = Path(__file__).parent.parent / "vectors" / "wpt.json"

# Seconds in which a client that gave up must not come back; it was told to reconnect at once.
_GONE: Final = 0.3

# Milliseconds that a browser on a busy machine may come later. Another base than ten is 1,536 or 12,288.
_BUSY: Final = 1500.0

# Seconds in which one that has told everything must not tell more.
_QUIET: Final = 0.05


def of_kind(kind: str) -> list[Vector]:
    """The vectors of a kind: stream, http, reconnect or api."""
    return [vector for vector in json.loads(_FILE.read_text("utf-8"))["vectors"] if vector["kind"] == kind]


def content(chunks: list[Any]) -> list[bytes]:
    """The bytes of each network chunk."""
    return [bytes.fromhex(chunk["hex"]) if isinstance(chunk, dict) else chunk.encode() for chunk in chunks]


def messages(body: str) -> int:
    """How many events are in the body of a `reconnect` vector; none of them is tricky."""
    return sum("data:" in block for block in body.split("\n\n")[:-1])


async def silence(run: Run, seconds: float) -> None:
    """Await no event; trouble may be reported."""
    if (report := await run.report(within=seconds)) is not None and report["kind"] == "event":
        raise Failed(f"awaited no more events, got {report}")


def stream(vector: Vector) -> Case:
    """The events, exactly these, and before the stream ends."""

    async def steps(run: Run) -> None:
        run.comments = False
        _, visit = await run.connect()
        await visit.send(*content(vector["chunks"]))
        for event in vector["expected"]:
            await run.event(event["data"], type=event["type"], id=event["lastEventId"])
        visit.end()
        await silence(run, _QUIET)

    return Case(vector["name"], None, steps)


def http(vector: Vector) -> Case:
    """What an answer leads to: its stream is read, or the client gives up."""

    async def steps(run: Run) -> None:
        endpoint = run.endpoint()
        await run.start(endpoint.url)
        visit = await endpoint.visit()
        for name, value in vector.get("expected_request_headers", {}).items():
            if visit.headers.get(name) != value:
                raise Failed(f"awaited {name}: {value}, got {visit.headers.get(name)!r}")
        response = vector["response"]
        if "location" in response:
            target = run.endpoint()
            await visit.answer(response["status"], {"Location": target.url})
            await (await target.stream()).send("data: data\n\n")
            await run.event("data")
        elif vector["outcome"] == "open":
            await visit.open(headers=response["headers"])
            await visit.send(response["body"])
            await run.event(response["body"].strip("\n").removeprefix("data: "))
        else:
            await visit.answer(response["status"], response["headers"], response["body"].encode())
            # A client may report its end or not; with a 204 some do and some do not.
            await silence(run, _GONE)
            if len(endpoint.visits) > 1:
                raise Failed("the client came back")

    return Case(vector["name"], None, steps)


def reconnect(vector: Vector) -> Case:
    """One answer after another: what the requests for them carry, and what comes of each."""

    async def steps(run: Run) -> None:
        endpoint = run.endpoint()
        await run.start(endpoint.url)
        loop = asyncio.get_running_loop()
        expected = [step["message"] for step in vector["expected_steps"] if "message" in step]
        requests = requests_by_messages(vector["expected_steps"])
        apart = next(
            (s["after_previous_open_ms"] for s in vector["expected_steps"] if len(s) == 2 and "open" in s),
            None,
        )
        done, opened = 0, None
        for response in vector["responses"]:
            visit = await endpoint.visit()
            if done in requests:
                sends_id(visit, requests[done])
            if apart and opened is not None:
                waited = (loop.time() - opened) * 1000
                if not apart[0] <= waited <= apart[1] + _BUSY:
                    raise Failed(f"awaited a pause of {apart} ms, it was {waited:.0f} ms")
            opened = loop.time()
            await visit.open(response["status"], response["headers"])
            if response["body"]:
                await visit.send(response["body"])
            visit.end()
            until = done + messages(response["body"])
            for event in expected[done:until]:
                await run.event(event["data"], type=event["type"], id=event["lastEventId"], error=True)
            done = until
        if "quiet_ms" in vector["expected_steps"][-1]:
            await silence(run, _GONE)
            if len(endpoint.visits) > len(vector["responses"]):
                raise Failed("the client came back")

    return Case(vector["name"], None, steps)


def requests_by_messages(steps: list[dict[str, Any]]) -> dict[int, str | None]:
    """What `Last-Event-ID` a request must carry, by how many messages have come before it."""
    found: dict[int, str | None] = {}
    seen = 0
    for step in steps:
        seen += "message" in step
        if "request" in step:
            found[seen] = step["request"]["Last-Event-ID"]
    return found


def cases() -> dict[str, list[Case]]:
    """The tests by kind."""
    kinds = {"stream": stream, "http": http, "reconnect": reconnect}
    return {kind: [make(vector) for vector in of_kind(kind)] for kind, make in kinds.items()}
