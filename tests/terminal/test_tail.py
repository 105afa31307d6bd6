"""`python -m rx_sse tail`, as a person or a script runs it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rx_sse.wire.control import stream_end

from ..conformance.endpoint import Endpoint, Site, Visit, listening
from .command import LIMIT, Result, in_terminal, run, running


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with listening(Site()) as site:
        yield site


@pytest.fixture
def endpoint(site: Site) -> Endpoint:
    return site.endpoint()


END = stream_end().frame


async def served(endpoint: Endpoint, *pieces: str | bytes) -> None:
    """Answer one request: the pieces, and the end for good."""
    visit = await waited(endpoint)
    await visit.open()
    await visit.send(*pieces, END)


async def waited(endpoint: Endpoint) -> Visit:
    async with asyncio.timeout(LIMIT):
        while not endpoint.visits:  # an interpreter takes its time to start
            await asyncio.sleep(0.02)
    return await endpoint.visit()


async def tail(endpoint: Endpoint, *options: str, send: tuple[str | bytes, ...]) -> Result:
    running = asyncio.create_task(run("tail", endpoint.url, *options))
    await served(endpoint, *send)
    return await running


async def test_events_go_to_the_output_and_the_rest_to_the_errors(endpoint: Endpoint) -> None:
    sent = 'id: 7\nevent: price\nretry: 100\ndata: {"a": 1}\n\n', "data: two\ndata: lines\n\n"
    result = await tail(endpoint, send=sent)
    assert result.status == 0
    assert re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "TIME", result.out) == (
        'TIME price id=7 retry=100\n  {"a": 1}\nTIME message id=7\n  two\n  lines\n'
    )
    assert f"● open {endpoint.url} 200 OK\n" in result.err
    assert "■ closed stream-end\n" in result.err
    assert re.search(r"^2 events in \d", result.err, re.M)
    assert "\x1b" not in result.out + result.err


async def test_raw_is_the_data_as_it_came(endpoint: Endpoint) -> None:
    data = '{"a":  1.10, "é": "\u202e"}'
    result = await tail(endpoint, "--raw", "--quiet", send=(f"data: {data}\n\ndata: [DONE]\n\n",))
    assert (result.out, result.err) == (f"{data}\n[DONE]\n", "")


async def test_control_characters_do_not_reach_a_terminal(site: Site) -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    for options in ((), ("--raw",), ("--comments",)):
        endpoint = site.endpoint()
        running = asyncio.create_task(in_terminal("tail", endpoint.url, *options, env={"NO_COLOR": "1"}))
        await served(endpoint, f": {evil}\nevent: e{evil}\nid: i{evil}\ndata: d{evil}\n\n")
        shown = await running
        assert "d\\x1b]0;owned\\x07\\x9b31m\\u202e" in shown
        assert not set("\x07\x9b\u202e") & set(shown)
        assert set(re.findall("\x1b.{0,2}", shown)) <= {"\x1b[K"}  # the bottom line's own


async def test_colours_are_for_terminals_and_can_be_asked_for(site: Site) -> None:
    sent = ('data: {"a": 1}\n\n',)
    for colour, expected in (("auto", False), ("always", True), ("never", False)):
        result = await tail(site.endpoint(), "--color", colour, send=sent)
        assert ("\x1b[34m" in result.out) is expected
    endpoint = site.endpoint()
    running = asyncio.create_task(in_terminal("tail", endpoint.url))
    await served(endpoint, *sent)
    assert '\x1b[34m"a"\x1b[0m: \x1b[33m1\x1b[0m' in await running


async def test_filters_by_name_and_by_field(site: Site) -> None:
    rows = [("a", {"n": 1, "u": {"x": "k"}}), ("b", {"n": 1}), ("a", {"n": 2}), ("c", {"n": 1})]
    sent = "".join(f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in rows)
    sent += "event: a\ndata: n=1\n\n"
    for options, shown in (
        (["--event", "a", "--event", "b"], [0, 1, 2, None]),
        (["--where", "n=1"], [0, 1, 3]),
        (["--where", "n=1", "--event", "a"], [0]),
        (["--where", "u.x=k"], [0]),
        (["--where", "u"], [0]),
        (["--where", "n!=1", "--event", "a"], [2, None]),
    ):
        result = await tail(site.endpoint(), "--raw", "--quiet", *options, send=(sent,))
        expected = ["n=1" if row is None else json.dumps(rows[row][1]) for row in shown]
        assert result.out.splitlines() == expected, options


async def test_since_and_count(endpoint: Endpoint) -> None:
    running = asyncio.create_task(run("tail", endpoint.url, "--since", "41", "-n", "2", "--raw"))
    visit = await waited(endpoint)
    assert visit.headers["Last-Event-ID"] == "41"
    await visit.open()
    await visit.send("data: 1\n\ndata: 2\n\ndata: 3\n\n")
    result = await running
    assert (result.status, result.out) == (0, "1\n2\n")


async def test_a_reconnect_is_shown_with_its_reason_and_where_it_resumes(endpoint: Endpoint) -> None:
    running = asyncio.create_task(run("tail", endpoint.url))
    visit = await waited(endpoint)
    await visit.open()
    await visit.send("id: 7\nretry: 10\ndata: 1\n\n")
    await asyncio.sleep(0.05)
    visit.cut()
    visit = await endpoint.visit()
    assert visit.headers["Last-Event-ID"] == "7"
    await visit.open()
    await visit.send(END)
    result = await running
    assert re.search(r"○ lost the connection was lost; again in 1\d ms, from id 7\n● open", result.err)


async def test_rate_and_lag_are_shown(endpoint: Endpoint) -> None:
    running = asyncio.create_task(in_terminal("tail", endpoint.url, "--lag", "at", env={"NO_COLOR": "1"}))
    visit = await waited(endpoint)
    await visit.open()
    for _ in range(8):
        await visit.send(f'data: {{"at": {time.time() - 90}}}\n\n')
        await asyncio.sleep(0.1)
    await visit.send(END)
    shown = await running
    assert len(re.findall(r"lag=9\d\.", shown)) == 8  # 90 s, and what a busy machine adds
    assert re.search(r"\r\x1b\[K\d[\d.]*/s · \d in all · lag 9\d\.\d s · open for ", shown)


async def test_no_secret_is_in_the_process_list(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X-Key: s3cret\n", "utf-8")
    async with running(
        "tail", endpoint.url, "--header-file", str(file), env={"RX_SSE_TOKEN": "t0ken"}
    ) as process:
        visit = await waited(endpoint)
        assert visit.headers["X-Key"] == "s3cret"
        assert visit.headers["Authorization"] == "Bearer t0ken"
        listed = await asyncio.to_thread(Path(f"/proc/{process.pid}/cmdline").read_bytes)
        assert b"tail" in listed and b"s3cret" not in listed and b"t0ken" not in listed


async def test_headers_may_come_from_standard_input(endpoint: Endpoint) -> None:
    running = asyncio.create_task(run("tail", endpoint.url, "--header-file", "-", stdin="X-Key: s3cret\n"))
    visit = await waited(endpoint)
    assert visit.headers["X-Key"] == "s3cret"
    await visit.answer(204, {})
    assert (await running).status == 0


async def test_a_body_makes_it_a_post(endpoint: Endpoint) -> None:
    body = '{"stream": true}'
    running = asyncio.create_task(run("tail", endpoint.url, "--body", "@-", "--raw", "--quiet", stdin=body))
    visit = await waited(endpoint)
    assert (visit.method, visit.body.decode(), visit.headers["Content-Type"]) == (
        "POST",
        body,
        "application/json",
    )
    await visit.open()
    await visit.send('data: {"token": "a"}\n\n', "data: [DONE]\n\n")
    visit.end()
    result = await running
    assert (result.status, result.out, result.err) == (0, '{"token": "a"}\n[DONE]\n', "")


async def test_a_refusal_is_told_and_is_the_exit_status(endpoint: Endpoint) -> None:
    running = asyncio.create_task(run("tail", endpoint.url, "--quiet"))
    visit = await waited(endpoint)
    await visit.answer(401, {}, b"who \x1b[31m are you")
    result = await running
    assert result.status == 1
    assert result.err == f"rx_sse: GET {endpoint.url}: 401 Unauthorized: who \\x1b[31m are you\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["/foo"],
        [],
        ["http://x/", "--where", "=1"],
        ["http://x/", "--header-file", "/nowhere"],
        ["http://x/", "-n", "x"],
    ],
)
async def test_a_wrong_call_is_answered_in_one_line(arguments: list[str]) -> None:
    result = await run("tail", *arguments)
    assert (result.status, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("python -m rx_sse tail: error: ") and line.endswith(" (see --help)")
    assert "Traceback" not in result.err


async def test_interrupted_it_says_what_it_saw(endpoint: Endpoint) -> None:
    async with running("tail", endpoint.url) as process, asyncio.timeout(LIMIT):
        visit = await waited(endpoint)
        await visit.open()
        await visit.send("data: 1\n\n")
        assert process.stdout is not None and process.stderr is not None
        assert b"message" in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        told = (await process.stderr.read()).decode()
    assert "1 event in" in told and "Traceback" not in told


async def test_who_reads_it_may_have_enough(endpoint: Endpoint) -> None:
    async with running("tail", endpoint.url, "--raw") as process, asyncio.timeout(LIMIT):
        visit = await waited(endpoint)
        await visit.open()
        await visit.send("data: 1\n\n")
        assert process.stdout is not None and process.stderr is not None
        assert await process.stdout.readline() == b"1\n"
        transport = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        await visit.send("data: 2\n\n", "data: 3\n\n")
        assert await process.wait() == 0
        assert b"Traceback" not in await process.stderr.read()
