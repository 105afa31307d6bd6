"""The error of a careless call: one line with what was wrong and what to do, and never a traceback."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.__main__ import main
from rx_sse.testing import serve

from ..certificate import self_signed
from .command import run

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        ("tail /x", 2, "give an absolute URL that begins with http:// or https://"),
        ("tail --no-reconnect localhost:9/x", 1, "cannot connect to localhost:9: Connection refused"),
        (
            "tail --no-reconnect no-such-host.invalid/x",
            1,
            "no-such-host.invalid:443: no address",
        ),
        ("tail --where n=~3 http://x", 2, "'n=~3' has an operator that is not known; write path=value"),
        ("tail --where n~3 http://x", 2, "'n~3' is no condition; write path=value"),
        ("tail --where n>[1] http://x", 2, "'n>[1]' compares with no number and no text"),
        ("tail -H nonsense http://x", 2, "--header, line 1: not a header; write it as 'Name: value'"),
        ("tail --cacert no-such-file https://x", 2, "No such file or directory: 'no-such-file'"),
        ("tail --cacert pyproject.toml https://x", 2, "pyproject.toml: not a file of certificates in PEM"),
        ("tail -k --cacert x https://x", 2, "not allowed with argument"),
        ("tail --nonsense http://x", 2, "unrecognized arguments: --nonsense"),
        ("tail ftp://host/x", 2, "give an absolute URL that begins with http:// or https://"),
        (f"tail --no-reconnect {NOBODY}", 1, "cannot connect to 127.0.0.1:9: Connection refused"),
        ("tail --no-reconnect http://no-such-host.invalid/", 1, "no address is known for this name"),
        ("tail --timeout -1 http://x", 2, "read_timeout=-1.0"),
        ("tail --body @no-such-file http://x", 2, "No such file or directory: 'no-such-file'"),
        ("tail --header-file no-such-file http://x", 2, "No such file or directory: 'no-such-file'"),
        ("publish /x news x", 2, "give an absolute URL that begins with http:// or https://"),
        ("publish redis+nonsense://x news x", 2, "give an absolute URL that begins with http:// or https://"),
        ("publish redis+sentinel://x news x", 2, "is not the URL of a Redis"),
        ("publish https://x news x --cacert no-such-file", 2, "No such file or directory: 'no-such-file'"),
        ("publish ftp://x news x", 2, "give an absolute URL that begins with http:// or https://"),
        ("publish http://x news x --header-file no-such-file", 2, "No such file or directory"),
        ("publish http://x news x --key a\x00b", 2, "--key: 'a\\x00b' holds a character that no header can"),
        ("publish redis://localhost:port news x", 2, "is not the URL of a Redis"),
        ("demo --port 99999", 2, "argument --port: '99999' is no port: give a number from 0 to 65535"),
        ("demo --workers 0", 2, "--workers 0: give 1 or more"),
        ("demo --redis foo --port 0", 2, "what was given is not the URL of a Redis"),
        ("demo --host no-such-host.invalid --port 0", 1, "cannot listen on no-such-host.invalid:0"),
        ("nonsense", 2, "rx_sse: no command 'nonsense'; give one of demo, tail, publish"),
        ("--nonsense", 2, "rx_sse: no option '--nonsense'"),
    ],
)
def test_a_mistake_is_told(
    call: str,
    status: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("RX_SSE_DEMO_SECRET", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # the demo's history
    try:
        ended = main(call.split(" "))
    except SystemExit as error:
        ended = error.code
    printed = capsys.readouterr()
    assert (ended, printed.out) == (status, "")
    (line,) = (line for line in printed.err.splitlines() if told in line)
    assert line.startswith(("rx_sse: ", f"python -m rx_sse {call.split()[0]}: error: "))
    if status == 2 and not call.startswith("demo"):
        assert printed.err.splitlines() == [line]


@pytest.mark.parametrize(
    ("call", "module", "told"),
    [
        ("publish redis://localhost news x", "redis", "pip install"),
        ("demo --redis redis://localhost --port 0", "redis", "pip install"),
        ("demo --port 0", "psutil", "pip install psutil"),
    ],
)
def test_a_missing_extra_is_asked_for(call: str, module: str, told: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; from rx_sse.__main__ import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *call.split()], capture_output=True, text=True, timeout=30,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


async def test_what_is_no_stream_and_no_mount_is_told() -> None:
    app = web.Application()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>", content_type="text/html", status=201)

    async def stored(request: web.Request) -> web.Response:
        return web.json_response(["stored"], status=201)

    app.router.add_route("*", "/page/topics/news", page)
    app.router.add_route("*", "/json/topics/news", stored)
    async with serve(app) as url:
        calls = [
            (["tail", f"{url}/page/topics/news"], "201 Created: <html>hello</html>"),
            (
                ["publish", f"{url}/page", "news", "x"],
                "201, but without the id of an event: <html>hello</html>",
            ),
            (["publish", f"{url}/json", "news", "x"], '201, but without the id of an event: ["stored"]'),
            (["publish", url, "news", "x"], "404 Not Found: 404: Not Found; TARGET is the URL at which"),
        ]
        results = await asyncio.gather(*(run(*call) for call, _ in calls))
    for (_, told), result in zip(calls, results, strict=True):
        assert result.status == 1 and "Traceback" not in result.err
        (line,) = (line for line in result.err.splitlines() if told in line)
        assert line.startswith("rx_sse: ")


async def test_a_certificate_that_is_not_accepted_and_a_server_without_tls_are_told(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    async with serve(web.Application(), ssl=context) as url, serve(web.Application()) as plain:
        for call in (["tail", "--no-reconnect"], ["publish"]):
            rest = ["news", "x"] if call == ["publish"] else []
            result = await run(*call, url, *rest)
            assert "its certificate is not accepted: self-signed certificate" in result.err
            assert result.err.count("certificate is not accepted") == 1 and "Traceback" not in result.err
            result = await run(*call, plain.replace("http:", "https:"), *rest)
            assert "no TLS with it: " in result.err and "Traceback" not in result.err


async def test_a_certificate_ends_a_tail_that_would_reconnect_and_options_accept_it(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    app = rx_sse.setup(web.Application())
    app.router.add_get("/", rx_sse.sse(lambda request: rx.of("hello")))

    async def publish(request: web.Request) -> web.Response:
        return web.json_response({"id": "7"}, status=201)

    app.router.add_post("/topics/news", publish)
    async with serve(app, ssl=context) as url:
        refused = await run("tail", url)
        assert refused.status == 1 and "; again in" not in refused.err
        assert "self-signed certificate; --cacert FILE accepts the certificates of a file, -k" in refused.err
        for options in (["-k"], ["--cacert", str(certificate)]):
            read = await run("tail", url, "--raw", *options)
            assert (read.status, read.out) == (0, "hello\n"), read.err
            sent = await run("publish", url, "news", "x", *options)
            assert (sent.status, sent.out) == (0, "7\n"), sent.err


async def test_what_looks_like_json_and_is_none_is_published_and_told() -> None:
    got: list[str] = []

    async def publish(request: web.Request) -> web.Response:
        got.append(f"{request.content_type} {await request.text()}")
        return web.json_response({"id": "1"}, status=201)

    app = web.Application()
    app.router.add_post("/topics/news", publish)
    async with serve(app) as url:
        result = await run("publish", url, "news", "{'a': 1}")
        quiet = await run("publish", url, "news", "{'a': 1}", "--text")
    assert (result.status, quiet.status, quiet.err) == (0, 0, "")
    assert got == ["text/plain {'a': 1}"] * 2
    assert result.err.startswith("rx_sse: published as text, since it is no JSON: ")
