"""The connection's cursor, rule by rule."""

from __future__ import annotations

from rx_sse.bus import MemoryBus
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.position import Mark, mark_of, new_position, parse, ref_of, seq_of
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.testing.listener import Listener
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.raw_frame import RawFrame


def event(seq: int, topic: str = "t", epoch: int = 0) -> ServerSentEvent:
    entry = Entry(new_position(seq, seq + 1000), new_position(seq - 1, seq + 999), "t", str(seq))
    return entry.marked(topic, ref_of(topic), epoch)


class EventsSubscription:
    """As much of a feed as a handle sees."""

    def __init__(self, handle: StreamCursor, topic: str = "t") -> None:
        self.ready = True
        self.refs = (ref_of(topic),)
        self.released = False
        handle.attach(self, {ref_of(topic): topic})
        handle.starts(ref_of(topic), new_position(0, 7), 0, resumed=True, pending=False)
        handle.settled(lambda action: action())

    def release(self) -> None:
        self.released = True


class Socket:
    def __init__(self) -> None:
        self.written: list[ServerSentEvent] = []
        self.drained = True

    def control(self, event: ServerSentEvent) -> None:
        self.written.append(event)

    def live_only(self) -> None:
        pass

    def replaying(self, begun: bool) -> None:
        pass

    def on_drained(self, callback: object) -> None:
        pass


def opened(*topics: str) -> tuple[StreamCursor, Socket]:
    handle, socket = StreamCursor(), Socket()
    handle.bind(socket)
    for topic in topics:
        EventsSubscription(handle, topic)
    return handle, socket


def test_a_request_without_an_id_is_false_and_empty() -> None:
    assert (
        not StreamCursor()
        and str(StreamCursor()) == ""
        and StreamCursor("x")
        and str(StreamCursor("x")) == "x"
    )
    assert not StreamCursor().attached and StreamCursor().ready


def test_a_stream_of_one_topic_shares_the_event_whole() -> None:
    handle, _ = opened("t")
    first = event(1)
    written, mark = handle.stamp(first)
    assert written is first and mark == first.id


def test_a_stream_of_several_topics_has_one_vector() -> None:
    handle, socket = opened("a", "b")
    written, mark = handle.stamp(event(1, "b"))
    assert written.data == "1" and mark == written.id == f"1_{ref_of('a')}.0.7_{ref_of('b')}.1.1001"
    assert socket.written[-1].id == f"1_{ref_of('a')}.0.7_{ref_of('b')}.0.7"


def test_a_copy_carries_no_id_and_the_cursor_follows() -> None:
    handle, _ = opened("t")
    original = event(1)
    for comment in ("first", "second"):
        written, mark = handle.stamp(original.replace(comment=comment))
        assert written.id is None and mark is None
    cursor = handle.refresh()
    assert cursor is not None and cursor.id == original.id and handle.refresh() is None


def test_a_position_that_goes_back_or_none_at_all_ends_resuming() -> None:
    for wrong in (
        event(1),
        ServerSentEvent("x"),
        ServerSentEvent("x", id="mine"),
        RawFrame("data: x\n\n"),
        event(9, "other"),
    ):
        handle, socket = opened("t")
        handle.stamp(event(2))
        written, mark = handle.stamp(wrong)
        assert mark is None and getattr(written, "id", None) is None
        assert socket.written[-1].json()["resumable"] is False
        assert handle.stamp(event(3))[1] is None and handle.refresh() is None
        assert len(socket.written) == 2, "it is said once"


def test_after_a_gap_lower_numbers_are_newer() -> None:
    handle, _ = opened("t")
    handle.stamp(event(50))
    assert handle.stamp(event(3, epoch=1))[1] is not None


def test_what_is_on_its_way_through_the_pipeline_is_not_passed_over() -> None:
    handle, _ = opened("t")
    on_its_way = event(1)
    mark = on_its_way.position
    assert isinstance(mark, Mark)
    handle.entered(mark)
    handle.passed(mark_of(ref_of("t"), new_position(2, 9), 0), 1000)
    assert handle.refresh() is None, "1 is still to come"
    handle.stamp(on_its_way)
    cursor = handle.refresh()
    assert cursor is not None and cursor.id == f"1_{ref_of('t')}.2.9"


def test_after_a_quarter_of_the_history_the_cursor_is_told() -> None:
    handle, socket = opened("t")
    for seq in range(1, 25):
        handle.passed(mark_of(ref_of("t"), new_position(seq, 9), 0), 100)
    assert len(socket.written) == 1
    handle.passed(mark_of(ref_of("t"), new_position(25, 9), 0), 100)
    assert len(socket.written) == 2 and socket.written[-1].id == f"1_{ref_of('t')}.25.9"


def test_a_gap_of_the_outbox_carries_the_last_id_of_its_run() -> None:
    handle, _ = opened("t")
    gap = handle.gap("overflow", 3, "1_abcdef.3.4")
    assert gap.id == "1_abcdef.3.4" and gap.json() == {
        "reason": "overflow",
        "missed": 3,
        "next": "1_abcdef.3.4",
    }


async def test_a_topic_that_is_not_granted_is_like_an_unknown_one() -> None:
    async with MemoryBus() as bus:
        real = await bus.publish("t", 1)
        answers = []
        for handle in (
            StreamCursor(real, granted=lambda topic: topic != "t"),
            StreamCursor(f"1_{ref_of('t')}.5.5", granted=lambda _: False),
        ):
            socket = Socket()
            handle.bind(socket)
            bus.events("t", after=handle).subscribe(lambda _: None)
            await bus.publish("elsewhere", 1)
            answers.append([written.frame for written in socket.written])
        assert answers[0] == answers[1] and b"stream-gap" in answers[0][1]


async def test_positions_of_topics_that_a_stream_does_not_have_stay_in_its_cursor() -> None:
    async with MemoryBus() as bus:
        both = await Listener(bus, "a", "b").opened()
        one = await Listener(bus, "a", cursor=both.cut()).opened()
        assert one.cursor is not None and ref_of("b") in one.cursor
        await bus.publish("b", "missed meanwhile")
        again = await Listener(bus, "a", "b", cursor=one.cut()).received(1)
        assert [event.data for event in again.events] == ["missed meanwhile"]


async def test_while_a_gap_waits_its_turn_every_id_is_a_cursor() -> None:
    """The client was in two branches of a, both lost; a's gap comes behind the events of b."""
    async with MemoryBus() as bus:
        a, b = ref_of("a"), ref_of("b")
        zero = (await Listener(bus, "b").opened()).cut()
        await bus.publish("b", 1)
        listener = await Listener(bus, "b", "a", cursor=f"{zero}_{a}.4.11_{a}.32.12").until(
            lambda it: bool(it.gaps)
        )
        assert [event.event for event in listener.written] == ["stream-cursor", None, "stream-gap"]
        between = listener.written[1].id
        assert between is not None and (places := parse(between)) is not None
        assert seq_of(places[b].position) == 1 and seq_of(places[a].position) == 32
