"""Hostile input over real sockets, each case with the weakness (CWE) that it tries.

Every request is followed by the same questions: a reader that was there before gets the next event, no error
stands in the log, no line of the log holds a control character, and no part of the request became a header or
an event of its own.

More of the kind beside what it attacks: tokens (CWE-347, CWE-613) in `tests/web/auth/test_tokens.py`,
`test_hostile.py` and `test_jwks.py`; origins (CWE-352, CWE-1385) in `tests/web/auth/test_origin.py`; names
and Redis commands (CWE-74) in `tests/bus/redis/test_hostile.py`; servers that attack our client (CWE-400) in
`tests/client/test_hardening.py`; what a terminal obeys (CWE-150) in `tests/terminal/test_text.py`; slow
readers (CWE-400) in `tests/web/test_slow_readers.py`; the demo's own pages and folders (CWE-350, CWE-22) in
`tests/demo/test_guard.py`; texts on the pages (CWE-79) in `tests/demo` and `tests/web/admin`,
`test_hostile_texts.py`; parsers and stored bytes in `tests/fuzz`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hmac
import importlib
import json
import logging
import pkgutil
import re
import sys
import time
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

import rx_sse
from rx_sse.demo.application import make_app as make_demo
from rx_sse.demo.job import files_below
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY
from rx_sse.wire import EventParser

from ..conftest import ROOT
from ..demo.viewer import Viewer, demo
from ..devtools import browsing
from ..reader import until
from ..web.tokens import KEY, bearer, token
from .attacks import ATTACKS
from .target import EVE, Answer, attacked, bearer_line, cookie_line, events, get, make_app, post

EVIL = b"Origin: https://evil.example"
FORM = b"Content-Type: application/x-www-form-urlencoded"
JSON = b"Content-Type: application/json"
LONG = "x" * 200
UNKNOWN = "1_aaaaaa.9007199254740991.281474976710655"
NO_ANSWER = 0


def part(data: object) -> str:
    """A part of a token."""
    return (
        base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode())
        .decode()
        .rstrip("=")
    )


def bearing(*parts: object) -> bytes:
    """The header of a request with a token of such parts, and a signature of no key."""
    return f"Authorization: Bearer {'.'.join(map(part, parts))}.AA".encode()


def forged(header: dict[str, object], key: str | None = None, **claims: object) -> bytes:
    """The header of a request with a token that nobody issued, signed with `key` if there is one."""
    bare = f"{part(header)}.{part({'sub': 'ada', 'exp': 4e9, **EVE, **claims})}"
    signature = "" if key is None else part(hmac.digest(key.encode(), bare.encode(), "sha256"))
    return f"Authorization: Bearer {bare}.{signature}".encode()


# Name → the request and the statuses that are an answer to it. 0 is a closed connection; 200 is a stream, in
# which nothing of the request may act.
CASES: dict[str, tuple[bytes, Iterable[int]]] = {
    # -- into headers and into the stream
    "CWE-93 line feed in Last-Event-ID": (events("/news", b"Last-Event-ID: 1\ndata: forged\n"), [400]),
    "CWE-93 carriage return in Last-Event-ID": (events("/news", b"Last-Event-ID: 1\rdata: forged"), [400]),
    "CWE-93 line ends in ?lastEventId=": (
        events("/news?lastEventId=1%0d%0adata:%20forged%0d%0a%0d%0a"),
        [200],
    ),
    "CWE-93 U+2028 and U+0085 in ?lastEventId=": (
        events("/news?lastEventId=%e2%80%a8data:forged%c2%85"),
        [200],
    ),
    "CWE-113 line ends in a topic of the query": (
        events("/events/?topic=news%0d%0aSet-Cookie:%20forged=1", bearer_line()),
        [400],
    ),
    "CWE-113 line ends in a topic of the path": (
        post("/events/topics/news%0d%0aSet-Cookie:%20forged=1", b"1", bearer_line(), JSON),
        [400, 404],
    ),
    "CWE-113 line ends in a method": (get("/news", method=b"GET\r\nSet-Cookie: forged=1\r\n"), [400]),
    "CWE-116 an event that ends all streams": (
        post("/events/topics/news?event=stream-end", b"1", bearer_line(), JSON),
        [400],
    ),
    "CWE-116 a field in an event's name": (
        post("/events/topics/news?event=a%0aid:%20forged", b"1", bearer_line(), JSON),
        [400],
    ),
    "CWE-158 NUL in Last-Event-ID": (events("/news", b"Last-Event-ID: 1\x00"), [400]),
    "CWE-158 NUL in ?lastEventId=": (events("/news?lastEventId=1%00"), [200]),
    "CWE-158 NUL in a topic": (events("/events/?topic=news%00", bearer_line()), [400]),
    "CWE-158 NUL in a path": (post("/events/topics/news%00", b"1", bearer_line(), JSON), [400]),
    "CWE-158 NUL in an idempotency key": (
        post("/events/topics/news", b"1", bearer_line(), JSON, b"Idempotency-Key: \x00"),
        [400],
    ),
    # -- sizes
    "CWE-770 a header of 64 KB": (events("/news", b"X: " + b"x" * 65_536), [400, NO_ANSWER]),
    "CWE-770 a Last-Event-ID of 64 KB": (
        events("/news", b"Last-Event-ID: " + b"1" * 65_536),
        [400, NO_ANSWER],
    ),
    "CWE-770 a Last-Event-ID of 8,000 bytes": (events("/news", b"Last-Event-ID: " + b"1" * 8_000), [200]),
    "CWE-770 ?lastEventId= of 8,000 bytes": (events("/news?lastEventId=" + "1" * 8_000), [200]),
    "CWE-770 2,000 headers": (events("/news", *(f"X-{n}: x".encode() for n in range(2_000))), [200, 400]),
    "CWE-770 one header 2,000 times": (events("/news", *[b"Last-Event-ID: 1"] * 2_000), [200, 400]),
    "CWE-770 a request line of 64 KB": (events("/news?" + "x" * 65_536), [400, NO_ANSWER]),
    "CWE-770 1,000 topics": (events("/events/?" + "topic=a&" * 1_000, bearer_line()), [400, 403]),
    "CWE-770 33 topics": (
        events("/events/?" + "&".join(f"topic=team:{n}" for n in range(33)), bearer_line()),
        [400],
    ),
    "CWE-770 a topic of 8,000 characters": (events("/events/?topic=" + "a" * 8_000, bearer_line()), [400]),
    "CWE-770 a history of a billion": (
        get("/events/topics/news/history?limit=1000000000", bearer_line()),
        [400],
    ),
    "CWE-770 a number of 4,000 digits": (
        events(f"/events/?topic=news&last={'9' * 4_000}", bearer_line()),
        [400],
    ),
    "CWE-770 a body of 2 MiB": (post("/events/topics/news", b"1" * 2**21, bearer_line(), JSON), [413]),
    "CWE-770 an event over its limit": (
        post("/events/topics/news", b"[" + b"1e9," * 250_000 + b"0]", bearer_line(), JSON),
        [413],
    ),
    "CWE-770 an idempotency key of 8,000 characters": (
        post("/events/topics/news", b"1", bearer_line(), JSON, b"Idempotency-Key: " + b"k" * 8_000),
        [400],
    ),
    # -- cursors
    "CWE-345 a cursor beyond the end": (events("/news", b"Last-Event-ID: " + UNKNOWN.encode()), [200]),
    "CWE-345 a cursor with leading zeros": (events("/news", b"Last-Event-ID: 1_aaaaaa.007.1"), [200]),
    "CWE-345 a cursor with digits that are not ASCII": (
        events("/news", "Last-Event-ID: 1_aaaaaa.٣.١".encode()),
        [200],
    ),
    "CWE-345 a cursor over 2^53": (events("/news", b"Last-Event-ID: 1_aaaaaa.9007199254740992.1"), [200]),
    "CWE-345 a cursor of 500 topics": (
        events("/news", b"Last-Event-ID: 1_" + b"_".join(b"aaaaaa.1.1" for _ in range(500))),
        [200],
    ),
    "CWE-345 the cursor of a stream that has ended": (events("/news", b"Last-Event-ID: 1_end_aaaaaa"), [200]),
    "CWE-639 a cursor into a topic that is not granted": (
        events("/events/?topic=secret", bearer_line(), b"Last-Event-ID: " + UNKNOWN.encode()),
        [403],
    ),
    # -- paths and names
    "CWE-22 a path out of the mount": (
        get("/events/topics/..%2f..%2f..%2fetc%2fpasswd/history", bearer_line()),
        [403],
    ),
    "CWE-22 dots in a path": (get("/events/topics/../../etc/passwd/history", bearer_line()), [403, 404]),
    "CWE-22 dots behind the script": (get("/rx_sse.js/..%2f..%2fpyproject.toml"), [404]),
    "CWE-22 a path that begins with two slashes": (get("//evil.example/admin"), [404]),
    "CWE-176 overlong UTF-8 in a topic": (events("/events/?topic=news%c0%ae", bearer_line()), [400]),
    "CWE-176 UTF-8 that is none in a topic": (events("/events/?topic=%ff%fe", bearer_line()), [400]),
    "CWE-176 a granted name in full width": (events("/events/?topic=%ef%bd%8eews", bearer_line()), [400]),
    "CWE-176 a granted name with a combining mark": (
        events("/events/?topic=news%cc%81", bearer_line()),
        [400],
    ),
    "CWE-176 a granted name with a mark of direction": (
        events("/events/?topic=%e2%80%aenews", bearer_line()),
        [400],
    ),
    "CWE-178 a granted name in capitals": (events("/events/?topic=NEWS", bearer_line()), [403]),
    "CWE-174 a name that is encoded twice": (events("/events/?topic=%256eews", bearer_line()), [403]),
    "CWE-155 a pattern as a topic": (events("/events/?topic=team:*", bearer_line()), [400]),
    "CWE-155 the library's own topic": (events("/events/?topic=!revocations", bearer_line()), [400]),
    "CWE-235 a topic twice, one not granted": (
        events("/events/?topic=news&topic=secret&topic=news", bearer_line()),
        [403],
    ),
    # -- who asks
    "CWE-347 alg none": (events("/private", forged({"alg": "none"})), [401]),
    "CWE-347 alg nOnE": (events("/private", forged({"alg": "nOnE"})), [401]),
    "CWE-347 no alg": (events("/private", forged({"typ": "JWT"}, KEY)), [401]),
    "CWE-347 another key": (events("/private", forged({"alg": "HS256"}, "x" * 32)), [401]),
    "CWE-347 an empty key": (events("/private", forged({"alg": "HS256"}, "")), [401]),
    "CWE-347 a key that the token brings": (
        events("/private", forged({"alg": "HS256", "jwk": {"kty": "oct", "k": part(b"x" * 32)}}, "x" * 32)),
        [401],
    ),
    "CWE-22 a kid that is a path": (
        events("/private", forged({"alg": "HS256", "kid": "../../dev/null"}, "")),
        [401],
    ),
    "CWE-347 a token in a token": (
        events(
            "/private",
            bearing({"alg": "HS256", "cty": "JWT"}, token("ada").encode()),
        ),
        [401],
    ),
    "CWE-347 five parts, as if encrypted": (events("/private", b"Authorization: Bearer a.b.c.d.e"), [401]),
    "CWE-347 an unsigned token to publish with": (
        post("/events/topics/news", b"1", forged({"alg": "none"}), JSON),
        [401],
    ),
    "CWE-674 a token nested 2,000 deep": (
        events(
            "/private",
            bearing({"alg": "HS256"}, b"[" * 2_000 + b"]" * 2_000),
        ),
        [401],
    ),
    "CWE-598 a token in the query": (events(f"/private?access_token={token()}&token={token()}"), [401]),
    "CWE-287 two tokens": (events("/private", b"Authorization: Bearer x", bearer_line()), [401]),
    "CWE-287 a bad token beside a good cookie": (
        events("/private", b"Authorization: Bearer x", cookie_line()),
        [401],
    ),
    "CWE-290 a user by a proxy's header": (
        events("/private", b"X-Forwarded-User: ada", b"X-Real-IP: 127.0.0.1", b"Remote-User: ada"),
        [401],
    ),
    # -- pages of other sites, with a user's cookie
    "CWE-1385 a stream for another site": (events("/private", cookie_line(), EVIL), [403]),
    "CWE-1385 a stream for a name that ends alike": (
        events("/private", cookie_line(), b"Origin: https://evilapp.example"),
        [403],
    ),
    "CWE-1385 a stream for a name that begins alike": (
        events("/private", cookie_line(), b"Origin: https://app.example.evil.example"),
        [403],
    ),
    "CWE-1385 a stream for a page without an origin": (
        events("/private", cookie_line(), b"Origin: null"),
        [403],
    ),
    "CWE-1385 a stream of another site, Origin absent": (
        events("/private", cookie_line(), b"Sec-Fetch-Site: cross-site"),
        [403],
    ),
    "CWE-1385 two origins": (events("/private", cookie_line(), b"Origin: https://app.example", EVIL), [403]),
    "CWE-352 a form of another site": (
        post("/events/topics/news", b"a=1", cookie_line(), EVIL, FORM, b"Sec-Fetch-Site: cross-site"),
        [403],
    ),
    "CWE-352 a form without an origin": (post("/events/topics/news", b"a=1", cookie_line(), FORM), [403]),
    "CWE-352 a simple request of another site": (
        post("/events/topics/news", b"1", cookie_line(), EVIL, b"Content-Type: text/plain"),
        [403],
    ),
    "CWE-352 a form of one's own site": (
        post("/events/topics/news", b"a=1", cookie_line(), b"Sec-Fetch-Site: same-origin", FORM),
        [415],
    ),
    "CWE-352 a stop of a run": (post("/events/runs/a/stop", b"", cookie_line(), EVIL), [403]),
    "CWE-650 a publish by GET": (get("/events/topics/news?event=x&data=1", bearer_line()), [405]),
    "CWE-650 another method by a header": (
        get("/events/topics/news", bearer_line(), b"X-HTTP-Method-Override: POST"),
        [405],
    ),
    # -- bodies
    "CWE-674 JSON nested 100,000 deep": (
        post("/events/topics/news", b"[" * 100_000 + b"]" * 100_000, bearer_line(), JSON),
        [400],
    ),
    "CWE-674 objects nested 50,000 deep": (
        post("/events/topics/news", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, bearer_line(), JSON),
        [400],
    ),
    "CWE-1284 an integer of 100,000 digits": (
        post("/events/topics/news", b"9" * 100_000, bearer_line(), JSON),
        [400],
    ),
    "CWE-1284 NaN": (post("/events/topics/news", b"NaN", bearer_line(), JSON), [400]),
    "CWE-1284 a number beyond all floats": (
        post("/events/topics/news", b"1e999", bearer_line(), JSON),
        [400],
    ),
    "CWE-176 half a character in JSON": (
        post("/events/topics/news", b'"\\ud800"', bearer_line(), JSON),
        [201, 400],
    ),
    "CWE-176 text that is no UTF-8": (
        post("/events/topics/news", b"\xff\xfe", bearer_line(), b"Content-Type: text/plain"),
        [400],
    ),
    "CWE-20 a charset that there is not": (
        post("/events/topics/news", b"1", bearer_line(), b"Content-Type: text/plain; charset=evil"),
        [400],
    ),
    "CWE-20 a charset that is a codec of bytes": (
        post("/events/topics/news", b"1", bearer_line(), b"Content-Type: text/plain; charset=zlib"),
        [400],
    ),
    "CWE-20 a charset with a NUL": (
        post("/events/topics/news", b"1", bearer_line(), b'Content-Type: text/plain; charset="a%00"'),
        [400],
    ),
    "CWE-409 gzip": (
        post(
            "/events/topics/news",
            zlib.compress(b"1" * 10**6, wbits=31),
            bearer_line(),
            JSON,
            b"Content-Encoding: gzip",
        ),
        [415],
    ),
    "CWE-409 gzip in gzip": (
        post("/events/topics/news", b"x", bearer_line(), JSON, b"Content-Encoding: gzip, gzip"),
        [415],
    ),
    "CWE-409 a coding that there is not": (
        post("/events/topics/news", b"x", bearer_line(), JSON, b"Content-Encoding: evil"),
        [415],
    ),
    "CWE-409 gzip as transfer coding": (
        get("/events/topics/news", bearer_line(), JSON, b"Transfer-Encoding: gzip, chunked", method=b"POST")
        + b"1\r\n1\r\n0\r\n\r\n",
        [201, 400, 415, NO_ANSWER],
    ),
    # -- one request that two readers see differently
    "CWE-444 two lengths": (
        get("/news", b"Content-Length: 0", b"Content-Length: 5", method=b"POST") + b"GET /",
        [400],
    ),
    "CWE-444 a length and chunks": (
        get("/news", b"Content-Length: 3", b"Transfer-Encoding: chunked", method=b"POST") + b"0\r\n\r\n",
        [400],
    ),
    "CWE-444 a length with a sign": (get("/news", b"Content-Length: +1", method=b"POST") + b"1", [400]),
    "CWE-444 a negative length": (get("/news", b"Content-Length: -1", method=b"POST"), [400]),
    "CWE-444 a length of 4,000 digits": (
        get("/news", b"Content-Length: " + b"9" * 4_000, method=b"POST"),
        [400, 405],
    ),
    "CWE-444 chunks by another name": (
        get("/news", b"Transfer-Encoding: xchunked", method=b"POST"),
        [400, 405],
    ),
    "CWE-444 a size of a chunk that is none": (
        post("/events/topics/news", b"", bearer_line(), JSON).replace(
            b"Content-Length: 0", b"Transfer-Encoding: chunked"
        )
        + b"xyz\r\n1\r\n0\r\n\r\n",
        [400, NO_ANSWER],
    ),
    "CWE-444 a space before the colon": (events("/news", b"Last-Event-ID : 1"), [400]),
    "CWE-444 a folded header": (events("/news", b"X: 1\r\n Last-Event-ID: 1"), [400]),
    "CWE-444 HTTP/0.9": (b"GET /news\r\n\r\n", [200, 400]),
    "CWE-444 the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 404, 405, 505, NO_ANSWER]),
    "CWE-444 TLS on a plain socket": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        [400, NO_ANSWER],
    ),
    "CWE-441 a URL of another host": (get("http://169.254.169.254/latest/meta-data/"), [404]),
    "CWE-441 CONNECT": (get("evil.example:443", method=b"CONNECT"), [400, 404, 405]),
    "CWE-693 TRACE": (get("/news", method=b"TRACE"), [405]),
    # -- what a cache or a page is led by
    "CWE-644 another Host": (events("/news").replace(b"Host: localhost", b"Host: evil.example"), [200]),
    "CWE-601 a redirect to another host": (
        get("/admin", b"X-Forwarded-Host: evil.example").replace(b"Host: localhost", b"Host: evil.example"),
        [308],
    ),
    "CWE-209 an error that holds a secret": (get("/failing"), [500]),
    "CWE-1333 Accept of 8,000 characters": (events("/news", b"Accept: " + b"*/*;q=0.1;" * 790), [200]),
    "CWE-1333 a time of 4,000 characters": (
        get(f"/events/topics/news/history?since={'1' * 4_000}T", bearer_line()),
        [400],
    ),
    "CWE-1333 a cookie of 8,000 separators": (events("/private", b"Cookie: " + b';=" ' * 1_900), [401]),
}

CONTROL = frozenset(map(chr, [*range(32), *range(127, 160)])) - {"\t"}


async def next_mark(stream: OpenStream, mark: str) -> None:
    """Read on until a mark is there, over whatever an attacker was allowed to publish."""
    while (await stream.next_event()).data != mark:
        pass


def check_log(records: list[logging.LogRecord]) -> None:
    """No error, and no line that a client has written."""
    for record in records:
        if record.name.startswith("rx_sse"):
            text = record.getMessage()
            assert record.levelno < logging.ERROR or "swordfish" in str(record.exc_info), text
            assert not CONTROL & set(text), text
        if record.levelno >= logging.ERROR and record.name in ("asyncio", "aiohttp.server"):
            error = (
                record.exc_info and record.exc_info[1]
            )  # aiohttp tells what it could not parse as an error
            assert isinstance(error, HttpProcessingError) or "swordfish" in str(error), record.getMessage()


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_request_is_answered_and_changes_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, statuses = CASES[name]
    caplog.set_level("INFO")
    async with attacked() as target, open_stream(target.url, "/news") as reader:
        await reader.next_event(control=True)
        answer = await target.ask(request)
        assert answer.status in statuses, answer
        await target.bus.publish("news", "still here")
        await next_mark(reader, "still here")
        assert "forged" not in reader.last_event_id and len(target.app[REGISTRY].streams) <= 2
    check_log(caplog.records)
    assert not answer.header("Set-Cookie") and b"swordfish" not in answer.body
    assert "evil.example" not in answer.head.decode("latin-1")
    if answer.status == 200:
        events = EventParser().feed(answer.body)
        assert not [event for event in events if "forged" in event.data or "forged" in event.last_event_id]


def told(answer: Answer) -> list[tuple[str, str]]:
    """The events of an answer that differ with what its server knows of a cursor."""
    return [(event.type, event.data) for event in EventParser().feed(answer.body)]


async def test_cwe_204_a_position_of_a_topic_that_may_not_be_read_is_an_unknown_one() -> None:
    async with attacked() as target:
        await target.bus.publish("news", 1)
        real = (await target.bus.publish("secret", 1)).encode()
        made_up = real[:-1] + (b"1" if real[-1:] != b"1" else b"2")
        answers = [
            await target.ask(events("/events/?topic=news", bearer_line(), b"Last-Event-ID: " + cursor))
            for cursor in (real, made_up)
        ]
        assert told(answers[0]) == told(answers[1]) and answers[0].status == 200
        refused = set[tuple[int, bytes]]()
        for name, query in (("secret", f"?after={real.decode()}"), ("secret", ""), ("there-is-none", "")):
            answer = await target.ask(get(f"/events/topics/{name}/history{query}", bearer_line()))
            refused.add((answer.status, answer.body))
        assert [status for status, _ in refused] == [403]


async def test_cwe_524_a_page_of_history_is_for_its_user_and_its_tag_tells_nobody_else_anything() -> None:
    path = "/events/topics/team:7/history"
    async with attacked() as target:
        await target.bus.publish("team:7", "for the team")
        answer = await target.ask(get(path, bearer_line("ada")))
        tag = f"If-None-Match: {answer.header('ETag')}".encode()
        assert (answer.header("Cache-Control"), answer.status) == ("private, no-cache", 200)
        assert {"Authorization", "Cookie"} <= set((answer.header("Vary") or "").replace(" ", "").split(","))
        assert (await target.ask(get(path, bearer_line("ada"), tag))).status == 304
        assert (await target.ask(get(path, tag))).status == 401
        assert (await target.ask(get(path, b"If-None-Match: *"))).status == 401
        other = bearer_line("ben", rx_sse={"subscribe": ["news"]})
        for known in (tag, b"If-None-Match: *"):
            assert (await target.ask(get(path, other, known))).status == 403
        for header in (b"X-Forwarded-Host: evil.example", b"X-Original-URL: /private", b"Range: bytes=0-1"):
            assert (await target.ask(get(path, bearer_line("ada"), header))).body == answer.body


async def test_cwe_117_no_client_writes_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "rx_sse")
    forged_line = "x\r\nERROR rx_sse: forged \x1b[31m\x9b31m\u2028\u202e"
    eve = bearer_line(forged_line)
    requests = [
        events("/events/?topic=secret", eve),
        events("/events/me", eve, b"Accept-Encoding: identity"),
        post("/events/topics/secret%0aERROR%1b%5b31m", b"1", eve, JSON),
        post("/events/topics/secret%e2%80%a8", b"1", eve, JSON),
        events("/private?x=%0aERROR", b"Authorization: Bearer \xc2\x9b31m"),
        events("/private", cookie_line(), "Origin: https://evil.example/\u202e\x9b".encode()),
        events("/private%0aERROR%1b"),
        get("/news", method=b"POST"),
    ]
    async with attacked() as target:
        for request in requests:
            await target.ask(request)
        await target.bus.revoke(user=forged_line)
    assert [record for record in caplog.records if record.name.startswith("rx_sse")]
    for record in caplog.records:
        text = record.getMessage()
        assert record.name.startswith("aiohttp") or not (CONTROL | {"\u2028", "\u202e"}) & set(text), text


async def test_cwe_770_one_user_has_a_hundred_streams_and_leaves_room_for_others() -> None:
    async with attacked() as target, contextlib.AsyncExitStack() as stack:
        headers = bearer("eve", **EVE)
        for _ in range(100):
            stream = await send(target.url + "/private", headers=headers)
            stack.push_async_callback(stream.aclose)
            await stream.read_head()
        async with open_stream(target.url, "/private", headers=headers) as one_more:
            assert (await one_more.next_event(control=True)).type == "stream-reconnect"
        async with open_stream(target.url, "/private", headers=bearer("ada")) as other:
            assert (await other.next_event(control=True)).type == "stream-cursor"
        assert target.app[REGISTRY].stats().open == 101


async def test_cwe_400_requests_that_never_end_hold_up_nobody() -> None:
    beginnings = [
        b"GET /news HT",
        b"GET /news HTTP/1.1\r\nHost: localhost\r\nX: ",
        post("/events/topics/news", b"1" * 100, bearer_line(), JSON)[:-50],
    ]
    async with attacked() as target, contextlib.AsyncExitStack() as stack:
        for beginning in beginnings * 30:
            stream = await send(target.url + "/")
            stack.push_async_callback(stream.aclose)
            stream.writer.write(beginning)
        async with open_stream(target.url, "/news") as reader:
            await reader.next_event(control=True)
            await target.bus.publish("news", "still here")
            assert (await reader.next_event()).data == "still here"


BODIES: dict[str, tuple[str, bytes, list[bytes]]] = {
    "publish, whose length is known": ("/events/topics/news", b"", [b"Content-Length: 100"]),
    "publish, some of it": ("/events/topics/news", b'"half', [b"Content-Length: 100"]),
    "publish, in chunks": ("/events/topics/news", b'5\r\n"half\r\n', [b"Transfer-Encoding: chunked"]),
    "an operator's revocation": ("/operators/actions/revoke", b'{"user', [b"Content-Length: 100"]),
    "an operator's publish": ("/operators/actions/publish", b"1\r\n{\r\n", [b"Transfer-Encoding: chunked"]),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("trickle", [b"", b" "], ids=["stops", "trickles"])
async def test_cwe_400_a_body_that_does_not_arrive_is_408_and_the_end_of_its_connection(
    name: str, trickle: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, beginning, lines = BODIES[name]
    trickle = b"1\r\n \r\n" if trickle and beginning and b"chunked" in lines[0] else trickle
    app, bus = make_app(limits=rx_sse.Limits(body_timeout=0.2))
    app.add_subapp("/operators", rx_sse.admin_app(auth=rx_sse.JWTAuth(key=KEY, algorithms="HS256")))
    operator = bearer_line(scope="publish admin")
    request = get(path, operator, JSON, *lines, method=b"POST").replace(b"Connection: close\r\n", b"")
    async with serve(app, auto_decompress=False, lingering_time=0.2) as url, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(request + beginning)
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        while not answer.done() and trickle:
            writer.write(trickle)
            await asyncio.wait([answer], timeout=0.05)
        head = await answer
        assert head.startswith(b"HTTP/1.1 408 ") and b"\r\nConnection: close" in head
        assert json.loads(await reader.read())["detail"] == "the body did not arrive within 0.2 s"
        assert not (await bus.history("news")).entries
        writer.close()
    check_log(caplog.records)


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_cwe_400_a_client_that_leaves_within_its_body_is_no_error_in_the_log(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    app, bus = make_app()
    app.add_subapp("/operators", rx_sse.admin_app(auth=rx_sse.JWTAuth(key=KEY, algorithms="HS256")))
    operator = bearer_line(scope="publish admin")
    async with serve(app) as url:
        for path, beginning, lines in BODIES.values():
            _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            writer.write(get(path, operator, JSON, *lines, method=b"POST") + beginning)
            await writer.drain()
            await asyncio.sleep(0.02)  # the handler reads
            getattr(writer if end == "close" else writer.transport, end)()
        async with asyncio.timeout(20):
            while sum(record.name == "aiohttp.access" for record in caplog.records) < len(BODIES):
                await asyncio.sleep(0.01)
        assert not (await bus.history("news")).entries
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_cwe_400_who_may_not_publish_does_not_get_the_time_for_a_body() -> None:
    cases = [
        (get("/events/topics/news", b"Content-Length: 9", JSON, method=b"POST"), 401),
        (get("/events/topics/secret", bearer_line(), b"Content-Length: 9", JSON, method=b"POST"), 403),
        (get("/events/runs/none/stop", bearer_line(), b"Content-Length: 9", method=b"POST"), 403),
        (get("/admin/actions/revoke", b"Content-Length: 9", JSON, method=b"POST"), 403),
    ]
    app, _ = make_app(limits=rx_sse.Limits(body_timeout=None))
    async with serve(app, lingering_time=0.1) as url, asyncio.timeout(20):
        for request, status in cases:
            reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            writer.write(request)
            assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status), request
            writer.close()


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every regular expression that a module of this library keeps."""
    for module in pkgutil.walk_packages(rx_sse.__path__, "rx_sse."):
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    yield f"{module.name}.{name}", value


