"""What is fuzzed. Each target takes any bytes at all; what it promises is checked, and nothing else may be
raised.

A target has words: pieces of its language, from which inputs are put together that get further than chance.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from rx_sse.bus.log.entry import GAP, JSON, Entry, draft_of, restored
from rx_sse.bus.log.port import Query
from rx_sse.bus.log.position import MAX_TOPICS, cursor_of, new_position, parse, part_of, ref_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.names import (
    check_event,
    check_pattern,
    check_run,
    check_topic,
    covers,
    is_pattern,
    topic_name,
)
from rx_sse.bus.redis.protocol.codec import announced, entry_of, head_of, last_of, page_of
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.rows import entry_of as entry_of_row
from rx_sse.client.control import end_reason, stream_error
from rx_sse.errors import EncodeError, EventTooLarge, RxSseError, TopicNameError, UsageError
from rx_sse.reactive.recording import Recording
from rx_sse.web.auth.credentials import MAX_TOKEN, find_credential
from rx_sse.web.negotiation import accepts_events, accepts_zstd
from rx_sse.web.origin import meant, parse_origins
from rx_sse.web.topic_history import wish_of
from rx_sse.wire import EventParser
from rx_sse.wire.harmless import harmless

from ..wire.reference import read

CUT = b"\xfe"
"""What separates the parts of an input that has several: a byte that no UTF-8 holds."""


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        run: takes an input; an exception is a finding.
        words: of its language.
    """

    run: Callable[[bytes], None]
    words: tuple[bytes, ...]


RETENTION = Retention()


def text_of(data: bytes) -> str:
    """Any text, half characters included."""
    return data.decode("utf-8", "surrogateescape")


def parser(data: bytes) -> None:
    """The same events as the standard's own words give, however the bytes are cut; a size that holds."""
    stream, _, cuts = data.partition(CUT)
    told = read(stream)
    for size in {len(stream) or 1, *(1 + cut for cut in cuts[:3])}:
        made = EventParser()
        events = [event for at in range(0, len(stream), size) for event in made.feed(stream[at : at + size])]
        assert [(event.type, event.data, event.last_event_id) for event in events] == told.events
        assert (made.last_event_id, made.retry) == (told.last_event_id, told.retry)
    small = EventParser(max_event_size=16)
    with suppress(EventTooLarge):
        assert all(
            len(event.data.encode()) <= 16 * 3 for event in small.feed(stream)
        )  # U+FFFD is three bytes


def control(data: bytes) -> None:
    """What a server calls the end, or an error, is a text or an error, whatever it holds."""
    for event in EventParser().feed(
        b"data: " + data.replace(b"\r", b"").replace(b"\n", b"\ndata: ") + b"\n\n"
    ):
        assert isinstance(end_reason(event), str)
        assert str(stream_error(event)) is not None
        assert not any(ord(char) < 32 and char not in "\n\t" for char in harmless(event.data))


def cursor(data: bytes) -> None:
    """Unknown, or places that give the same cursor back."""
    text = text_of(data)
    places = parse(text)
    if places is not None:
        assert text.isascii() and 0 < len(places) <= MAX_TOPICS
        parts = [
            part_of(ref, position)
            for ref, place in places.items()
            for position in (place.position, place.past)
            if position is not None
        ]
        assert parse(cursor_of(parts)) == places


def topics(data: bytes) -> None:
    """A name is literal, a grant covers what begins with it, and a built name is its parts' alone."""
    parts = text_of(data).split("\udcfe")
    for name in parts:
        with suppress(TopicNameError):
            assert check_topic(name).isascii() and len(name) <= 255 and not set(name) & set("*?[]{}!\\ \"'<>")
            assert covers(name, name) and covers("*", name) and not covers(name + "x", name)
        with suppress(TopicNameError):
            check_run(name)
        with suppress(EncodeError):
            check_event(name)
        with suppress(TopicNameError):
            assert check_pattern(name).rstrip("*") == name.removesuffix("*")
    with suppress(TopicNameError):
        built = topic_name(*parts)
        assert check_topic(built) == built and not is_pattern(built + "**")
        assert built == "%" or built.count(":") == len(parts) - 1


