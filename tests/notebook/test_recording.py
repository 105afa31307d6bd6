"""A recording holds what happened, survives a file, and is replayed with its pauses."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.testing import TestScheduler

from rx_sse import ServerSentEvent
from rx_sse.errors import UsageError
from rx_sse.reactive.diagram import Lane, Tick, svg, text
from rx_sse.reactive.recording import Kind, Moment, Recording

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.text(),
    st.lists(st.integers(0, 9), max_size=3),
    st.builds(ServerSentEvent, st.text(), event=st.text(string.ascii_letters, min_size=1)),
)


def times(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.integers(0, 10_000).map(lambda n: n / 1000), min_size=count, max_size=count).map(
        sorted
    )


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    values = draw(st.lists(VALUES, max_size=8))
    ends: list[Kind | None] = [None, "completed", "error"]
    end = draw(st.sampled_from(ends))
    at = draw(times(len(values) + 1))
    moments = [Moment(t, "next", value) for t, value in zip(at, values, strict=False)]
    if end is not None:
        moments.append(Moment(at[-1], end, "boom" if end == "error" else None))
    return Recording(moments, seconds=10.0, name=draw(st.text(max_size=10)))


@given(recordings())
def test_a_file_gives_back_what_was_saved(recording: Recording) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.jsonl")
        recording.save(path)
        assert Recording.load(path) == recording


@given(recordings(), st.sampled_from([0.5, 1.0, 4.0]))
def test_a_replay_keeps_the_pauses(recording: Recording, speed: float) -> None:
    scheduler = TestScheduler()
    seen: list[tuple[float, str, Any]] = []
    begin = scheduler.now

    def note(kind: str) -> Any:
        return lambda *value: seen.append(
            ((scheduler.now - begin).total_seconds() * speed, kind, value[0] if value else None)
        )

    recording.replay(speed).subscribe(note("next"), note("error"), note("completed"), scheduler=scheduler)
    scheduler.advance_to(scheduler.clock + 100)
    expected = list(recording)
    if not expected or expected[-1].kind == "next":
        expected.append(Moment(expected[-1].at if expected else 0.0, "completed"))
    assert [kind for _, kind, _ in seen] == [moment.kind for moment in expected]
    assert [value for _, kind, value in seen if kind == "next"] == recording.values
    for (at, _, _), moment in zip(seen, expected, strict=True):
        assert at == pytest.approx(moment.at, abs=0.01 * speed)


def test_a_replay_at_speed_nought_emits_everything_at_once() -> None:
    recording = Recording([Moment(1.0, "next", 1), Moment(60.0, "next", 2)], seconds=60)
    scheduler = TestScheduler()
    seen: list[Any] = []
    recording.replay(0).subscribe(seen.append, scheduler=scheduler)
    scheduler.advance_to(scheduler.clock + 0.1)
    assert seen == [1, 2]


def test_a_disposed_replay_emits_no_more() -> None:
    recording = Recording([Moment(float(n), "next", n) for n in range(5)], seconds=5)
    scheduler = TestScheduler()
    seen: list[Any] = []
    subscription = recording.replay().subscribe(seen.append, scheduler=scheduler)
    scheduler.advance_to(scheduler.clock + 2.5)
    subscription.dispose()
    scheduler.advance_to(scheduler.clock + 10)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    "content", ["", "no json", '{"rx_sse":99}', '{"rx_sse":1,"name":"","seconds":1}\n{"at":0}']
)
def test_a_file_that_is_no_recording_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"x\.jsonl"):
        Recording.load(path)


def test_moments_out_of_order_are_refused() -> None:
    with pytest.raises(UsageError):
        Recording([Moment(2.0, "next", 1), Moment(1.0, "next", 2)], seconds=3)
    with pytest.raises(UsageError):
        Recording([Moment(1.0, "completed"), Moment(2.0, "next", 2)], seconds=3)


@given(recordings())
def test_a_recording_shows_itself(recording: Recording) -> None:
    shown = recording._repr_mimebundle_()
    assert set(shown) == {"text/plain", "image/svg+xml"}
    assert "\n" not in shown["text/plain"].replace(recording.name, "")


def test_text_puts_values_where_they_came() -> None:
    lane = Lane("s", [Tick(0, "next", "a"), Tick(1, "next", "bc"), Tick(2, "completed")], 4)
    assert text([lane], 4).startswith("s a" + "-" * 14 + "bc" + "-" * 13 + "|")


NASTY = "</text><script>alert(1)</script>&\"'"


def test_svg_is_well_formed_and_escapes_what_a_stream_says() -> None:
    ticks = [Tick(0.1, "next", NASTY, NASTY), Tick(0.5, "gap", NASTY), Tick(0.9, "error", NASTY)]
    image = svg([Lane(NASTY, ticks, 1.0), Lane("empty", [], 1.0)], 1.0)
    root = ElementTree.fromstring(image)
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_every_kind_has_a_mark_of_its_own() -> None:
    kinds = [
        Tick(0.1, "next", "1"),
        Tick(0.3, "gap", "4"),
        Tick(0.5, "completed"),
        Tick(0.7, "error", "boom"),
    ]
    classes = {
        node.get("class")
        for node in ElementTree.fromstring(svg([Lane("x", kinds, 1)], 1)).iter()
        if node.get("class")
    }
    assert {"rx-marble", "rx-gap", "rx-end", "rx-bad"} <= classes


def test_groups_have_colours() -> None:
    ticks = [Tick(0.2, "next", "1", "a"), Tick(0.5, "next", "2", "b"), Tick(0.8, "next", "3", "a")]
    rects = [
        n for n in ElementTree.fromstring(svg([Lane("x", ticks, 1)], 1)).iter() if n.tag.endswith("rect")
    ]
    colours = [rect.get("stroke") for rect in rects]
    assert colours[0] == colours[2] != colours[1]
