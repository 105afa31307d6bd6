"""What is on the stream of a viewer, and what changes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.testing import TestScheduler

from rx_sse.demo.pipeline import OPERATORS, pipeline
from rx_sse.demo.settings import FIRST
from rx_sse.demo.slow import POLICIES
from tests.demo.viewer import Viewer, demo, next_of


async def test_the_clock_ticks_the_machine_is_read_and_marbles_come_from_the_first_second() -> None:
    async with demo() as url:
        async with (await Viewer.sign_in(url)).stream() as stream:
            assert await next_of(stream, "clock") == {"ticks": 0, "people": 1, "process": os.getpid()}
            reading = await next_of(stream, "machine")
            assert set(reading) == {"cpu", "memory", "network"}
            assert 0 < reading["memory"] <= 100
            assert await next_of(stream, "source") in range(10)
            assert (await next_of(stream, "clock"))["ticks"] == 1


async def test_people_who_watch_are_counted_once_a_browser() -> None:
    async with demo() as url:
        one, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with one.stream() as stream, one.stream(), other.stream():
            await next_of(stream, "clock")
            assert (await next_of(stream, "clock"))["people"] == 2


async def test_a_viewers_own_pipeline_changes_while_it_runs_and_nobody_elses() -> None:
    async with demo() as url:
        one, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with one.stream() as stream, other.stream() as others:
            await next_of(stream, "settings")
            for each, operator in ((one, "filter"), (other, "buffer_with_count")):
                await each.post("settings", {"name": "operator", "value": operator})
            assert (await next_of(stream, "settings"))["operator"] == "filter"
            await one.post("marble", {"number": 92})
            assert [n % 2 for n in [await next_of(stream, "result") for _ in range(3)]] == [0, 0, 0]
            while not isinstance(found := await next_of(others, "result"), list):
                pass
            assert len(found) == 3 and 92 not in found


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_of_the_page_lets_marbles_through(operator: str) -> None:
    scheduler = TestScheduler()
    source = rx.interval(0.3).pipe(ops.take(9), ops.concat(rx.timer(2.0)))
    found: list[Any] = []
    pipeline(source, rx.of(operator)).subscribe(found.append, scheduler=scheduler)
    scheduler.advance_to(10.0)
    assert 0 < len(found) <= 10


async def test_the_settings_of_a_viewer_are_its_own_and_outlive_its_connection() -> None:
    async with demo() as url:
        viewer, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with viewer.stream() as stream:
            assert await next_of(stream, "settings") == FIRST
            await viewer.post("settings", {"name": "policy", "value": "latest"})
            assert (await next_of(stream, "settings"))["policy"] == "latest"
        async with viewer.stream() as stream, other.stream() as others:
            assert (await next_of(stream, "settings"))["policy"] == "latest"
            assert await next_of(others, "settings") == FIRST
        assert json.loads(await viewer.get("history"))["settings"]["policy"] == "latest"


@pytest.mark.parametrize(
    ("name", "value"), [("policy", "block"), ("operator", 7), ("no", "x"), (7, []), ("policy", [])]
)
async def test_a_setting_that_does_not_exist_is_refused(name: Any, value: Any) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        assert "there are operator: " in await viewer.post(
            "settings", {"name": name, "value": value}, status=400
        )


@pytest.mark.parametrize("number", [-1, 100, "1", True, None, 1.5])
async def test_a_marble_is_a_number_of_two_digits(number: Any) -> None:
    async with demo() as url:
        await (await Viewer.sign_in(url)).post("marble", {"number": number}, status=400)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
async def test_the_slow_reader_is_told_what_its_policy_left_out(policy: str) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        await viewer.post("settings", {"name": "policy", "value": policy})
        async with viewer.stream() as stream, asyncio.timeout(60):
            told: list[Any] = []
            while "gap" in (told or [{}])[-1] or (len(told) < 60 and sum("gap" in it for it in told) < 2):
                told.append(await next_of(stream, "slow"))
        seen = [it["read"] for it in told if "read" in it]
        gaps = [it["gap"] for it in told if "gap" in it]
        assert seen == sorted(set(seen)), "nothing twice, in order"
        left_out = seen[-1] - seen[0] + 1 - len(seen)
        if policy == "latest":
            assert not gaps and left_out, "a newer event has replaced each"
        elif policy != "disconnect":
            assert {gap["reason"] for gap in gaps} == {"overflow"}
            assert sum(gap["missed"] for gap in gaps) == left_out


async def test_a_message_reaches_every_open_page_and_is_in_the_history_of_a_later_one() -> None:
    async with demo() as url:
        viewers = [await Viewer.sign_in(url) for _ in range(3)]
        async with viewers[0].stream() as one, viewers[1].stream() as two:
            await viewers[0].post("/say", {"text": "héllo\n<b>"})
            said = await next_of(one, "said")
            assert said == await next_of(two, "said") and said["text"] == "héllo\n<b>"
        (entry,) = json.loads(await viewers[2].get("history"))["entries"]
        assert (entry["type"], json.loads(entry["data"])) == ("said", said)
        assert abs(entry["time"] - time.time()) < 60


async def started(viewer: Viewer, folder: str = "") -> str:
    """Start a viewer's job: its topic."""
    return json.loads(await viewer.post("job", {"folder": folder}))["topic"]