def carriers(data: bytes) -> None:
    """Whatever the headers hold: a token that may be one, or none; a verdict; no other exception."""
    names = ("Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Accept", "Accept-Encoding", "Host")
    headers = CIMultiDict[str]()
    for line in data.split(CUT)[:20]:
        if line:
            headers.add(names[line[0] % len(names)], text_of(line[1:]))
    found = find_credential(headers, "__Host-s")
    if found is not None and found.token is not None:
        assert found.token.isascii() and 0 < len(found.token) <= MAX_TOKEN
        assert len(found.token) < 8 or found.token not in repr(found)
    allowed = frozenset({"https://app.example"})
    origins = headers.getall("Origin", [])
    if meant("POST", headers, allowed) and headers.get("Sec-Fetch-Site") not in ("same-origin", "none"):
        assert origins == ["https://app.example"]
    assert accepts_events(headers) in (True, False) and accepts_zstd(headers) in (True, False)
    for origin in origins:
        with suppress(UsageError):
            assert len(parse_origins([origin])) == 1


def query(data: bytes) -> None:
    """A question for history is one, or is refused as a whole."""
    pairs = [text_of(part).partition("=") for part in data.split(CUT)[:8]]
    with suppress(UsageError, TopicNameError):
        wish = wish_of("news", {name: value for name, _, value in pairs})
        assert wish.limit is None or 1 <= wish.limit <= 1000


def usable(entry: Entry) -> None:
    """Everything that a reader gets of an entry can be made of it, and is one event."""
    (event,) = EventParser().feed(
        Entry(entry.position, entry.prev, entry.kind, entry.data, entry.event).plain().frame
    )
    assert event.data == entry.data
    entry.value()
    if entry.kind == GAP:
        assert isinstance(entry.detail(), dict)
    marked = entry.marked("news", ref_of("news"), 1)
    chunk = entry.encode(ref_of("news"))
    kept = restored((entry.position, entry.at, entry.kind, entry.event, chunk, entry.size, None), entry.prev)
    assert kept.data == entry.data
    (event,) = EventParser().feed(marked.frame)
    assert parse(event.last_event_id) is not None and event.type == marked.type


def stored_redis(data: bytes) -> None:
    """What another program wrote into Redis is an entry, a gap in its place, or no announcement at all."""
    at = float
    usable(entry_of(new_position(7, 8), new_position(6, 5), data, 0.0))
    with suppress(ValueError):
        entries = announced(data, at)
        assert last_of(data) == entries[-1].position
        for entry in entries:
            usable(entry)
    head_of(data)
    meta, oldest, *rest = data.split(CUT)[:30] + [b""] * 2
    raw = [rest[n : n + 3] for n in range(0, len(rest) - 2, 3)]
    with suppress(ValueError, TypeError, AttributeError):
        page = page_of([meta, oldest, len(data) % 2, 0, raw], Query("news", new_position(1, 1)), at)
        for before, entry in zip(page.entries, page.entries[1:], strict=False):
            assert entry.prev == before.position
        for entry in page.entries:
            usable(entry)


def stored_sqlite(data: bytes) -> None:
    """The same of a row in the file."""

    def column(part: bytes) -> Any:
        kind, rest = part[:1], part[1:]
        if kind == b"n":
            return None
        if kind == b"b":
            return rest
        if kind == b"f":
            return float(len(rest))
        if kind == b"i":
            return int.from_bytes(rest[:8], signed=True)
        return rest.decode("utf-8", "replace")  # SQLite refuses a text that is no UTF-8 by itself

    seq, nonce, prev, at, *texts = [column(part) for part in data.split(CUT)[:7]] + [None] * 7
    for row in ((7, 8, 5, 1, *texts[:3]), (seq, nonce, prev, at, *texts[:3])):
        with suppress(ValueError):
            usable(entry_of_row(row, Clock(0.0, 0)))


def recordings(data: bytes) -> None:
    """A file is a recording that can be shown and saved as it was, or is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.jsonl")
        path.write_bytes(data)
        try:
            found = Recording.load(path)
        except UsageError:
            return
        assert repr(found) is not None and found._repr_mimebundle_()
        with suppress(EncodeError):
            found.save(path)
            assert Recording.load(path) == found


def bodies(data: bytes) -> None:
    """What is published as JSON is an event that comes back as the value it was, or is refused."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    with suppress(RxSseError):
        draft = draft_of("news", value, None, RETENTION)
        stored = Entry(new_position(1, 1), new_position(0, 1), draft.kind, draft.data)
        usable(stored)
        (event,) = EventParser().feed(stored.plain().frame)
        if draft.kind == JSON:
            assert repr(event.json()) == repr(value)


