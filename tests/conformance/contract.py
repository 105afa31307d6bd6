"""The 113 tests of launchdarkly/sse-contract-tests, as steps for the driver.

Standard: that project at v2.31.0 (Apache-2.0), ssetests/*.go, re-implemented from a description of every
step. A test that needs a capability names it; a client that does not offer it skips the test.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from .case import Case
from .contract_http import http, reconnection
from .endpoint import Failed
from .harness import Run

B: Final = b"\xef\xbb\xbf"

# Seconds between small writes, so that each is a packet of its own. The original takes 10 and 20 ms.
_APART: Final = 0.002

Piece = str | bytes


@dataclass(frozen=True)
class Event:
    """An event that is awaited."""

    data: str
    type: str = "message"
    id: str = ""


def parsing(
    name: str,
    sent: Iterable[Piece],
    *events: Event | str,
    capability: str | None = None,
    size: int | None = None,
    pause: float = 0.0,
) -> Case:
    """A test that sends its pieces into one stream and awaits exactly these events."""

    async def steps(run: Run) -> None:
        _, stream = await run.connect()
        await stream.send(*sent, size=size, pause=pause)
        for event in events:
            event = Event(event) if isinstance(event, str) else event
            await run.event(event.data, type=event.type, id=event.id)

    return Case(name, capability, steps)


def noise(size: int) -> str:
    """Random text, in base64."""
    return base64.b64encode(os.urandom(size)).decode()


def basic() -> Iterator[Case]:
    a, b = noise(5 * 1024 * 1024), noise(5 * 1024 * 1024)
    greeting, abc = "event: greeting\n", "id: abc\n"
    hello = "data: Hello\n"
    yield parsing("one-line message in one chunk", ["data: Hello\n\n"], "Hello")
    yield parsing(
        "two messages spanning 3 chunks with shared chunk",
        ["data: test", "test\n\ndata:", "test\n\n"],
        "testtest",
        "test",
    )
    yield parsing("large message in one chunk", [f"data: {a}\n\n"], a)
    yield parsing("large message in two chunks", [f"data: {a}", f"{b}\n\n"], a + b)
    yield parsing("one-line message in two chunks", ["data: Hel", "lo\n\n"], "Hello")
    yield parsing("two one-line messages in one chunk", ["data: Hello\n\ndata: World\n\n"], "Hello", "World")
    yield parsing("one two-line message in one chunk", ["data: Hello\ndata:World\n\n"], "Hello\nWorld")
    yield parsing("empty data", ["data:\n\n"], "")
    yield parsing("event with specific type", [f"{greeting}{hello}\n"], Event("Hello", "greeting"))
    yield parsing("default event type", [f"{hello}\n"], "Hello")
    yield parsing("event with ID", [f"{abc}{hello}\n"], Event("Hello", id="abc"))
    yield parsing("event with type and ID", [f"{greeting}{abc}{hello}\n"], Event("Hello", "greeting", "abc"))
    yield parsing("ID field is ignored if it contains a null", [f"id: a\0bc\n{hello}\n"], "Hello")
    yield parsing(
        "last ID persists if not overridden",
        [f"{abc}data: first\n\n", "data: second\n\n"],
        Event("first", id="abc"),
        Event("second", id="abc"),
    )
    yield parsing(
        "last ID can be overridden by an empty value",
        [f"{abc}data: first\n\n", "id: \ndata: second\n\n"],
        Event("first", id="abc"),
        "second",
    )
    yield parsing("fields in reverse order", [f"{hello}{abc}{greeting}\n"], Event("Hello", "greeting", "abc"))
    yield parsing(
        "unknown field is ignored", [f"{greeting}color: blue\n{hello}\n"], Event("Hello", "greeting")
    )
    yield parsing(
        "fields without leading space", ["event:greeting\ndata:Hello\n\n"], Event("Hello", "greeting")
    )
    yield parsing(
        "fields with extra leading space",
        ["event:  greeting\ndata:  Hello\n\n"],
        Event(" Hello", " greeting"),
    )
    yield parsing("field with no colon", ["data\n\ndata\ndata\n\n"], "", "\n")
    yield parsing("multi-byte characters", ["data: €豆腐\n\n"], "€豆腐")
    yield parsing(
        "many messages in rapid succession",
        ["".join(f"data: message {i}\n\n" for i in range(100))],
        *(f"message {i}" for i in range(100)),
    )
    yield parsing(
        "multi-byte characters in single-byte pieces", ["data: €豆腐\n\n"], "€豆腐", size=1, pause=_APART
    )


def byte_order_mark() -> Iterator[Case]:
    def case(name: str, sent: list[Piece], *events: Event | str) -> Case:
        return parsing(f"BOM {name}", sent, *events, capability="bom")

    hello = b"data: Hello\n\n"
    yield case("at start is stripped", [B + hello], "Hello")
    yield case(
        "before first event with type and ID",
        [B + b"event: greeting\nid: abc\n" + hello],
        Event("Hello", "greeting", "abc"),
    )
    yield case("with multiple messages", [B + b"data: First\n\ndata: Second\n\n"], "First", "Second")
    yield case(
        "only at stream start", ["data: First\n\n", b"data: " + B + b"Second\n\n"], "First", "\ufeffSecond"
    )
    yield case("split across first two chunks", [B[:2], B[2:] + hello], "Hello")
    yield case("split byte by byte", [B[:1], B[1:2], B[2:], hello], "Hello")
    yield case("only first BOM is stripped", [B + b"data: " + B + b"Hello\n\n"], "\ufeffHello")
    yield case("no BOM baseline", [hello], "Hello")
    yield case("with multi-line data", [B + b"data: Line1\ndata: Line2\n\n"], "Line1\nLine2")
    yield case("with empty data field", [B + b"data:\n\n"], "")

    async def with_comment(run: Run) -> None:
        _, stream = await run.connect()
        await stream.send(B + b":comment\n" + hello)
        if "comments" in run.capabilities:
            await run.comment("comment")
        await run.event("Hello")

    yield Case("BOM with comment at start", "bom", with_comment)


def comments() -> Iterator[Case]:
    async def single(run: Run) -> None:
        _, stream = await run.connect()
        await stream.send(":Hello\n")
        await run.comment("Hello")

    async def two(run: Run) -> None:
        _, stream = await run.connect()
        for text in ("Hello", "World"):
            await stream.send(f":{text}\n")
            await run.comment(text)

    async def before(run: Run) -> None:
        _, stream = await run.connect()
        await stream.send(":Hello\n", "data: Hello\n\n")
        await run.comment("Hello")
        found = await run.expect("event")
        if found["event"].get("type") != "message":
            raise Failed(f"awaited an event of the type 'message', got {found}")

    async def after(run: Run) -> None:
        _, stream = await run.connect()
        await stream.send("data: Hello\n\n", ":Hello\n")
        await run.event("Hello")
        await run.comment("Hello")

    yield Case("single comment", "comments", single)
    yield Case("two comments in a row", "comments", two)
    yield Case("comment before event", "comments", before)
    yield Case("comment after event", "comments", after)


def line_ends() -> Iterator[Case]:
    for name, t in (("LF", "\n"), ("CRLF", "\r\n"), ("CR", "\r")):
        one = f"data: event 1{t}{t}"
        texts: list[tuple[str, str, list[str]]] = [
            ("one-line event", one, ["event 1"]),
            (
                "one-line and two-line event",
                f"{one}data: event 2 line 1{t}data: event 2 line 2{t}{t}",
                ["event 1", "event 2 line 1\nevent 2 line 2"],
            ),
            (
                "three lines, an empty one at the beginning",
                f"data:{t}data: line2{t}data: line3{t}{t}",
                ["\nline2\nline3"],
            ),
            (
                "three lines, an empty one in the middle",
                f"data: line1{t}data:{t}data: line3{t}{t}",
                ["line1\n\nline3"],
            ),
            ("one extra empty line is ignored", f"{one}{t}data: event 2{t}{t}", ["event 1", "event 2"]),
            ("two extra empty lines are ignored", f"{one}{t}{t}data: event 2{t}{t}", ["event 1", "event 2"]),
        ]
        for size, how in ((None, "one chunk"), (1, "1-byte chunks"), (2, "2-byte chunks")):
            for title, text, events in texts:
                yield parsing(f"{name}, {how}: {title}", [text], *events, size=size, pause=_APART)
    pieces = ["data: Hello\r", "\ndata: World\r", "\n\r\ndata: OK\r", "\n", "\r", "\n"]
    yield parsing("CRLF where CR is end of one chunk", pieces, "Hello\nWorld", "OK")


def cases() -> list[Case]:
    """All of them, in the order of the original."""
    groups = (basic, byte_order_mark, comments, line_ends, http, reconnection)
    return [case for group in groups for case in group()]
