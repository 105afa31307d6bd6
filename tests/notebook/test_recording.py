"""A recording holds what happened, survives a file, and is replayed with its pauses."""

from __future__ import annotations

import itertools
import json
import math
import re
import string
import tempfile
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
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
    assert set(shown) == {"text/plain", "image/svg+xml", "text/html"}
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


def boxes(image: str) -> list[tuple[float, float]]:
    """Left and right of what stands on the first lane: labelled marbles, dots and the end."""
    found: list[tuple[float, float]] = []
    for node in ElementTree.fromstring(image).iter():
        kind = node.get("class")
        if kind == "rx-marble":
            left = float(node.get("x", ""))
            found.append((left, left + float(node.get("width", ""))))
        elif kind == "rx-end":
            x = float(re.findall(r"M([\d.]+)", node.get("d", ""))[0])
            found.append((x - 1, x + 1))
    return sorted(found)


@given(times(12), st.lists(st.text(string.ascii_letters, max_size=12), min_size=12, max_size=12))
def test_labels_overlap_neither_each_other_nor_the_end_and_none_is_cut(
    at: list[float], labels: list[str]
) -> None:
    ticks = [Tick(time, "next", label) for time, label in zip(at, labels, strict=True)]
    found = boxes(svg([Lane("x", [*ticks, Tick(at[-1], "completed")], 10.0)], 10.0))
    assert all(left >= 0 and right <= 860 for left, right in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found)), found


def test_a_hundred_thousand_values_are_a_bounded_picture_that_says_so() -> None:
    moments = [Moment(n / 10_000, "next", n) for n in range(100_000)]
    shown = Recording(moments, seconds=10.0, name="many")._repr_mimebundle_()
    assert len(shown["image/svg+xml"]) < 100_000
    assert re.search(r"100,000 values, 3\d\d drawn", shown["image/svg+xml"])
    assert shown["text/plain"].endswith("100000 in 10.0 s")


def test_a_picture_of_one_value_says_so_in_the_singular() -> None:
    picture = svg([Lane("x", [Tick(1.0, "next", "a")])], 2.0)
    assert ">1 value</text>" in picture and "marble diagram of 1 stream over 2.0 seconds" in picture


def test_a_picture_has_its_own_background_and_follows_no_theme() -> None:
    """It is shown on pages of any theme, which the picture cannot see."""
    shown = Recording([Moment(0.5, "next", 1)], seconds=1.0)._repr_mimebundle_()
    assert "prefers-color-scheme" not in shown["image/svg+xml"]
    assert ".rx-page{fill:#fff" in shown["image/svg+xml"]
    source = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown["text/html"])[0]
    assert b64decode(source).decode() == shown["image/svg+xml"]


ODD: list[Any] = [
    float("nan"),
    {"a": [float("inf"), {"b": -float("inf")}]},
    {"$float": "nan"},
    {"$float": {"$float": 1}},
    {"$float": float("nan")},
    (1, (2, 3)),
    numpy.float64("nan"),
    numpy.float32(0.5),
    numpy.int64(7),
    numpy.bool_(True),
    numpy.array([[1.0, float("nan")]]),
    {"reading": numpy.float64(2.5)},
    datetime(2026, 1, 2, tzinfo=UTC),
    ServerSentEvent("x", event="a", id="1", retry=5, comment="hi"),
]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_what_json_has_no_word_for_is_saved_and_is_equal_when_it_is_loaded(
    value: Any, tmp_path: Path
) -> None:
    recording = Recording([Moment(1 / 3, "next", value)], seconds=2 / 3, name="odd")
    recording.save(tmp_path / "r.jsonl")
    loaded = Recording.load(tmp_path / "r.jsonl")
    assert loaded == recording == recording
    assert loaded.moments[0].at == 1 / 3
    assert loaded != Recording([Moment(1 / 3, "next", "other")], seconds=2 / 3, name="odd")
    for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_nan_comes_back_as_nan(tmp_path: Path) -> None:
    Recording([Moment(0.0, "next", [float("nan"), {"$float": "nan"}])], seconds=1.0).save(tmp_path / "r")
    first, second = Recording.load(tmp_path / "r").values[0]
    assert math.isnan(first) and second == {"$float": "nan"}


def test_values_become_a_data_frame() -> None:
    numbers = Recording([Moment(0.5, "next", 1), Moment(1.0, "next", 2), Moment(1.5, "completed")], seconds=2)
    frame = numbers.to_pandas()
    assert frame["value"].tolist() == [1, 2] and frame.index.tolist() == [0.5, 1.0]
    assert frame.index.name == "seconds"
    dicts = Recording([Moment(0.0, "next", {"a": 1}), Moment(1.0, "next", {"a": 2, "b": 3})], seconds=2)
    assert dicts.to_pandas()["a"].tolist() == [1, 2] and list(dicts.to_pandas().columns) == ["a", "b"]
    events = Recording([Moment(0.0, "next", ServerSentEvent({"x": 1}, event="e", id="7"))], seconds=1)
    assert events.to_pandas().iloc[0].to_dict() == {"type": "e", "id": "7", "data": '{"x":1}'}
    assert len(Recording([], seconds=1).to_pandas()) == 0