PUMPED = [
    "a",
    "1",
    " ",
    "=",
    ":",
    "*",
    ".",
    "_",
    "%",
    "a.",
    "1.",
    "aaaaaa.1.1_",
    "\x1b",
    "\n",
    "https://a",
    "a:",
    "a=;",
]


SEARCHED = {"NO_HEADER", "_BREAKS_LINE", "_CONTROL", "_HARMFUL", "_NO_HOST", "_LINES", "_TOKEN"}
"""Those with which a text is searched; the others have to fit the whole of it."""


def test_cwe_1333_no_regular_expression_of_the_library_backtracks() -> None:
    """Much of what it repeats, and then what it refuses: a pattern that is quadratic takes seconds."""
    found = dict(patterns())
    assert len(found) > 20 and {name.rpartition(".")[2] for name in found} >= SEARCHED
    for name, pattern in found.items():
        for piece in PUMPED:
            for begin in ("", "1_", "a:", "https://"):
                text = begin + piece * (20_000 // len(piece)) + "\x00!"
                given = text.encode() if isinstance(pattern.pattern, bytes) else text
                before = time.thread_time()  # of the processor: a busy machine does not count
                pattern.fullmatch(given)
                if name.rpartition(".")[2] in SEARCHED:
                    pattern.findall(given)
                assert time.thread_time() - before < 0.5, (name, begin, piece)


async def test_cwe_401_of_a_publish_that_is_refused_nothing_waits_for_a_collection() -> None:
    """Not the request and its body, nor the value and the text that were made of it."""
    refused = [
        (b"[" + b"1e9," * 250_000 + b"0]", 413),
        (b"[" * 100_000, 400),
        (b"{", 400),
    ]

    def requests() -> int:
        return sum(isinstance(found, web.Request) for found in gc.get_objects())

    async with attacked(limits=rx_sse.Limits(body_timeout=2.0)) as target:
        gc.collect()
        gc.disable()
        try:
            before = requests()
            for body, status in refused:
                answer = await target.ask(post("/events/topics/news", body, bearer_line(), JSON))
                assert answer.status == status and "problem+json" in (answer.header("Content-Type") or "")
            half = post("/events/topics/news", b"1" * 100, bearer_line(), JSON)[:-50]
            assert (await target.ask(half)).status == 408
            await until(lambda: requests() <= before)
        finally:
            gc.enable()


async def test_cwe_59_a_link_leads_no_job_of_the_demo_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "inside" / "below").mkdir(parents=True)
    (tmp_path / "inside" / "link").symlink_to("/etc")
    (tmp_path / "inside" / "below" / "passwd").symlink_to("/etc/passwd")
    async with demo(folder=tmp_path / "inside") as url:
        viewer = await Viewer.sign_in(url)
        for folder in ("link", "below/../..", "below/..%2f..", str(tmp_path)):
            assert "is no folder in" in await viewer.post("job", {"folder": folder}, status=404)
        assert not list(files_below(tmp_path / "inside"))
        await viewer.post("job", {"folder": "below"})


