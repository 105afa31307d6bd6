"""`encode`: which values are events, which are text, and which are JSON; and what `dumps=` may replace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.errors import EncodeError
from rx_sse.wire import RawFrame, ServerSentEvent, encode
from rx_sse.wire.encode import chunk_of


@pytest.mark.parametrize("value", [ServerSentEvent("x", id="7"), RawFrame(b"data: x\n\n")])
def test_what_is_framed_passes_through(value: Any) -> None:
    assert encode(value) is value
    assert encode(value, dumps=json.dumps) is value


@pytest.mark.parametrize(
    ("value", "frame"),
    [
        ("hello\nworld", b"data: hello\ndata: world\n\n"),
        ("", b"data: \n\n"),
        (None, b"data: null\n\n"),
        (True, b"data: true\n\n"),
        (0, b"data: 0\n\n"),
        ([], b"data: []\n\n"),
        ({"data": "x", "event": "e", "id": 7}, b'data: {"data":"x","event":"e","id":7}\n\n'),
        (["a\nb"], b'data: ["a\\nb"]\n\n'),
    ],
)
def test_text_is_text_and_everything_else_is_json(value: object, frame: bytes) -> None:
    event = encode(value)
    assert event.frame == frame
    assert isinstance(event, ServerSentEvent)
    assert event == ServerSentEvent(value)


def test_an_encoded_value_has_every_attribute_of_an_event() -> None:
    event = encode({"n": 1})
    assert isinstance(event, ServerSentEvent)
    assert (event.data, event.has_data, event.json(), event.type) == ('{"n":1}', True, {"n": 1}, "message")
    assert (event.event, event.id, event.retry, event.comment) == (None, None, None, None)
    assert (event.topic, event.position, event.is_control, event.last_event_id) == (None, None, False, "")
    assert (event.body, event.chunk) == (b'data: {"n":1}\n', b'f\r\ndata: {"n":1}\n\n\r\n')


def test_dumps_replaces_the_encoder_for_values_and_not_for_text() -> None:
    assert encode({"n": 1}, dumps=lambda value: "own").frame == b"data: own\n\n"
    assert encode({"n": 1}, dumps=lambda value: "é".encode()).frame == "data: é\n\n".encode()
    assert encode("text", dumps=lambda value: "own").frame == b"data: text\n\n"
    assert encode(b"bytes", dumps=lambda value: value).frame == b"data: bytes\n\n"


def test_dumps_may_write_several_lines() -> None:
    event = encode({"n": 1}, dumps=lambda value: json.dumps(value, indent=1).replace("\n", "\r\n"))
    assert event.frame == b'data: {\ndata:  "n": 1\ndata: }\n\n'


@pytest.mark.parametrize(
    ("dumps", "message"),
    [
        (lambda value: None, r"dumps= returned None for {'n': 1}"),
        (lambda value: 1 / 0, "{'n': 1} was refused by dumps=: ZeroDivisionError"),
        (lambda value: b"\xff", "refused by dumps=: UnicodeDecodeError"),
        (lambda value: "\ud800", "lone surrogate"),
    ],
)
def test_what_dumps_does_wrong_is_an_encode_error(dumps: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        encode({"n": 1}, dumps=dumps)


def test_an_encode_error_of_dumps_itself_passes() -> None:
    def dumps(value: object) -> str:
        raise EncodeError("as I said")

    with pytest.raises(EncodeError, match=r"^as I said$"):
        encode({"n": 1}, dumps=dumps)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_the_chunk_of_a_value_is_that_of_its_event(value: Any) -> None:
    assert chunk_of(value) == encode(value).chunk
    assert chunk_of(value, json.dumps) == encode(value, json.dumps).chunk


def test_the_chunk_of_what_is_no_value_is_its_own() -> None:
    for event in (ServerSentEvent("a", event="b"), RawFrame("data: a\n\n")):
        assert chunk_of(event) == event.chunk
    with pytest.raises(EncodeError, match="number"):
        chunk_of(float("nan"))
