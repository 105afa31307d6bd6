"""`dumps=`: where it is given, it holds for every value that becomes an event there."""

from __future__ import annotations

import json
from contextvars import copy_context
from typing import Any

import pytest

from rx_sse.errors import EncodeError
from rx_sse.wire import ServerSentEvent, encode
from rx_sse.wire.control import stream_end, stream_error, stream_gap, stream_reconnect
from rx_sse.wire.dumps import DUMPS


class ObjectId: ...


def oid(value: Any) -> str:
    return json.dumps(value, default=lambda _: "oid")


def inside(function: Any) -> Any:
    """What `function` gives where a stream has `dumps=oid`."""

    def run() -> Any:
        DUMPS.set(oid)
        return function()

    return copy_context().run(run)


def test_an_event_takes_its_own() -> None:
    event = ServerSentEvent({"_id": ObjectId()}, event="row", dumps=oid)
    assert event.frame == b'event: row\ndata: {"_id": "oid"}\n\n'
    assert event.replace(data=[ObjectId()], dumps=oid).data == '["oid"]'
    with pytest.raises(EncodeError, match="pass dumps="):
        ServerSentEvent({"_id": ObjectId()})


def test_without_one_it_takes_the_streams() -> None:
    assert inside(lambda: ServerSentEvent({"_id": ObjectId()})).data == '{"_id": "oid"}'
    assert inside(lambda: ServerSentEvent(1).replace(data={"_id": ObjectId()})).data == '{"_id": "oid"}'
    assert inside(lambda: encode({"_id": ObjectId()})).frame == b'data: {"_id": "oid"}\n\n'
    assert inside(lambda: ServerSentEvent({"a": 1}, dumps=lambda value: "own")).data == "own"


def test_text_is_text() -> None:
    assert inside(lambda: ServerSentEvent("a")).data == "a"
    assert ServerSentEvent("a", dumps=oid).data == "a"


def test_pretty_printed_json_is_as_many_lines() -> None:
    event = ServerSentEvent({"a": 1}, dumps=lambda value: json.dumps(value, indent=1).replace("\n", "\r\n"))
    assert event.frame == b'data: {\ndata:  "a": 1\ndata: }\n\n'


def test_what_it_refuses_is_told_with_its_words() -> None:
    def refuses(value: Any) -> str:
        raise LookupError("no ids today")

    with pytest.raises(EncodeError, match="refused by dumps=: LookupError: no ids today"):
        ServerSentEvent({"a": 1}, dumps=refuses)
    with pytest.raises(EncodeError, match="returned 5"):
        ServerSentEvent({"a": 1}, dumps=lambda value: 5)  # type: ignore[arg-type,return-value]


def test_what_the_library_says_is_said_by_the_library() -> None:
    for control in (
        lambda: stream_end("ended"),
        lambda: stream_error({"status": 500}),
        lambda: stream_gap("trimmed", missed=1),
        lambda: stream_reconnect("shutdown", retry=1000),
    ):
        before = control().frame

        def asked(control: Any = control) -> Any:
            DUMPS.set(lambda value: "mine")
            return control()

        assert copy_context().run(asked).frame == before