async def test_the_job_hashes_the_files_of_a_folder_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.bin").write_bytes(b"x" * 100_000)
    async with demo(tmp_path) as url:
        viewer, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with viewer.stream() as page, other.stream() as others:
            topic = await started(viewer, str(tmp_path))
            assert (await next_of(page, "job"))["topic"] == topic, "its other tabs hear of it"
            async with viewer.job(topic) as stream:
                total = await next_of(stream, "total")
                assert (total["files"], total["bytes"], total["process"]) == (2, 100_003, os.getpid())
                first = await next_of(stream, "progress")
                assert first["sha256"] == hashlib.sha256(b"one").hexdigest()
                second = await next_of(stream, "progress")
                assert (second["bytes"], second["of"], second["number"], second["files"]) == (
                    100_003,
                    100_003,
                    2,
                    2,
                )
                done = await next_of(stream, "done")
                assert done["files"] == 2 and done["seconds"] > 0
                assert (await stream.next_event(control=True)).json() == {"reason": "completed"}
            (entry,) = json.loads(await viewer.get("history"))["entries"]
            assert json.loads(entry["data"])["topic"] == topic, "a page that is reloaded finds it"
            async with viewer.job(topic) as stream:
                assert await stream.ended()
                assert [event.json() for event in stream.rest()] == [total, first, second, done]
            assert not {event.type for event in others.rest()} & {"job", "total", "progress", "done"}


def with_files(folder: Path, count: int = 150) -> list[str]:
    """Empty files, and their names."""
    names = [f"{number:03}" for number in range(count)]
    for name in names:
        (folder / name).write_bytes(b"")
    return names


async def test_a_job_goes_on_while_its_page_is_away_and_is_resumed(tmp_path: Path) -> None:
    names = with_files(tmp_path)
    async with demo(tmp_path) as url:
        viewer = await Viewer.sign_in(url)
        seen: list[str] = []
        topic = await started(viewer)
        async with viewer.job(topic) as stream:
            seen.append((await next_of(stream, "progress"))["file"])
            seen += [event.json()["file"] for event in stream.rest() if event.type == "progress"]
            cursor = stream.last_event_id
        async with viewer.job(topic, **{"Last-Event-ID": cursor}) as stream:
            while (event := await stream.next_event()).type != "done":
                if event.type == "progress":
                    seen.append(event.json()["file"])
        assert seen == names, "each file once, in order, over two connections"


async def test_a_job_is_stopped_for_all_of_its_readers_and_another_takes_its_place(tmp_path: Path) -> None:
    with_files(tmp_path)
    async with demo(tmp_path, pause=30.0) as url:
        viewer, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        await viewer.post("job/stop", status=404)
        first = await started(viewer)
        async with viewer.job(first) as one, viewer.job(first) as two:
            for stream in one, two:
                assert (await next_of(stream, "total"))["files"] == 150
            await other.get(f"job/{first}", status=404)
            assert json.loads(await viewer.post("job/stop"))["state"] == "stopped"
            for stream in one, two:
                assert (await stream.next_event(control=True)).json() == {"reason": "stopped"}
        second = await started(viewer)
        assert second != first
        async with viewer.job(second) as stream:
            await next_of(stream, "total")
            third = await started(viewer)
            assert (await stream.next_event(control=True)).json() == {"reason": "another job"}
        await viewer.get(f"job/{first}", status=404)
        async with viewer.job(third) as stream:
            assert (await next_of(stream, "total"))["files"] == 150


async def test_a_link_leads_out_of_no_folder(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "out").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "own" / "secret").symlink_to(tmp_path / "secret")
    async with demo(tmp_path / "own") as url:
        viewer = await Viewer.sign_in(url)
        await viewer.post("job", {"folder": "out"}, status=404)
        async with viewer.job(await started(viewer)) as stream:
            assert (await next_of(stream, "total"))["files"] == 0
