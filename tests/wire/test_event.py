"""`ServerSentEvent` and `RawFrame`: the text they become, what they refuse, and that they never change."""

from __future__ import annotations

import copy
import enum
import operator
import pickle
from typing import Any

import pytest

from rx_sse.errors import EncodeError
from rx_sse.wire.chunk import chunk
from rx_sse.wire.encode import encode
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.fields import MAX_ID_BYTES, MAX_RETRY
from rx_sse.wire.parser import EventParser
from rx_sse.wire.raw_frame import RawFrame

# A str whose format() is not its characters.
RED = enum.Enum("Colour", {"RED": "red"}, type=str)["RED"]


# The frame


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("hello", b"data: hello\n\n"),
        ("", b"data: \n\n"),
        (" two  spaces ", b"data:  two  spaces \n\n"),
        ("a\nb", b"data: a\ndata: b\n\n"),
        ("a\r\nb\rc\n", b"data: a\ndata: b\ndata: c\ndata: \n\n"),
        ("\n", b"data: \ndata: \n\n"),
        ("\r\r\n", b"data: \ndata: \ndata: \n\n"),
        ("a\u2028b\x0bc\x85d\x0ce\x1cf", "data: a\u2028b\x0bc\x85d\x0ce\x1cf\n\n".encode()),
        ("a\0b", b"data: a\0b\n\n"),
        ("data: x", b"data: data: x\n\n"),
        (RED, b"data: red\n\n"),
        (None, b"data: null\n\n"),
        ({"data": 1, "event": "x"}, b'data: {"data":1,"event":"x"}\n\n'),
        ([1, "é"], 'data: [1,"é"]\n\n'.encode()),
        (["line", "break"], b'data: ["line","break"]\n\n'),
    ],
)
def test_data_on_the_wire(data: object, frame: bytes) -> None:
    assert ServerSentEvent(data).frame == frame


def test_fields_come_in_a_fixed_order() -> None:
    event = ServerSentEvent({"n": 1}, event="tick", id="7", retry=2000, comment="hi\r\nyou\n")
    assert event.frame == b': hi\n: you\n: \nevent: tick\ndata: {"n":1}\nretry: 2000\nid: 7\n\n'
    assert event.body == b': hi\n: you\n: \nevent: tick\ndata: {"n":1}\nretry: 2000\n'


@pytest.mark.parametrize(
    ("fields", "frame"),
    [
        ({"comment": ""}, b": \n\n"),
        ({"id": "7"}, b"id: 7\n\n"),
        ({"id": ""}, b"id: \n\n"),
        ({"retry": 0}, b"retry: 0\n\n"),
        ({"retry": MAX_RETRY, "comment": "wait"}, b": wait\nretry: 2147483647\n\n"),
    ],
)
def test_an_event_may_have_no_data(fields: dict[str, Any], frame: bytes) -> None:
    event = ServerSentEvent(**fields)
    assert event.frame == frame
    assert not event.has_data
    assert event.data == ""


@pytest.mark.parametrize("id", [None, "", "7", "é 7", "a" * MAX_ID_BYTES])
def test_frame_body_and_chunk_belong_together(id: str | None) -> None:
    event = ServerSentEvent("a\nb", event="x", id=id)
    assert event.frame == event.body + (b"" if id is None else b"id: %b\n" % id.encode()) + b"\n"
    assert event.chunk == chunk(event.frame) == b"%x\r\n%b\r\n" % (len(event.frame), event.frame)
    assert event.chunk is event.chunk


def test_an_empty_frame_makes_no_chunk_because_that_would_end_the_response() -> None:
    assert chunk(b"") == b""


# What it tells


def test_data_is_what_a_browser_sees() -> None:
    assert ServerSentEvent("a\r\nb\rc").data == "a\nb\nc"
    assert ServerSentEvent({"é": None}).data == '{"é":null}'
    assert ServerSentEvent({"é": [1.5]}).json() == {"é": [1.5]}


def test_json_of_a_text_that_is_none_raises() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        ServerSentEvent("hello").json()


@pytest.mark.parametrize(
    ("event", "type", "is_control"),
    [
        (None, "message", False),
        ("", "message", False),
        ("tick", "tick", False),
        ("stream-end", "stream-end", True),
    ],
)
def test_the_type(event: str | None, type: str, is_control: bool) -> None:
    made = ServerSentEvent("x", event=event)
    assert (made.type, made.is_control) == (type, is_control)


