"""The module's core, in Node: parsing, reconnecting, tokens, what is hostile; without a browser's tabs."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from ..client.test_vectors import SPLITS
from ..conformance.endpoint import Endpoint, Site
from ..conformance.vectors import content, of_kind
from .conftest import Run

WATCH = "watch(stream(url, {retry: 20}));"


async def test_every_stream_vector_in_every_split(run: Run) -> None:
    cases: list[Any] = []
    for vector in of_kind("stream"):
        whole = b"".join(content(vector["chunks"]))
        for how, split in {"as it came": lambda _, v=vector: content(v["chunks"]), **SPLITS}.items():
            expected = [[e["type"], e["data"], e["lastEventId"]] for e in vector["expected"]]
            chunks = [list(piece) for piece in split(whole)]
            cases.append([vector["name"], how, chunks, expected, vector["last_event_id"], vector["retry"]])
    script = f"""
        for (const [name, how, chunks, expected, id, retry] of {json.dumps(cases)}) {{
            const decoder = new TextDecoder(), parsed = parser(), seen = [];
            for (const chunk of chunks) seen.push(...parsed.feed(decoder.decode(new Uint8Array(chunk), {{stream: true}})));
            const found = JSON.stringify([seen.filter(([type]) => type !== ":"), parsed.id]);
            if (found !== JSON.stringify([expected, id]) || retry !== "any" && (parsed.retry ?? null) !== retry)
                report(name, how, found, parsed.retry);
        }}
        report("done");"""
    async with run(script) as node:
        assert await node.end() == [["done"]]
    assert len(cases) == 37 * 6


async def test_it_comes_back_with_the_last_id_and_the_streams_own_time(run: Run, endpoint: Endpoint) -> None:
    async with run("watch(stream(url));", endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send("retry: 40\nid: a\ndata: 1\n\n")
        assert await node.until("message") == ["message", "1", "a"]
        visit.end()
        _, _, reason, delay = await node.until("state", "waiting")
        assert (reason, 40 <= delay <= 50) == ("ended", True)
        again = await endpoint.stream()
        assert again.headers["Last-Event-ID"] == "a"
        await again.send("data: 2\n\n")
        assert await node.until("message") == ["message", "2", "a"]


async def test_whatever_is_refused_is_tried_again(run: Run, site: Site) -> None:
    """All at once, in one Node: most of such a test is the start of one."""
    endpoints = {status: site.endpoint() for status in (401, 404, 429, 500, 502, 503)}
    script = f"""for (const [status, url] of {json.dumps([[n, end.url] for n, end in endpoints.items()])}) {{
        const source = stream(url, {{retry: 5}});
        source.addEventListener("error", e => report("error", status, e.detail.status, e.detail.reason));
        source.addEventListener("message", e => report("message", status, e.data));
    }}"""

    async def serve(status: int, endpoint: Endpoint) -> None:
        await (await endpoint.visit()).answer(status, {})
        await (await endpoint.stream()).send("data: back\n\n")

    async with run(script) as node:
        serving = asyncio.gather(*(serve(status, endpoint) for status, endpoint in endpoints.items()))
        seen = [await node.seen() for _ in range(2 * len(endpoints))]
        await serving
    for status in endpoints:
        of_this = [(kind, *more) for kind, of, *more in seen if of == status]
        assert of_this == [("error", status, "refused"), ("message", "back")]


@pytest.mark.slow
async def test_retry_after_is_honoured(run: Run, endpoint: Endpoint) -> None:
    async with run(WATCH, endpoint.url) as node:
        await (await endpoint.visit()).answer(503, {"Retry-After": "1"})
        _, _, _, delay = await node.until("state", "waiting")
        assert delay == 1000
        await endpoint.stream()


async def test_failures_in_a_row_grow_the_delay_and_chance_spreads_it(run: Run) -> None:
    script = """for (const failures of [0, 1, 2, 3, 10, 2000]) {
        const found = Array.from({length: 200}, () => delay(1000, failures));
        report(Math.min(...found), Math.max(...found), new Set(found).size);
    }
    report(delay(Infinity, 5), delay(0, 0, 7000), delay(0, 1));"""
    async with run(script) as node:
        *rows, last = await node.end()
    for (low, high, different), ceiling in zip(rows, [1250, 2000, 4000, 8000, 30000, 30000], strict=True):
        assert low >= max(1000, ceiling / 2 if ceiling > 2000 else 1000)
        assert high <= max(1250, ceiling)
        assert different > 150
    assert last[:2] == [2**31 - 1, 7000] and 100 <= last[2] <= 200


DECIDERS = {
    "true": True,
    "'standard'": False,
    "false": False,
    "f => f.status === 503": True,
    "async () => false": False,
}


async def test_who_decides_about_a_refused_answer(run: Run, site: Site) -> None:
    endpoints = {reconnect: site.endpoint() for reconnect in DECIDERS}
    script = "".join(
        f"""stream({json.dumps(endpoint.url)}, {{retry: 5, reconnect: {reconnect}}})
        .addEventListener("state", ({{ detail }}) => detail.state === "closed"
            && report({json.dumps(reconnect)}, detail.failure.reason));\n"""
        for reconnect, endpoint in endpoints.items()
    )

    async def serve(endpoint: Endpoint, back: bool) -> None:
        await (await endpoint.visit()).answer(503, {})
        if back:
            await (await endpoint.visit()).answer(204, {})

    async with run(script) as node:
        serving = asyncio.gather(*(serve(endpoints[it], back) for it, back in DECIDERS.items()))
        seen = await node.end()  # Node ends when no stream is open or will be
        await serving
    assert dict(seen) == {it: "end" if back else "refused" for it, back in DECIDERS.items()}
    assert [len(endpoint.visits) for endpoint in endpoints.values()] == [
        1 + back for back in DECIDERS.values()
    ]


async def test_without_reconnect_the_end_of_the_connection_is_the_end(run: Run, endpoint: Endpoint) -> None:
    script = "for await (const e of stream(url, {reconnect: false})) report(e.data); report('over');"
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send("data: 1\n\n")
        visit.end()
        assert await node.end() == [["1"], ["over"]]


@pytest.mark.parametrize("how", ["stream-end", "204"])
async def test_what_ends_for_good(run: Run, endpoint: Endpoint, how: str) -> None:
    script = (
        "for await (const e of watch(stream(url, {retry: 5}))) report('iterated', e.type); report('over');"
    )
    async with run(script, endpoint.url) as node:
        if how == "204":
            await (await endpoint.visit()).answer(204, {})
        else:
            await (await endpoint.stream()).send(
                "data: 1\n\nevent: stream-end\nid: 0_ab\ndata: {}\n\ndata: unheard\n\n"
            )
        seen = await node.end()
    assert [row for row in seen if row[0] == "iterated"] == (
        [["iterated", "message"]] if how == "stream-end" else []
    )
    assert ["state", "closed", "end", None] in seen and seen[-1] == ["over"]
    assert len(endpoint.visits) == 1


async def test_a_failure_of_the_source_is_told_and_come_back_from(run: Run, endpoint: Endpoint) -> None:
    script = "watch(stream(url, {retry: 5})).addEventListener('error', e => report('error', e.detail));"
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send('event: stream-error\ndata: {"status":500}\n\n')
        visit.end()
        [_, failure] = await node.until("error")
        assert failure == {"reason": "error", "message": '{"status":500}'}
        await endpoint.stream()


async def test_every_attempt_asks_for_a_token(run: Run, endpoint: Endpoint) -> None:
    async with run("let n = 0; stream(url, {retry: 5, token: async () => `t${++n}`});", endpoint.url):
        for number in (1, 2, 3):
            visit = await endpoint.visit()
            assert visit.headers["Authorization"] == f"Bearer t{number}"
            await visit.answer(401, {})


async def test_a_token_function_that_fails_is_asked_again(run: Run, endpoint: Endpoint) -> None:
    script = """let n = 0;
        const me = watch(stream(url, {retry: 5, token: () => { if (!n++) throw new Error("not yet"); return "t"; }}));
        me.addEventListener("error", e => report("error", e.detail.reason, e.detail.message));"""
    async with run(script, endpoint.url) as node:
        assert await node.until("error") == ["error", "token", "not yet"]
        assert (await endpoint.visit()).headers["Authorization"] == "Bearer t"


async def test_headers_body_and_method_are_sent_with_each_attempt(run: Run, endpoint: Endpoint) -> None:
    script = "stream(url, {method: 'POST', reconnect: true, body: '{\"a\":1}', headers: {'X-Key': 'k', Accept: 'text/event-stream, */*'}, retry: 5});"
    async with run(script, endpoint.url):
        for _ in range(2):
            visit = await endpoint.stream()
            assert (visit.method, visit.body, visit.headers["X-Key"]) == ("POST", b'{"a":1}', "k")
            assert visit.headers["Accept"] == "text/event-stream, */*"
            visit.end()


async def test_what_is_no_get_is_sent_once(run: Run, endpoint: Endpoint) -> None:
    script = "for await (const e of watch(stream(url, {method: 'POST', retry: 5}))); report('over');"
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        visit.end()
        assert (await node.end())[-2:] == [["state", "closed", "ended", None], ["over"]]
    assert len(endpoint.visits) == 1


async def test_a_silent_connection_is_taken_for_dead(run: Run, endpoint: Endpoint) -> None:
    """After three of the heartbeats that the server announces, or after `timeout`."""
    async with run(WATCH, endpoint.url) as node:
        headers = {"Content-Type": "text/event-stream", "Stream-Heartbeat": "0.15"}
        visit = await (await endpoint.visit()).open(headers=headers)
        for _ in range(5):  # longer than 0.45 s in all, with room for a busy machine between two
            await visit.send(":\n")
            await asyncio.sleep(0.1)
        assert (await node.until("state", "waiting"))[2] == "timeout"
        assert len(endpoint.visits) == 1
        await endpoint.stream()


async def test_close_and_signal_end_the_connection(run: Run, endpoint: Endpoint) -> None:
    script = """const stop = new AbortController(), a = watch(stream(url, {signal: stop.signal}));
        await new Promise(done => a.addEventListener("message", done, {once: true}));
        stop.abort();
        for await (const e of a) report("unexpected");
        report(a.state, stream(url, {signal: AbortSignal.abort()}).state);"""
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send("data: 1\n\n")
        assert (await node.end())[-1] == ["closed", "closed"]
        transport = visit.request.transport
        async with asyncio.timeout(20):
            while transport is not None and not transport.is_closing():
                await asyncio.sleep(0.01)
    assert len(endpoint.visits) == 1


async def test_it_is_an_observable_and_closed_iterations_leave_nothing(run: Run, endpoint: Endpoint) -> None:
    script = """const me = stream(url), seen = [];
        const a = me["@@observable"]().subscribe({next: e => seen.push("a" + e.data), complete: () => report("complete", seen)});
        const b = me.subscribe(e => { seen.push("b" + e.data); b.unsubscribe(); });
        for await (const e of me) { seen.push("c" + e.data); if (e.data === "2") break; }
        me.close();"""
    async with run(script, endpoint.url) as node:
        await (await endpoint.stream()).send("data: 1\n\ndata: 2\n\n")
        assert await node.end() == [["complete", ["a1", "b1", "a2", "c1", "c2"]]]


async def test_a_slow_iteration_is_bounded_and_told(run: Run, endpoint: Endpoint) -> None:
    script = """const me = stream(url), it = me[Symbol.asyncIterator]();
        const first = await it.next();
        await new Promise(done => me.addEventListener("last", done));
        const gap = await it.next(), next = await it.next();
        report(first.value.data, gap.value.type, gap.value.json(), next.value.data);
        process.exit();"""
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send("data: 0\n\n")
        await visit.send("".join(f"data: {n}\n\n" for n in range(1, 12_001)) + "event: last\ndata: z\n\n")
        [first, kind, gap, following] = await node.seen()
    assert (first, kind, gap["reason"]) == ("0", "stream-gap", "overflow")
    assert gap["missed"] == 2_001 and following == "2002"


async def test_a_gap_is_told_with_its_reason_and_number(run: Run, endpoint: Endpoint) -> None:
    script = "stream(url).addEventListener('gap', e => report(e.detail));"
    async with run(script, endpoint.url) as node:
        await (await endpoint.stream()).send('event: stream-gap\ndata: {"reason":"overflow","missed":7}\n\n')
        assert await node.seen() == [{"reason": "overflow", "missed": 7}]


async def test_another_scheme_fails_at_once_and_an_invalid_url_throws(run: Run) -> None:
    script = """for (const url of ["ftp://example.not/", "about:blank", "mailto:whatwg@example.org"])
        stream(url).addEventListener("error", e => report(url, e.detail.reason, e.target.state));
    try { stream("http://this is invalid/"); } catch (e) { report(e.name); }"""
    async with run(script) as node:
        invalid, *others = await node.end()
    assert invalid == ["TypeError"]
    assert others == [
        [url, "url", "closed"] for url in ("ftp://example.not/", "about:blank", "mailto:whatwg@example.org")
    ]


# -- what is hostile --------------------------------------------------------------------------------------------


async def test_html_for_a_stream_is_told_and_not_read(run: Run, endpoint: Endpoint) -> None:
    script = "watch(stream(url, {retry: 5})).addEventListener('error', e => report('error', e.detail));"
    async with run(script, endpoint.url) as node:
        visit = await (await endpoint.visit()).open(headers={"Content-Type": "text/html"})
        await visit.send("<script>data: x\n\n")
        [_, failure] = await node.until("error")
        assert failure == {
            "reason": "refused",
            "message": "no event stream but text/html",
            "status": 200,
            "retryAfter": 0,
        }
        transport = visit.request.transport
        async with asyncio.timeout(20):
            while transport is not None and not transport.is_closing():
                await asyncio.sleep(0.01)
        await (await endpoint.stream()).send("data: now\n\n")
        assert await node.until("message", "now")


@pytest.mark.parametrize("what", ["an endless line", "an event of 50 MB", "an endless comment"])
async def test_what_never_ends_is_bounded_and_told(run: Run, endpoint: Endpoint, what: str) -> None:
    script = """const before = process.memoryUsage().rss;
        stream(url).addEventListener("error", e => report(e.detail.reason, e.target.state, process.memoryUsage().rss - before));"""
    piece = {"an endless line": b"x" * 65536, "an endless comment": b":" * 65536}.get(
        what, b"data: " + b"x" * 65530 + b"\n"
    )
    async with run(script, endpoint.url) as node:
        visit = await endpoint.stream()
        sent = 0
        try:
            while sent < 50 * 1024 * 1024:
                await visit.send(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        reason, state, memory = await node.seen()
    assert (reason, state) == ("too large", "closed")
    assert sent < 40 * 1024 * 1024
    assert memory < 200 * 1024 * 1024
    assert len(endpoint.visits) == 1


async def test_a_limit_of_ones_own(run: Run, endpoint: Endpoint) -> None:
    script = "stream(url, {maxEventSize: 100}).addEventListener('error', e => report(e.detail.reason));"
    async with run(script, endpoint.url) as node:
        await (await endpoint.stream()).send("data: " + "x" * 200)
        assert await node.seen() == ["too large"]


async def test_fields_that_mean_harm(run: Run, endpoint: Endpoint) -> None:
    """Types like the names of an object's own members, an endless `retry`, control characters: text, no more."""
    script = """const me = stream(url), seen = [];
        for (const type of ["__proto__", "constructor", "error", "open", "state", "gap"])
            me.addEventListener(type, e => seen.push([e.type, e.data ?? null, e instanceof StreamEvent]));
        me.subscribe(e => { if (e.data === "last") { report(seen, me.lastEventId, ({}).polluted ?? null); me.close(); } });"""
    async with run(script, endpoint.url) as node:
        types = ["__proto__", "constructor", "error", "open", "state", "gap"]
        frames = "".join(
            f'event: {type}\ndata: <img src=x onerror=alert(1)>{{"polluted":1}}\n\n' for type in types
        )
        await (await endpoint.stream()).send(f"retry: {'9' * 5000}\n\n{frames}id: <script>\ndata: last\n\n")
        [seen, id, polluted] = await node.seen()
    data = '<img src=x onerror=alert(1)>{"polluted":1}'
    ours = [row for row in seen if row[2]]
    assert ours == [[type, data, True] for type in types]
    assert (id, polluted) == ("<script>", None)


async def test_a_token_does_not_follow_to_another_origin(run: Run, endpoint: Endpoint, site: Site) -> None:
    target = site.endpoint()
    elsewhere = target.url.replace("127.0.0.1", "localhost")
    async with run("watch(stream(url, {token: 'secret', retry: 5}));", endpoint.url) as node:
        visit = await endpoint.visit()
        assert visit.headers["Authorization"] == "Bearer secret"
        await visit.answer(307, {"Location": elsewhere})
        redirected = await target.stream()
        assert "Authorization" not in redirected.headers
        await redirected.send("data: there\n\n")
        assert await node.until("message", "there")


async def test_random_bytes_hurt_nobody(run: Run, endpoint: Endpoint) -> None:
    chance = random.Random(7)
    noise = [
        bytes(chance.choices(b"\r\n\r\n:dataievent \0\xff\xe2\x82\xefx", k=chance.randint(1, 400)))
        for _ in range(200)
    ]
    async with run(WATCH, endpoint.url) as node:
        visit = await endpoint.stream()
        await visit.send(*noise)
        await visit.send("\n\ndata: alive\n\n")
        assert await node.until("message", "alive")
