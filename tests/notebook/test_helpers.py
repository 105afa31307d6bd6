"""The helpers end as requested, show what they received, and leave nothing behind."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
import reactivex as rx
from aiohttp import web
from reactivex.subject import Subject

import rx_sse
from rx_sse.errors import UsageError
from rx_sse.notebook import Moment, marbles, peek, plot, record, serve
from rx_sse.notebook.chart import Chart
from rx_sse.notebook.looking import Table
from rx_sse.testing import no_leaks
from rx_sse.wire.harmless import harmless

from ..conftest import ROOT

leaves_nothing = pytest.fixture(no_leaks)
pytestmark = pytest.mark.usefixtures("leaves_nothing")


async def generated() -> AsyncIterator[int]:
    for n in range(5):
        yield n


async def test_record_ends_by_number_by_time_and_with_the_stream() -> None:
    assert (await record(rx.interval(0.01), n=3)).values == [0, 1, 2]
    timed = await record(rx.interval(0.02), seconds=0.15)
    assert 2 <= len(timed) <= 8 and timed.moments[-1].kind == "next"
    ended = await record(rx.of(1, 2), seconds=5)
    assert ended.values == [1, 2] and ended.moments[-1].kind == "completed" and ended.seconds < 2


async def test_record_takes_an_async_iterable_an_address_and_an_event_source() -> None:
    assert (await record(generated(), seconds=5)).values == [0, 1, 2, 3, 4]
    served = await serve({"ticks": rx.interval(0.01)})
    try:
        by_url = await record(served.url + "/ticks", n=2)
        by_source = await record(rx_sse.EventSource(served.url + "/ticks"), n=2)
        assert (
            [event.data for event in by_url.values]
            == [event.data for event in by_source.values]
            == ["0", "1"]
        )
    finally:
        await served.close()


async def test_an_error_is_part_of_the_recording() -> None:
    recording = await record(rx.of(1).concat(rx.throw(ValueError("boom"))), seconds=5)
    assert [(moment.kind, moment.value) for moment in recording][-1] == ("error", "ValueError: boom")
    assert repr(recording).endswith("s, ValueError: boom")


async def test_a_recording_disposes_of_its_stream() -> None:
    source: Subject[int] = Subject()
    await record(source, seconds=0.02)
    assert not source.observers


async def test_marbles_share_an_axis_of_time() -> None:
    source = rx.interval(0.02).share()
    drawn = await marbles({"source": source, "even": source.filter(lambda n: n % 2 == 0)}, seconds=0.3)
    assert drawn["even"].values == [n for n in drawn["source"].values if n % 2 == 0]
    for moment in drawn["even"]:
        same = next(m for m in drawn["source"] if m.value == moment.value)
        assert abs(moment.at - same.at) < 0.05
    assert drawn.svg.startswith("<svg")
    assert "source" in repr(drawn)


async def test_peek_prints_a_table_outside_of_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    await peek(rx.of({"a": 1}, "text", rx_sse.ServerSentEvent(2, event="named", id="x")), n=3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].endswith('{"a":1}') and "named" in lines[2] and lines[3] == "3 events"


async def test_peek_shows_the_newest_rows_only(capsys: pytest.CaptureFixture[str]) -> None:
    await peek(rx.range(0, 100), seconds=5, rows=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["97", "98", "99", "completed"]


EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egpj.exe\x00\ufffe\ud800"


async def test_nothing_that_a_stream_sent_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    event = rx_sse.ServerSentEvent(EVIL.removesuffix("\ud800"), event="\x1b[2J", comment=None)
    await peek(rx.of(EVIL, event), n=2)
    await peek(rx.throw(ValueError(EVIL)), n=1)
    await plot(rx.of(1), n=1, title=EVIL)
    with pytest.raises(UsageError) as told:
        await plot(rx.of(EVIL), n=1)
    print(told.value)
    print(repr(await record(rx.of(EVIL), n=1, name=EVIL)))
    print(await marbles({EVIL: rx.of(EVIL), "b": rx.throw(ValueError(EVIL))}, n=1))
    printed = capsys.readouterr().out
    assert printed == harmless(printed) and "\\x1b" in printed


async def test_every_picture_is_xml_whatever_the_stream_sent() -> None:
    drawn = await marbles({EVIL: rx.of(EVIL, "<b>"), "b": rx.throw(ValueError(EVIL))}, n=2)
    table, chart = Table(5), Chart(EVIL, [EVIL, "b"])
    chart.add(EVIL, 0.5, 1.0)
    chart.failed(EVIL, harmless(EVIL))
    for moment in (Moment(0, "next", EVIL), Moment(1, "error", EVIL)):
        table.add(moment)
    for text in (
        drawn.svg,
        chart._repr_mimebundle_()["image/svg+xml"],
        drawn["b"]._repr_mimebundle_()["image/svg+xml"],
        f"<p>{table._repr_mimebundle_()['text/html']}</p>",
    ):
        ElementTree.fromstring(text)


async def test_plot_draws_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    await plot(rx.range(0, 8), seconds=5, title="steps")
    assert capsys.readouterr().out.strip() == "steps ▁▂▃▄▅▆▇█  8 values, 0 to 7"


async def test_plot_says_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="value="):
        await plot(rx.of({"a": 1}), n=1)


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"seconds": 0},
        {"seconds": -1},
        {"n": "3"},
        {"n": True},
        {"seconds": "2"},
        {"seconds": float("inf")},
    ],
)
async def test_what_would_not_end_is_refused(options: dict[str, Any]) -> None:
    for helper in (record, peek, plot):
        with pytest.raises(UsageError):
            await helper(rx.never(), **options)
    with pytest.raises(UsageError):
        await marbles({"x": rx.never()}, **options)


async def later() -> int:
    return 1


async def test_what_is_no_stream_is_refused_with_what_was_probably_meant() -> None:
    coroutine = later()
    for given, told in (
        ([1, 2], "list is no stream: reactivex.from_iterable"),
        (await record(rx.of(1)), "Recording is no stream: its .replay() is one, at the recorded pace"),
        (lambda request: rx.of(1), "function is no stream: call it"),
        (coroutine, "coroutine is no stream: await it"),
        ({"a": rx.of(1)}, "dict is no stream: one of its streams, or marbles"),
        (rx_sse.EventSource, "the class EventSource is no stream: call it"),
        (7, "int is no stream: give an Observable"),
    ):
        for helper in (record, peek, plot):
            if helper is plot and isinstance(given, dict):  # it draws several
                continue
            with pytest.raises(UsageError, match=re.escape(told)):
                await helper(given, n=1)  # type: ignore[arg-type]
    assert await coroutine == 1


@pytest.mark.parametrize(
    "streams", [[rx.of(1)], rx.of(1), {}, {1: rx.of(1)}, {"a": rx.of(1), "b": 2}, None, "x"]
)
async def test_streams_without_names_are_told_how(streams: Any) -> None:
    """And nothing was subscribed, nothing was served."""
    named = isinstance(streams, dict) and "b" in streams
    calls: list[tuple[Any, dict[str, Any]]] = [(marbles, {"n": 1}), (serve, {})]
    for helper, options in calls:
        told = "'b': int is no stream" if named else rf"{helper.__name__}\({{'source': stream}}\)"
        with pytest.raises(UsageError, match=told):
            await helper(streams, **options)


async def test_a_plot_ends_at_once_with_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(value: Any) -> float:
        raise AttributeError("no such field")

    calls: list[tuple[Any, dict[str, Any]]] = [
        (rx.of(float("nan")), {}),
        (rx.interval(0.01), {"value": broken}),
    ]
    for source, options in calls:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(UsageError, match="value="):
            await plot(source, seconds=30, **options)
        assert asyncio.get_running_loop().time() - begin < 5
    with pytest.raises(UsageError, match="value='price' must be a function"):
        await plot(rx.of(1), n=1, value="price")  # type: ignore[arg-type]


async def test_a_plot_says_that_its_stream_failed(capsys: pytest.CaptureFixture[str]) -> None:
    await plot(rx.of(1).concat(rx.throw(ValueError("boom"))), n=5)
    assert capsys.readouterr().out.strip().endswith("1 value, 1 to 1, failed: ValueError: boom")


async def test_rows_and_speeds_and_names_are_checked() -> None:
    with pytest.raises(UsageError, match="rows=0 must be an integer of at least 1"):
        await peek(rx.of(1), n=1, rows=0)
    recording = await record(rx.of(1), n=1)
    for speed in (-1, "fast", float("nan")):
        with pytest.raises(UsageError, match="speed="):
            recording.replay(speed)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="no stream 'c'; there are 'a', 'b'"):
        (await marbles({"a": rx.of(1), "b": rx.of(1)}, n=1))["c"]


async def test_a_slash_before_a_name_and_an_address_of_ipv6() -> None:
    served = await serve({"/ticks": rx.of(1)}, host="::1")
    try:
        assert served.paths == ["/ticks"] and served.url.startswith("http://[::1]:")
        assert (await record(served.url + "/ticks", n=1)).values[0].data == "1"
    finally:
        await served.close()


async def test_serve_shows_its_addresses_and_closes() -> None:
    app = rx_sse.setup(web.Application())
    app.router.add_get("/a", rx_sse.sse(lambda request: rx.of(1)))
    served = await serve(app)
    assert served.paths == ["/a"] and served.url in repr(served)
    await served.close()


IN_IPYTHON = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
cell = '''
import reactivex as rx
from rx_sse.notebook import marbles, peek, plot, record, serve
await peek(rx.of(1, 2), n=2)
await plot(rx.of(1, 2), n=2)
display(await marbles({"a": rx.of(1)}, n=1))
first = await serve({"ticks": rx.of(1)})
again = await serve({"ticks": rx.of(1)})
assert first.url != again.url
await again.close()
'''
result = shell.run_cell(cell)
assert result.success, (result.error_before_exec, result.error_in_exec)
"""


def test_the_helpers_work_in_ipython() -> None:
    """They are shown by its display, which is there from the first moment and is updated."""
    done = subprocess.run([sys.executable, "-c", IN_IPYTHON], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("0 events\n", "2 events\n", "no values\n", "▁█  2 values", "1 in 0.0 s"):
        assert shown in done.stdout