TARGETS: dict[str, Target] = {
    "parser": Target(
        parser,
        (b"data", b"data:", b"data: ", b"id: ", b"event: ", b"retry: ", b":", b"\r", b"\n", b"\r\n",
         b"\n\n",
         b"\xef\xbb\xbf", b"\0", b"\xff", b"\xe2\x80\xa8", b"\xc2\x85", b"9" * 30, CUT),
    ),
    "control": Target(
        control,
        (b'{"reason":', b'"status":', b'"type":', b'"detail":', b"{", b"}", b"[", b"]", b'"', b"1e999",
         b"9" * 5000,
         b"NaN", b"[" * 3000, b"\\ud800", b"\x1b[31m", b"\xc2\x9b"),
    ),
    "cursor": Target(
        cursor,
        (b"1_", b"0_", b"_", b".", b"aaaaaa", b"aaaaaa.1.1", b"_aaaaaa.2.2", b"_bbbbbb.0.0",
         b"9007199254740992",
         b"281474976710656", b"0", b"-", b"1_live", b"\xd9\xa3", b"\0"),
    ),
    "topics": Target(
        topics,
        (b"news", b":", b"/", b".", b"*", b"%", b"%2A", b"~", b"!", b"{", b"\0", b"\n", b"\xc3\xa9",
         b"e\xcc\x81",
         b"stream-", b"open", b"run:", b"x" * 250, CUT),
    ),
    "carriers": Target(
        carriers,
        (b"\0", b"\1", b"\2", b"\3", b"\4", b"\5", b"Bearer ", b"bearer", b"__Host-s=", b";", b",", b'"',
         b"a.b.c",
         b"null", b"*", b"https://app.example", b"same-origin", b"none", b"cross-site",
         b"text/event-stream", b";q=",
         b"zstd", b"0.0", b"1e999", b"x" * 9000, CUT),
    ),
    "query": Target(
        query,
        (b"last=", b"limit=", b"since=", b"after=", b"1", b"0", b"-", b"2026-01-02T03:04:05Z", b"+00:00",
         b"99999",
         b"1_aaaaaa.1.1", b"T", b":", b"\xc2\xb2", b"\0", CUT),
    ),
    "stored_redis": Target(
        stored_redis,
        (b"1", b"j", b"t", b"g", b"x", b"\n", b"1j\n", b"1t\n", b"1g\n", b'{"reason":"trimmed"}',
         b'{"upto":[1,2]}',
         b"1 0 5 7:4\n", b"1tev\n", b"1 2 3 0 0 0", b"7-8", b"6 1 0", b" ", b":", b"-", b"\r", b"\0",
         b"[" * 3000,
         b"9" * 5000, b"NaN", b"stream-end", b"\xff", CUT),
    ),
    "stored_sqlite": Target(
        stored_sqlite,
        (b"n", b"b", b"f", b"i", b"s", b"i\0\0\0\0\0\0\0\x07", b"i\x7f\xff\xff\xff\xff\xff\xff\xff", b"sj",
         b"st",
         b"sg", b"sx", b's{"reason":"trimmed"}', b's{"upto":["a",{}]}', b"s[]", b"s\r", b"s\n",
         b"s[" + b"[" * 3000,
         b"s" + b"9" * 5000, b"sNaN", b"sstream-end", b"\0", CUT),
    ),
    "recordings": Target(
        recordings,
        (b'{"rx_sse":1,"name":"a","seconds":1}\n', b'{"at":0,"kind":"next","value":1}\n',
         b'{"at":1,"kind":"completed"}\n', b'"event":{"data":"x"}', b'{"$float":"nan"}',
         b'{"$float":{"$float":1}}',
         b"[]", b"{}", b"null", b"1e999", b"-1", b"9" * 400, b"\n", b",", b'"', b"[" * 3000,
         b'"id":"\\u0000"',
         b"\xff"),
    ),
    "bodies": Target(
        bodies,
        (b"{", b"}", b"[", b"]", b'"', b":", b",", b"1", b"-0", b"1e5", b"true", b"null",
         b"\\ud83d\\ude00", b"\\u2028",
         b"\xe2\x80\xa8", b'{"a":1}', b"\\n", b"\\r"),
    ),
}  # fmt: skip
