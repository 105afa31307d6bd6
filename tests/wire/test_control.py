"""The library's own events: their names, data and ids, and the pieces between events."""

from __future__ import annotations

import pytest

from rx_sse.wire import EventParser, ServerSentEvent, control


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (control.stream_end(), b"event: stream-end\ndata: {}\n\n"),
        (
            control.stream_end("bus ended", id="0_0123456789abcdef"),
            b'event: stream-end\ndata: {"reason":"bus ended"}\nid: 0_0123456789abcdef\n\n',
        ),
        (control.stream_expired("revoked"), b'event: stream-expired\ndata: {"reason":"revoked"}\n\n'),
        (control.stream_error({"title": "No"}), b'event: stream-error\ndata: {"title":"No"}\n\n'),
        (
            control.stream_cursor(resumed=False, id="1_a.0.f"),
            b'event: stream-cursor\ndata: {"resumed":false,"resumable":true}\nid: 1_a.0.f\n\n',
        ),
        (
            control.stream_cursor(resumed=False, resumable=False, id=None),
            b'event: stream-cursor\ndata: {"resumed":false,"resumable":false}\n\n',
        ),
        (control.stream_gap("overflow"), b'event: stream-gap\ndata: {"reason":"overflow"}\n\n'),
        (
            control.stream_gap("trimmed", missed=0, last="1_a.3.f", next="1_a.9.f", id="1_a.9.f"),
            b'event: stream-gap\ndata: {"reason":"trimmed","missed":0,"last":"1_a.3.f","next":"1_a.9.f"}\n'
            b"id: 1_a.9.f\n\n",
        ),
    ],
)
def test_control_events_on_the_wire(event: ServerSentEvent, frame: bytes) -> None:
    assert event.frame == frame
    assert event.is_control
    assert EventParser().feed(frame) == [event]


def test_the_ended_id_belongs_to_one_request() -> None:
    ids = {
        control.ended_id("GET", "/a", ""),
        control.ended_id("POST", "/a", ""),
        control.ended_id("GET", "/a", "x=1"),
        control.ended_id("GET", "/ax=1", ""),
        control.ended_id("GET", "/", "a"),
        control.ended_id("GET", "/\udcff", ""),
    }
    assert len(ids) == 6
    assert all(control.is_ended_id(id) for id in ids)
    # printf 'GET\\0/a\\0' | sha256sum
    assert control.ended_id("get", "/a", "") == control.ended_id("GET", "/a", "") == "0_f338a2974553c092"


@pytest.mark.parametrize(
    "text",
    ["", "0_", "0_0123456789abcde", "0_0123456789abcdeF", "0_0123456789abcdef\n", "x0_0123456789abcdef"],
)
def test_other_ids_are_not_ended(text: str) -> None:
    assert not control.is_ended_id(text)


def test_the_pieces_between_events_have_no_blank_line_and_dispatch_nothing() -> None:
    parser = EventParser()
    for piece in (control.OPENING, control.retry_line(2500), control.HEARTBEAT, control.HEARTBEAT):
        assert piece.endswith(b"\n") and b"\n\n" not in piece
        assert parser.feed(piece) == []
    assert parser.retry == 2500
    assert [event.data for event in parser.feed(b"data: x\n\n")] == ["x"]
