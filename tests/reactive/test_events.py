"""`as_events`: what it makes of values, and that it does so once for all."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import reactivex as rx
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

import rx_sse
from rx_sse.errors import EncodeError
from rx_sse.reactive import LoopScheduler, as_events
from rx_sse.wire import RawFrame, ServerSentEvent, encode
from rx_sse.wire.event import TRANSIENT


def events_of(*values: Any, **options: Any) -> list[Any]:
    got: list[Any] = []
    rx.of(*values).pipe(as_events(**options)).subscribe(got.append, lambda error: got.append(error))
    return got


@pytest.mark.parametrize("value", ["text", "two\nlines", {"data": 1}, None, [1, 2], 7, ""])
def test_a_value_becomes_the_event_that_a_connection_would_make_of_it(value: Any) -> None:
    assert events_of(value) == [encode(value)]


def test_what_is_an_event_already_passes_as_it_is() -> None:
    event, frame = ServerSentEvent("x", event="mine", id="1"), RawFrame("data: y\n\n")
    got = events_of(event, frame, event="other", id=str)
    assert got[0] is event
    assert got[1] is frame


def test_the_name_may_be_given_or_found() -> None:
    assert events_of(1, event="price") == [ServerSentEvent(1, event="price")]
    assert events_of(1, "a", event=lambda value: type(value).__name__) == [
        ServerSentEvent(1, event="int"),
        ServerSentEvent("a", event="str"),
    ]
    assert events_of(1, event=lambda _: None) == [ServerSentEvent(1)]


def test_a_transient_event_has_no_id_and_survives_pickling() -> None:
    (event,) = events_of({"n": 5}, event="x", id=lambda value: str(value["n"]), transient=True)
    assert (event.id, event.position, event.frame) == (None, TRANSIENT, b'event: x\ndata: {"n":5}\n\n')
    assert pickle.loads(pickle.dumps(event)).position is TRANSIENT


def test_an_id_is_found() -> None:
    assert events_of({"n": 5}, id=lambda value: str(value["n"])) == [ServerSentEvent({"n": 5}, id="5")]
    assert events_of(1, event="x", id=lambda _: None) == [ServerSentEvent(1, event="x")]


def test_another_encoder_may_be_given() -> None:
    assert events_of(object(), dumps=lambda _: "custom") == [ServerSentEvent("custom")]


def test_a_bad_name_is_told_at_once() -> None:
    with pytest.raises(EncodeError, match="event"):
        as_events(event="two\nlines")


@pytest.mark.parametrize(
    "options",
    [{}, {"event": lambda _: "two\nlines"}, {"id": lambda _: "bad\nid"}],
    ids=["value", "event", "id"],
)
def test_what_cannot_be_encoded_ends_the_sequence(options: dict[str, Any]) -> None:
    first, *rest = events_of(float("nan") if not options else 1, 2, **options)
    assert isinstance(first, EncodeError)
    assert rest == []


def test_without_sharing_each_subscriber_has_its_own_source() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(ReactiveTest.on_next(10, 1))
    events = source.pipe(as_events())
    events.subscribe(scheduler=scheduler)
    events.subscribe(scheduler=scheduler)
    assert len(source.subscriptions) == 2


async def test_a_shared_value_is_encoded_once_for_all() -> None:
    encoded: list[Any] = []

    def dumps(value: Any) -> str:
        encoded.append(value)
        return str(value)

    source: Subject[int] = Subject()
    events = source.pipe(as_events(dumps=dumps, shared=True))
    scheduler = LoopScheduler()
    got: list[Any] = []
    subscriptions = [events.subscribe(got.append, scheduler=scheduler) for _ in range(100)]
    source.on_next(7)
    assert encoded == [7]
    assert len(got) == 100
    assert all(event is got[0] for event in got)
    assert len(source.observers) == 1
    for subscription in subscriptions:
        subscription.dispose()
    assert not source.observers


async def test_a_shared_source_is_subscribed_again_when_somebody_comes_back() -> None:
    source: Subject[int] = Subject()
    events = source.pipe(as_events(shared=True))
    for _ in range(2):
        got: list[Any] = []
        with events.subscribe(got.append, scheduler=LoopScheduler()):
            source.on_next(1)
        source.on_next(2)
        assert got == [ServerSentEvent(1)]


def test_an_observable_of_ours_has_the_lock_by_which_operators_lock_their_source() -> None:
    topic = rx_sse.MemoryBus().topic("t")
    with topic.lock, topic.lock:  # the same thread may take it twice
        assert topic.lock is topic.lock
    with pytest.raises(AttributeError, match="has no attribute 'locks'"):
        getattr(topic, "lock" + "s")
