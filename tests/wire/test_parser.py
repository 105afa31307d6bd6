"""`EventParser`: the vectors of web-platform-tests, every way to split a stream, and its limits."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rx_sse.errors import EventTooLarge
from rx_sse.wire import EventParser, ServerSentEvent

from ..conftest import ROOT
from .reference import read

VECTORS = [
    vector
    for vector in json.loads((ROOT / "tests/vectors/wpt.json").read_text("utf-8"))["vectors"]
    if vector["kind"] == "stream"
]


def raw(chunk: str | dict[str, str]) -> bytes:
    return chunk.encode() if isinstance(chunk, str) else bytes.fromhex(chunk["hex"])


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def cut_at_random(stream: bytes, seed: int) -> list[bytes]:
    dice = random.Random(seed)
    at = sorted(dice.choices(range(len(stream) + 1), k=dice.randint(0, 20)))
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]


def feed(parser: EventParser, chunks: Iterable[bytes]) -> list[ServerSentEvent]:
    return [event for chunk in chunks for event in parser.feed(chunk)]


def seen(events: Iterable[ServerSentEvent]) -> list[tuple[str, str, str]]:
    return [(event.type, event.data, event.last_event_id) for event in events]


WAYS: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": lambda stream: [stream],
    "1 byte": lambda stream: cut(stream, 1),
    "2 bytes": lambda stream: cut(stream, 2),
    "3 bytes": lambda stream: cut(stream, 3),
    **{f"random {seed}": lambda stream, seed=seed: cut_at_random(stream, seed) for seed in range(8)},
}


def test_the_vectors_are_all_here() -> None:
    assert len(VECTORS) == 37


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("way", ["as sent", *WAYS])
def test_web_platform_tests(vector: dict[str, Any], way: str) -> None:
    chunks = [raw(chunk) for chunk in vector["chunks"]]
    parser = EventParser()
    events = feed(parser, chunks if way == "as sent" else WAYS[way](b"".join(chunks)))
    assert seen(events) == [
        (event["type"], event["data"], event["lastEventId"]) for event in vector["expected"]
    ]
    assert parser.last_event_id == vector["last_event_id"]
    if vector["retry"] != "any":
        assert parser.retry == vector["retry"]


# Against the words of the standard

pieces = st.sampled_from(
    [
        b"data",
        b"event",
        b"id",
        b"retry",
        b"Data",
        b":",
        b": ",
        b" ",
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        b"\0",
        b"x",
        b"42",
        b"00",
        b"99999999999",
        "é\u2028\x85".encode(),
        b"\xff",
        b"\xe2\x82",
        b"\xf0\x9f",
        b"\xed\xa0\x80",
        b"data: a\n\n",
        b"id: 7\ndata: b\r\n\r\n",
        b"event: e\rdata\r\r",
        b": comment\n",
    ]
)
streams = st.lists(pieces | st.binary(max_size=3), max_size=30).map(b"".join)


@given(streams, st.integers(1, 7), st.sampled_from(["", "start"]))
@settings(max_examples=1500, deadline=None)
@example(b"\xef\xbb\xbfdata: x\n\n", 1, "")
@example(b"\xef\xbbdata: x\n\ndata: y\n\n", 2, "")
@example(b"data: a\r\n\r\ndata: b\r\r\n", 1, "")
@example(b"id: \xff\ndata: \xf0\x9f\n\n", 3, "")
@example(b"retry: \xd9\xa3\ndata: x\n\n", 1, "")
def test_it_reads_what_the_standard_says(stream: bytes, size: int, last_event_id: str) -> None:
    expected = read(stream, last_event_id)
    for chunks in ([stream], cut(stream, size), cut_at_random(stream, size)):
        comments: list[str] = []
        parser = EventParser(last_event_id=last_event_id, on_comment=comments.append)
        assert seen(feed(parser, chunks)) == expected.events
        assert parser.last_event_id == expected.last_event_id
        assert parser.retry == expected.retry
        assert comments == expected.comments


# At once


def test_a_cr_ends_its_line_at_once_and_swallows_a_later_lf() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r") == []
    assert seen(parser.feed(b"\r")) == [("message", "a", "")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"") == []
    assert seen(parser.feed(b"data: b\r\n\r")) == [("message", "b", "")]
    assert parser.feed(b"") == []
    assert parser.feed(b"\ndata: c\r") == []
    assert seen(parser.feed(b"\n\n")) == [("message", "c", "")]


def test_every_event_is_out_with_its_last_byte() -> None:
    parser = EventParser()
    stream = b"id: 1\ndata: a\n\ndata: b\n\n"
    at = [index for index, byte in enumerate(cut(stream, 1)) if parser.feed(byte)]
    assert at == [14, 23]


def test_a_comment_is_told_when_its_line_ends() -> None:
    comments: list[str] = []
    parser = EventParser(on_comment=comments.append)
    parser.feed(b":Hel")
    assert comments == []
    parser.feed(b"lo\n")
    parser.feed(b": World\r:\n:  two spaces\n")
    assert comments == ["Hello", "World", "", " two spaces"]


def test_comments_may_be_split_inside_a_character() -> None:
    comments: list[str] = []
    parser = EventParser(on_comment=comments.append)
    feed(parser, cut(": é\n:\xff\n".encode("latin-1") + ": 豆\n".encode(), 1))
    assert comments == ["\ufffd", "\ufffd", "豆"]


# Ids and retry


def test_the_id_of_an_unfinished_event_is_thrown_away_and_its_retry_stays() -> None:
    parser = EventParser(last_event_id="before")
    assert parser.feed(b"id: 7\nretry: 50\ndata: x\n") == []
    assert (parser.last_event_id, parser.retry) == ("before", 50)


def test_an_id_alone_moves_the_last_event_id_and_dispatches_nothing() -> None:
    parser = EventParser()
    assert parser.feed(b"id: 7\n\n") == []
    assert parser.last_event_id == "7"
    assert seen(parser.feed(b"data: x\n\n")) == [("message", "x", "7")]


def test_events_carry_the_id_in_force() -> None:
    parser = EventParser(last_event_id="0")
    events = parser.feed(b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid\ndata: d\n\nid: 2\0\ndata: e\n\n")
    assert [(event.id, event.last_event_id) for event in events] == [
        ("0", "0"),
        ("1", "1"),
        ("1", "1"),
        (None, ""),
        (None, ""),
    ]
    assert parser.last_event_id == ""


def test_retry_belongs_to_its_event_and_to_the_stream() -> None:
    parser = EventParser()
    events = parser.feed(b"retry: 10\n\nretry: 20\ndata: a\n\ndata: b\n\n")
    assert [event.retry for event in events] == [20, None]
    assert parser.retry == 20


@pytest.mark.parametrize(
    ("value", "retry"),
    [
        (b"0", 0),
        (b"007", 7),
        (b"2147483647", 2**31 - 1),
        (b"2147483648", 2**31 - 1),
        (b"0" * 5000 + b"7", 7),
        (b"9" * 5000, 2**31 - 1),
        (b"", None),
        (b" 7", None),
        (b"7 ", None),
        (b"+7", None),
        (b"-7", None),
        (b"7.5", None),
        (b"1_000", None),
        (b"7\0", None),
        ("٣".encode(), None),
        ("²".encode(), None),
    ],
)
def test_retry_is_ascii_digits_and_clamped(value: bytes, retry: int | None) -> None:
    parser = EventParser()
    parser.feed(b"retry: " + value + b"\n")
    assert parser.retry == retry


def test_what_was_received_can_be_sent_on() -> None:
    parser = EventParser()
    event = parser.feed(b"retry:5\nevent:e\nid:7\ndata:a\rdata: b\r\r: c\n")[0]
    assert event.frame == b"event: e\ndata: a\ndata: b\nretry: 5\nid: 7\n\n"
    assert EventParser().feed(event.frame) == [event]
    assert event.replace(event="f").frame == b"event: f\ndata: a\ndata: b\nretry: 5\nid: 7\n\n"


# Limits


def test_an_endless_line_is_stopped_at_the_limit() -> None:
    parser = EventParser(max_event_size=100)
    parser.feed(b"data: " + b"x" * 94)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        parser.feed(b"x")


@pytest.mark.parametrize("line", [b"data: ", b"id: ", b"event: ", b":", b"unknown", b""])
def test_any_endless_line_is_stopped(line: bytes) -> None:
    parser = EventParser(max_event_size=1000)
    parser.feed(line)
    with pytest.raises(EventTooLarge):
        for _ in range(1001):
            parser.feed(b"x")


def test_an_endless_event_is_stopped() -> None:
    parser = EventParser(max_event_size=1000)
    with pytest.raises(EventTooLarge):
        for _ in range(1001):
            parser.feed(b"data\n")


def test_after_that_it_stays_dead() -> None:
    parser = EventParser(max_event_size=10)
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: 0123456789\n\n")
    for chunk in (b"\n\n", b"data: x\n\n", b""):
        with pytest.raises(EventTooLarge, match="10 bytes"):
            parser.feed(chunk)


def test_what_was_complete_before_it_is_not_lost() -> None:
    parser = EventParser(max_event_size=10)
    with pytest.raises(EventTooLarge) as caught:
        parser.feed(b"data: a\n\nid: 2\ndata: b\n\ndata: 0123456789\n\ndata: c\n\n")
    assert seen(caught.value.events) == [("message", "a", ""), ("message", "b", "2")]
    assert parser.last_event_id == "2"
    with pytest.raises(EventTooLarge) as again:
        parser.feed(b"")
    assert again.value.events == ()


def test_an_event_of_exactly_the_limit_passes() -> None:
    # What counts: the data so far, a byte for each line end in it, and the line being received.
    parser = EventParser(max_event_size=20)
    assert [event.data for event in parser.feed(b"data: 0123456789abcd\n\n")] == ["0123456789abcd"]
    assert [event.data for event in parser.feed(b"data: 01234\ndata: 01234567\n\n")] == ["01234\n01234567"]
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: 01234\ndata: 012345678\n\n")


def test_a_stream_of_heartbeats_never_grows() -> None:
    parser = EventParser(max_event_size=100)
    for _ in range(1000):
        assert parser.feed(b":\nretry: 1000\nid: 7\nevent: e\n: comment\n") == []
    assert [event.data for event in parser.feed(b"data: x\n\n")] == ["x"]


def test_many_small_events_are_no_large_one() -> None:
    parser = EventParser(max_event_size=10)
    assert len(parser.feed(b"data: x\n\n" * 50_000)) == 50_000
    assert len(parser.feed(b"data: x\r\n\r\n" * 50_000)) == 50_000


small = st.lists(
    st.sampled_from(
        [b"data: ", b"data", b"x", b"xxxxx", b"\xff", "é".encode(), b"\n", b"\n\n", b"\r\n", b":", b"id: 1"]
    ),
    max_size=40,
).map(b"".join)


@given(small, st.integers(1, 9), st.integers(1, 30))
@settings(max_examples=600, deadline=None)
@example(b"\xef\xbb\xbfdata: x", 1, 9)
@example(b"\xef\xbb\xbfdata: x\n\n", 1, 9)
@example(b"\xef\xbb\xbfdata: x\n\n", 1, 10)
def test_the_limit_does_not_depend_on_the_chunks(stream: bytes, size: int, limit: int) -> None:
    def outcome(chunks: list[bytes]) -> tuple[list[tuple[str, str, str]], bool]:
        parser = EventParser(max_event_size=limit)
        events: list[ServerSentEvent] = []
        try:
            for chunk in chunks:
                events += parser.feed(chunk)
        except EventTooLarge as error:
            return seen([*events, *error.events]), True
        return seen(events), False

    whole = outcome([stream])
    assert outcome(cut(stream, size)) == whole
    assert outcome(cut_at_random(stream, size)) == whole


# Time


def seconds(stream: bytes, size: int) -> float:
    def once() -> float:
        parser = EventParser()
        chunks = cut(stream, size)
        start = time.thread_time()  # of the processor: a busy machine does not count
        assert len(feed(parser, chunks)) == 1
        return time.thread_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("stream", "size"),
    [
        (lambda n: b"data: " + b"x" * 16 * n + b"\n\n", 16),
        (lambda n: b"data: x\n" * n + b"\n", 8),
        (lambda n: b"data:\r" * n + b"\r", 6),
    ],
    ids=["one long line", "many lines", "many empty lines"],
)
def test_time_is_linear_in_the_bytes(stream: Callable[[int], bytes], size: int) -> None:
    # Eight times the bytes in eight times the chunks: 8 if linear, 64 if each chunk looks at all of it.
    assert seconds(stream(80_000), size) < 24 * seconds(stream(10_000), size)


@pytest.mark.parametrize("length", [200_000, pytest.param(5_000_000, marks=pytest.mark.slow)])
def test_a_long_line_byte_by_byte_is_no_different(length: int) -> None:
    stream = b"data: " + b"x" * length + b"\n\n"
    start = time.perf_counter()
    (event,) = feed(EventParser(), (stream[index : index + 1] for index in range(len(stream))))
    assert len(event.data) == length
    assert time.perf_counter() - start < 60  # 5 MB: 4 s here; quadratic would be an hour
