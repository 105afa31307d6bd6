"""What the encoder writes, the parser reads back as it was, whatever it is and however it is cut."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rx_sse.wire import EventParser, ServerSentEvent, encode
from rx_sse.wire.fields import MAX_RETRY

from .reference import read

HARD = [
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\0",
    "\r",
    "\n",
    "\r\n",
    "\ufeff",
    " ",
    ":",
    "\U0001f600",
]

text = st.text() | st.lists(st.sampled_from([*HARD, "data: ", "id: x"]) | st.text(max_size=3)).map("".join)
field_text = text.map(lambda value: re.sub(r"[\r\n\0]", "", value))
id_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60)


def browser_sees(value: str) -> str:
    """Each line end of the standard becomes LF, and nothing else changes."""
    return re.sub("\r\n|\r", "\n", value)


def cut(frame: bytes, size: int) -> list[bytes]:
    return [frame[start : start + size] for start in range(0, len(frame), size)]


@given(
    data=text,
    event=st.none() | field_text,
    id=st.none() | id_text,
    retry=st.none() | st.integers(0, MAX_RETRY),
    comment=st.none() | text,
    size=st.integers(1, 40),
)
@settings(max_examples=500, deadline=None)
@example(data="", event=None, id=None, retry=None, comment=None, size=1)
@example(data="\ufeff", event="\ufeff", id="\ufeff", retry=0, comment="\ufeff\n", size=1)
@example(data=" x", event=" x", id=" x", retry=1, comment=" x", size=2)
def test_every_field_comes_back(
    data: str, event: str | None, id: str | None, retry: int | None, comment: str | None, size: int
) -> None:
    sent = ServerSentEvent(data, event=event, id=id, retry=retry, comment=comment)
    assert sent.data == browser_sees(data)

    comments: list[str] = []
    parser = EventParser(on_comment=comments.append)
    (got,) = [event for chunk in cut(sent.frame, size) for event in parser.feed(chunk)]
    assert got.data == sent.data
    assert got.type == (event or "message")
    assert got.last_event_id == (id or "")
    assert got.retry == parser.retry == retry
    assert "\n".join(comments) == browser_sees(comment or "")
    assert got == sent.replace(comment=None, id=id or None)
    # The oracle agrees, so that encoder and parser cannot be wrong together.
    assert read(sent.frame).events == [(event or "message", browser_sees(data), id or "")]


@given(st.lists(st.tuples(text, st.none() | id_text.filter(bool)), max_size=8), st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_a_stream_of_events_comes_back(sent: list[tuple[str, str | None]], size: int) -> None:
    stream = b"".join(ServerSentEvent(data, id=id).frame for data, id in sent)
    parser = EventParser()
    got = [event for chunk in cut(stream, size) for event in parser.feed(chunk)]
    assert [event.data for event in got] == [browser_sees(data) for data, _ in sent]
    last = ""
    for event, (_, id) in zip(got, sent, strict=True):
        last = id or last
        assert event.last_event_id == last


@given(st.dictionaries(text, text | st.integers() | st.none() | st.lists(text), max_size=5))
def test_json_comes_back(value: dict[str, Any]) -> None:
    (event,) = EventParser().feed(encode(value).frame)
    assert event.json() == value


@pytest.mark.parametrize("unit", ["x", "é", "\u2028", "\x0b", "\0", "ab\r", "ab\r\n", "\n", "\U0001f600"])
def test_a_megabyte_comes_back(unit: str) -> None:
    data = unit * (1_000_000 // len(unit.encode()))
    frame = ServerSentEvent(data).frame
    for size in (len(frame), 65_536, 1_459):
        parser = EventParser()
        (event,) = [event for chunk in cut(frame, size) for event in parser.feed(chunk)]
        assert event.data == browser_sees(data)
