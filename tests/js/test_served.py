"""The module as the application serves it, and as the package holds it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.errors import UsageError
from rx_sse.testing import serve

from ..conftest import ROOT, require
from ..node import node_package
from ..web.apps import app_of, exchange, streaming

FOLDER = ROOT / "rx_sse" / "js"
MINIFIED = (FOLDER / "rx_sse.min.js").read_bytes()


def test_it_is_at_most_five_kibibytes_compressed() -> None:
    assert len(gzip.compress(MINIFIED)) <= 5 * 1024


def test_the_package_for_bundlers_is_complete_and_of_this_version() -> None:
    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    assert package["version"] == version("rx-sse")
    named = [
        *package["files"],
        package["main"],
        package["types"],
        *(e["default"] for e in package["exports"].values()),
    ]
    assert all((FOLDER / name).is_file() for name in named)
    assert "dependencies" not in package


async def test_it_is_revalidated_or_with_the_version_kept_for_ever() -> None:
    async with serve(rx_sse.setup(web.Application())) as url:
        plain = await exchange(url, "GET /rx_sse.js")
        assert (plain.status, plain.content) == (200, MINIFIED)
        assert plain.header("Content-Type") == "text/javascript; charset=utf-8"
        assert plain.header("Cache-Control") == "no-cache"
        etag = plain.header("ETag")
        again = await exchange(url, "GET /rx_sse.js", f"If-None-Match: {etag}")
        assert (again.status, again.body, again.header("ETag")) == (304, b"", etag)
        other = await exchange(url, "GET /rx_sse.js", 'If-None-Match: "other"')
        assert other.status == 200
        kept = await exchange(url, f"GET /rx_sse.js?v={version('rx-sse')}")
        assert kept.header("Cache-Control") == "public, max-age=31536000, immutable"
        assert (await exchange(url, "GET /rx_sse.js?v=0.0.0")).header("Cache-Control") == "no-cache"
        zipped = await exchange(url, "GET /rx_sse.js", "Accept-Encoding: gzip, br")
        assert zipped.header("Content-Encoding") == "gzip" and zipped.header("Vary") == "Accept-Encoding"
        assert gzip.decompress(zipped.content) == MINIFIED
        assert (await exchange(url, "HEAD /rx_sse.js")).status == 200


async def test_it_is_served_elsewhere_or_nowhere() -> None:
    async with serve(rx_sse.setup(web.Application(), client="/static/live.js")) as url:
        assert (await exchange(url, "GET /static/live.js")).status == 200
        assert (await exchange(url, "GET /rx_sse.js")).status == 404
    async with serve(rx_sse.setup(web.Application(), client=False)) as url:
        assert (await exchange(url, "GET /rx_sse.js")).status == 404


@pytest.mark.parametrize("path", ["rx_sse.js", "", True, None, 7])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(UsageError, match="client="):
        rx_sse.setup(web.Application(), client=path)


# -- what a stream tells the module before its first event ------------------------------------------------------


@pytest.mark.parametrize(("heartbeat", "header"), [(15.0, "15"), (0.5, "0.5"), (None, None), (0, None)])
async def test_a_stream_tells_its_heartbeat(heartbeat: float | None, header: str | None) -> None:
    async with serve(app_of({"* /": streaming(rx.empty, heartbeat=heartbeat)})) as url:
        for method in ("GET", "HEAD"):
            answer = await exchange(url, f"{method} /", "Accept: text/event-stream")
            assert answer.header("Stream-Heartbeat") == header


async def test_a_stream_marks_its_user_and_does_not_name_it() -> None:
    def auth(request: web.Request) -> rx_sse.Principal:
        return rx_sse.Principal(user=request.query["user"])

    app = app_of({"* /": rx_sse.sse(auth=auth)(lambda request: rx.empty()), "/open": streaming(rx.empty)})
    async with serve(app) as url:
        marks = {
            (method, user): (await exchange(url, f"{method} /?user={user}")).header("Stream-User")
            for method in ("GET", "HEAD")
            for user in ("ada", "ben")
        }
        assert (await exchange(url, "GET /open")).header("Stream-User") is None
    assert marks["GET", "ada"] == marks["HEAD", "ada"] != marks["GET", "ben"] == marks["HEAD", "ben"]
    assert all(mark and "ada" not in mark and "ben" not in mark for mark in marks.values())


async def test_a_client_of_aiohttp_reads_the_module_too() -> None:
    """Compressed or not, as it asks; and fast, though the file is made once."""
    async with serve(rx_sse.setup(web.Application())) as url, aiohttp.ClientSession() as session:
        started = time.monotonic()
        for _ in range(50):
            async with session.get(f"{url}/rx_sse.js") as answer:
                assert await answer.read() == MINIFIED
        assert time.monotonic() - started < 5


# -- what npm is needed for -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_minified_file_is_made_of_the_source(tmp_path: Path) -> None:
    for name in ("rx_sse.js", "minify.mjs", "package.json"):
        shutil.copy(FOLDER / name, tmp_path)
    needed = json.loads((FOLDER / "package.json").read_text("utf-8"))["devDependencies"]
    for name in needed:
        node_package(name, needed[name], tmp_path)
    subprocess.run([require("node"), "minify.mjs"], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "rx_sse.min.js").read_bytes() == MINIFIED


@pytest.mark.slow
def test_the_types_are_what_strict_typescript_wants(tmp_path: Path) -> None:
    node_package("typescript", "5.9.3", tmp_path)
    node_package("rxjs", "7.8.2", tmp_path)
    shutil.copytree(FOLDER, tmp_path / "node_modules" / "rx_sse")
    shutil.copy(Path(__file__).parent / "use.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf-8")
    flags = [
        "--strict",
        "--noEmit",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
        "--target",
        "es2022",
    ]
    flags += [
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
        "--lib",
        "es2023,dom,esnext.asynciterable",
    ]
    compiler = tmp_path / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [require("node"), compiler, *flags, "use.ts"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")