def test_an_event_outside_a_bus_has_no_place() -> None:
    event = ServerSentEvent("x", id="7")
    assert (event.topic, event.position, event.last_event_id) == (None, None, "7")
    assert ServerSentEvent("x").last_event_id == ""


def test_the_repr_is_what_made_it() -> None:
    event = ServerSentEvent('{"n":1}', event="tick", id="7", retry=5, comment="hi")
    assert repr(event) == "ServerSentEvent('{\"n\":1}', event='tick', id='7', retry=5, comment='hi')"
    assert eval(repr(event)) == event
    assert repr(ServerSentEvent(id="7")) == "ServerSentEvent(id='7')"
    assert len(repr(ServerSentEvent("x" * 1_000_000))) < 200


# What it refuses


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"event": "a\nb"}, r"event: 'a\\nb' holds '\\n'"),
        ({"event": "a\rb"}, r"event: 'a\\rb' holds '\\r'"),
        ({"event": "a\0b"}, r"event: 'a\\x00b' holds '\\x00'"),
        ({"event": "X: y\r\ndata: z"}, r"event: 'X: y\\r\\ndata: z'"),
        ({"event": "\ud800"}, r"event: '\\ud800' has a lone surrogate at index 0"),
        ({"event": 7}, "event: 7 is of type int; give a str"),
        ({"event": b"x"}, "event: b'x' is of type bytes"),
        ({"id": "X: y\r\ndata: z"}, r"id: 'X: y\\r\\ndata: z'"),
        ({"id": "a\nb"}, r"holds the control character '\\n'"),
        ({"id": "a\0"}, r"holds the control character '\\x00'"),
        ({"id": "\t"}, r"holds the control character '\\t'"),
        ({"id": "\x7f"}, r"holds the control character '\\x7f'"),
        ({"id": "\x85"}, r"holds the control character '\\x85'"),
        ({"id": "x" * (MAX_ID_BYTES + 1)}, r"id: .*4,096 bytes"),
        ({"id": "é" * (MAX_ID_BYTES // 2 + 1)}, r"id: .*4,096 bytes"),
        ({"id": "a\udfffb"}, r"id: .*lone surrogate at index 1"),
        ({"id": 7}, "id: 7 is of type int"),
        ({"id": "0_0123456789abcdef"}, "id: '0_0123456789abcdef' has the form"),
        ({"retry": True}, "retry: True is not an int"),
        ({"retry": -1}, "retry: -1 is not an int"),
        ({"retry": 1.5}, r"retry: 1\.5 is not an int"),
        ({"retry": "1000"}, "retry: '1000' is not an int"),
        ({"retry": MAX_RETRY + 1}, "retry: 2147483648 is not an int of milliseconds from 0 to 2,147,483,647"),
        ({"retry": 10**5000}, "retry: .* is not an int"),
        ({"comment": "\ud800"}, r"comment: '\\ud800' has a lone surrogate"),
        ({"comment": 7}, "comment: 7 is of type int"),
    ],
)
def test_refused_with_the_value_in_the_message(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        ServerSentEvent("x", **fields)
    with pytest.raises(EncodeError, match=message):
        ServerSentEvent("x").replace(**fields)


@pytest.mark.parametrize("data", ["a\ud800b", "\udfff", "é\ud800\udfff"])
def test_a_lone_surrogate_in_data_is_refused(data: str) -> None:
    with pytest.raises(EncodeError, match=r"data: .*lone surrogate"):
        ServerSentEvent(data)
    with pytest.raises(EncodeError, match=r"lone surrogate"):
        ServerSentEvent({"text": data})


def test_retry_may_be_any_int_and_is_sent_as_digits() -> None:
    class Named(int):
        def __str__(self) -> str:
            return "soon"

    event = ServerSentEvent("x", retry=Named(7))
    assert event.frame == b"data: x\nretry: 7\n\n"
    assert type(event.retry) is int


def test_an_event_of_nothing_is_refused() -> None:
    with pytest.raises(EncodeError, match="needs data"):
        ServerSentEvent()


def test_a_name_without_data_is_refused_because_no_client_would_see_it() -> None:
    with pytest.raises(EncodeError, match="event: 'ping' has no data"):
        ServerSentEvent(event="ping")
    assert EventParser().feed(b"event: ping\n\n") == []
    assert ServerSentEvent("", event="ping").frame == b"event: ping\ndata: \n\n"


@pytest.mark.parametrize(
    "id",
    [
        "0_0123456789abcde",
        "0_0123456789abcdef0",
        "0_0123456789ABCDEF",
        "1_0123456789abcdef",
        "00_123456789abcdef",
    ],
)
def test_an_id_that_only_resembles_the_ended_one_is_free(id: str) -> None:
    assert ServerSentEvent("x", id=id).id == id


def test_the_largest_id_comes_through() -> None:
    id = "é" * (MAX_ID_BYTES // 2)
    assert ServerSentEvent("x", id=id).id == id


# Immutable, equal, copied


@pytest.mark.parametrize("name", ["data", "id", "frame", "chunk", "position", "topic", "unheard_of"])
def test_an_event_never_changes(name: str) -> None:
    event = ServerSentEvent("x")
    with pytest.raises(AttributeError, match=f"replace\\({name}="):
        setattr(event, name, "y")
    with pytest.raises(AttributeError, match="immutable"):
        delattr(event, name)
    assert event == ServerSentEvent("x")


def test_an_unknown_attribute_is_none_of_its_own() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tpye'"):
        operator.attrgetter("tpye")(ServerSentEvent("x"))


def test_equal_by_fields_however_it_was_made() -> None:
    event = ServerSentEvent({"n": 1}, event="tick", id="7", retry=5)
    received = EventParser().feed(event.frame)[0]
    from_log = ServerSentEvent.from_body(b'event: tick\ndata: {"n":1}\n', id="7")
    assert event == received and hash(event) == hash(received)
    assert event.replace(retry=None) == from_log
    assert encode({"n": 1}) == ServerSentEvent({"n": 1}) == ServerSentEvent('{"n":1}')


@pytest.mark.parametrize(
    "other",
    [
        ServerSentEvent("y", event="e", id="1", retry=1, comment="c"),
        ServerSentEvent("x", event="f", id="1", retry=1, comment="c"),
        ServerSentEvent("x", event="e", id="2", retry=1, comment="c"),
        ServerSentEvent("x", event="e", id="1", retry=2, comment="c"),
        ServerSentEvent("x", event="e", id="1", retry=1, comment="d"),
        ServerSentEvent("x", event="e", id="1", retry=1),
        "x",
        None,
    ],
)
def test_unequal_in_any_field(other: object) -> None:
    assert ServerSentEvent("x", event="e", id="1", retry=1, comment="c") != other


def test_an_event_without_data_is_not_one_with_empty_data() -> None:
    assert ServerSentEvent(id="7") != ServerSentEvent("", id="7")


def test_replace_changes_what_it_is_given_and_keeps_the_rest() -> None:
    event = ServerSentEvent("x", event="e", id="1", retry=1, comment="c").stamped(
        "1", topic="t", position=(3, "n")
    )
    changed = event.replace(data={"n": 1})
    assert changed == ServerSentEvent({"n": 1}, event="e", id="1", retry=1, comment="c")
    assert (changed.topic, changed.position) == ("t", (3, "n"))
    assert event.replace(event=None, id=None, retry=None, comment=None) == ServerSentEvent("x")
    assert event.replace() == event
    assert event.data == "x"
    assert not ServerSentEvent(id="1").replace(retry=5).has_data


def test_replace_keeps_an_id_of_the_library() -> None:
    ended = ServerSentEvent("{}").stamped("0_0123456789abcdef", topic=None, position=None)
    assert ended.replace(event="stream-end").id == "0_0123456789abcdef"


def test_replace_knows_no_other_field() -> None:
    fields: dict[str, Any] = {"topic": "t"}
    with pytest.raises(TypeError, match="topic"):
        ServerSentEvent("x").replace(**fields)


def test_events_are_copied_and_pickled_whole() -> None:
    event = ServerSentEvent("a\nb", event="e", id="1", retry=1, comment="c").stamped(
        "9", topic="t", position=(3, "n")
    )
    for twin in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert twin == event
        assert (twin.data, twin.id, twin.topic, twin.position) == ("a\nb", "9", "t", (3, "n"))


# For the bus


def test_stamped_shares_the_body_and_says_where_it_is() -> None:
    event = ServerSentEvent("x", event="e", id="mine", retry=4, comment="c")
    stamped = event.stamped("1_abc.3.f", topic="t", position=3)
    assert stamped.body == event.body
    assert stamped == event.replace(id="1_abc.3.f")
    assert (stamped.id, stamped.topic, stamped.position) == ("1_abc.3.f", "t", 3)
    assert (stamped.event, stamped.data, stamped.retry, stamped.comment) == ("e", "x", 4, "c")
    assert (event.id, event.topic, event.position) == ("mine", None, None)
    assert event.stamped(None, topic="t", position=3) == event.replace(id=None)


def test_stamped_with_its_own_id_shares_the_frame() -> None:
    event = ServerSentEvent("x", id="7")
    assert event.stamped("7", topic="t", position=1).frame is event.frame


@pytest.mark.parametrize(
    "event",
    [
        ServerSentEvent("x"),
        ServerSentEvent(""),
        ServerSentEvent("a\n\nb\n", event="e"),
        ServerSentEvent("a\0b", comment="one\n\ntwo"),
        ServerSentEvent(comment=""),
        ServerSentEvent("id: 7\nretry: 8\n: 9"),
        ServerSentEvent("é\u2028"),
    ],
)
def test_from_body_gives_back_the_event(event: ServerSentEvent) -> None:
    back = ServerSentEvent.from_body(event.body)
    assert back == event
    fields = ("data", "has_data", "event", "id", "retry", "comment", "type")
    assert [getattr(back, name) for name in fields] == [getattr(event, name) for name in fields]
    stamped = ServerSentEvent.from_body(event.body, id="9", topic="t", position=3)
    assert stamped == event.replace(id="9")
    assert (stamped.topic, stamped.position) == ("t", 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"data: x",
        b"data: x\n\n",
        b"data: x\n\ndata: y\n",
        b"\ndata: x\n",
        b"data: x\rdata: y\n",
        b"data: x\r\n",
        b"data:x\n",
        b"data\n",
        b"id: 7\n",
        b"data: x\nid: 7\n",
        b"data: x\nretry: 7\n",
        b"event: e\n",
        b"event: \ndata: x\n",
        b"event: a\0b\ndata: x\n",
        b"event: e\nevent: f\ndata: x\n",
        b"data: x\nevent: e\n",
        b"data: x\n: late\n",
        b"colour: x\n",
        b":\ndata: x\n",
        b"data: \xff\n",
        b"data: \xed\xa0\x80\n",
    ],
)
def test_from_body_takes_nothing_that_this_library_does_not_write(body: bytes) -> None:
    with pytest.raises(EncodeError, match="body: "):
        ServerSentEvent.from_body(body)


# RawFrame


@pytest.mark.parametrize(
    "frame",
    [
        b"data: x\n\n",
        b"data: x\r\n\r\n",
        b"data: x\r\r",
        b"data: x\n\r\n",
        b"data: x\r\n\n",
        b"event: a\ndata: x\n\nevent: b\ndata: y\n\n\n",
        b"data: \xff\n\n",
    ],
)
def test_a_raw_frame_is_sent_untouched(frame: bytes) -> None:
    raw = RawFrame(frame)
    assert raw.frame is frame
    assert raw.chunk == chunk(frame)
    assert raw.chunk is raw.chunk


def test_a_raw_frame_may_be_text() -> None:
    assert RawFrame("data: é\n\n").frame == "data: é\n\n".encode()


@pytest.mark.parametrize(
    "frame", ["", "\n", "\r\n", "data: x", "data: x\n", "data: x\r", "data: x\r\n", "\n\ndata: x\n"]
)
def test_a_raw_frame_without_a_blank_line_is_refused(frame: str) -> None:
    for given in (frame, frame.encode()):
        with pytest.raises(EncodeError, match="blank line"):
            RawFrame(given)


@pytest.mark.parametrize("frame", [None, 7, bytearray(b"data: x\n\n"), {"data": 1}])
def test_a_raw_frame_of_anything_else_is_refused(frame: Any) -> None:
    with pytest.raises(EncodeError, match="frame: "):
        RawFrame(frame)


def test_a_raw_frame_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(EncodeError, match="lone surrogate"):
        RawFrame("data: \ud800\n\n")


def test_a_raw_frame_is_a_value() -> None:
    raw = RawFrame(b"data: x\n\n")
    assert raw == RawFrame("data: x\n\n") and hash(raw) == hash(RawFrame("data: x\n\n"))
    assert raw != RawFrame(b"data: y\n\n")
    assert raw != ServerSentEvent("x")
    assert pickle.loads(pickle.dumps(raw)) == raw
    assert eval(repr(raw)) == raw
    with pytest.raises(AttributeError, match="immutable"):
        raw.frame = b""
    with pytest.raises(AttributeError, match="immutable"):
        del raw.frame
    with pytest.raises(AttributeError, match="no attribute 'data'"):
        operator.attrgetter("data")(raw)
