"""Recordings without an end: beside other cells, and up to an interrupt, which keeps what there is."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import reactivex as rx
from reactivex.subject import Subject

from rx_sse.errors import UsageError
from rx_sse.notebook import Live, marbles, peek, plot, record
from rx_sse.testing import no_leaks

leaves_nothing = pytest.fixture(no_leaks)


@pytest.mark.usefixtures("leaves_nothing")
async def test_looking_wants_an_end_and_recording_may_have_none() -> None:
    for helper in (peek, plot):
        with pytest.raises(UsageError, match="say when to stop"):
            await helper(rx.never())
    with pytest.raises(UsageError, match="say when to stop"):
        await marbles({"x": rx.never()})
    assert (await record(rx.of(1, 2))).values == [1, 2]


@pytest.mark.usefixtures("leaves_nothing")
async def test_a_live_recording_goes_on_beside_other_cells_and_can_be_looked_at() -> None:
    source: Subject[int] = Subject()
    recording = await record(source, name="numbers", live=True)
    source.on_next(1)
    source.on_next(2)
    assert recording.running and recording.recorded.values == [1, 2]
    assert repr(recording).startswith("recording: numbers ")
    assert "image/svg+xml" in recording._repr_mimebundle_()
    source.on_next(3)
    assert recording.stop().values == [1, 2, 3] and not source.observers
    assert repr(recording).startswith("recorded: numbers ")
    assert recording.stop() == recording.recorded
    await asyncio.sleep(0)


@pytest.mark.usefixtures("leaves_nothing")
async def test_a_live_recording_ends_by_number_and_can_be_awaited() -> None:
    drawn = await marbles({"a": rx.interval(0.01), "b": rx.of(1)}, n=2, live=True)
    assert isinstance(drawn, Live) and (await drawn)["a"].values == [0, 1]
    table = await peek(rx.of(1, 2), live=True)
    assert (await table).values == [1, 2]
    lines = await plot({"a": rx.of(1, 2), "b": rx.of(3)}, live=True)
    assert (await lines)["b"].values == [3]
    assert not lines.running


@pytest.mark.usefixtures("leaves_nothing")
async def test_a_cancelled_recording_raises_outside_of_a_notebook_and_leaves_nothing() -> None:
    source: Subject[int] = Subject()
    task = asyncio.create_task(record(source))
    while not source.observers:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not source.observers
    await asyncio.sleep(0)


CELLS = (
    "import reactivex as rx\nfrom rx_sse.notebook import record",
    "recording = await record(rx.interval(0.01))\nprint('kept', len(recording) > 3)",
    "print('after', len(recording) > 3)\nbeside = await record(rx.interval(0.01), live=True)",
    "import asyncio\nawait asyncio.sleep(0.3)\nprint('beside', beside.running, len(beside.stop()) > 3)",
)


@pytest.mark.slow
async def test_an_interrupt_of_the_kernel_keeps_what_was_recorded() -> None:
    client: Any = pytest.importorskip("jupyter_client")
    manager = client.AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel()
    kernel = manager.client()
    kernel.start_channels()
    printed: list[str] = []
    try:
        await kernel.wait_for_ready(timeout=60)
        for number, cell in enumerate(CELLS):
            asked = kernel.execute(cell)
            if number == 1:
                await asyncio.sleep(1.5)  # there is no event for "the cell has recorded a while"
                await manager.interrupt_kernel()
            async with asyncio.timeout(30):
                while True:
                    message = await kernel.get_iopub_msg()
                    if message["parent_header"].get("msg_id") != asked:
                        continue
                    content = message["content"]
                    assert message["msg_type"] != "error", content
                    printed += content["text"].splitlines() if message["msg_type"] == "stream" else []
                    if message["msg_type"] == "status" and content["execution_state"] == "idle":
                        break
    finally:
        kernel.stop_channels()
        await manager.shutdown_kernel(now=True)
    assert printed == ["kept True", "after True", "beside True True"], (printed, sys.version)