@pytest.mark.slow
async def test_cwe_1327_the_demo_listens_on_loopback_alone() -> None:
    command = [sys.executable, "-u", "-m", "rx_sse", "demo", "--port", "0", "--memory"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"http://" not in (line := await process.stdout.readline()):
                assert line
    finally:
        process.kill()
        await process.wait()
    assert re.search(rb"http://127\.0\.0\.1:\d+", line), line


async def test_cwe_1021_no_page_of_another_site_frames_ours() -> None:
    async with attacked() as target, serve(make_demo()) as demo:
        for url in (f"{target.url}/admin/", f"{demo}/", f"{demo}/admin/"):
            stream = await send(url, headers={"Host": "localhost"})
            await stream.read_head()
            policy = stream.headers["content-security-policy"]
            assert re.search(r"frame-ancestors '(none|self)'", policy), url
            assert re.match(r"default-src '(none|self)';", policy) and "unsafe" not in policy, url
            assert re.findall(r"script-src ([^;]*)", policy) in ([], ["'self'"]), url
            assert stream.status == 200 and stream.headers["x-content-type-options"] == "nosniff"
            await stream.aclose()


SCRIPT = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'`${window.hacked=1}"


@pytest.mark.slow
@pytest.mark.browser
async def test_cwe_79_what_a_user_is_called_is_text_on_the_admin_page(chromium: str) -> None:
    async with attacked() as target, browsing(chromium) as browser:
        headers = bearer(SCRIPT, **EVE)
        async with open_stream(target.url, "/private?x=" + "%3Cimg%20src=x%3E", headers=headers) as reader:
            await reader.next_event(control=True)
            tab = await browser.open(target.url + "/admin/")
            await tab.until("document.documentElement.textContent.includes('onerror')")
            assert await tab.run("window.hacked === undefined && !document.querySelector('img[src=x]')")


def test_the_page_on_security_has_every_attack_that_the_command_plays() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    for attack in ATTACKS.values():
        assert f"| {attack.what.format(n=f'{attack.times:,}')} | {attack.cwe} |" in page, attack.what
