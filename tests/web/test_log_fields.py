"""What log lines say for programs: a stream has one id in all of its lines, and on the admin page."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Principal
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from tests.conftest import ROOT

from .apps import app_of, exchange, only_stream, streaming, until


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line has for programs."""
    return {name: value for name, value in vars(record).items() if name.startswith("sse_")}


async def test_a_stream_has_one_id_in_all_of_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "rx_sse")

    def fails(request: web.Request) -> rx.Observable[int]:
        return rx.concat(rx.of(1), rx.throw(ValueError("secret")))

    app = app_of({"/orders/{name}": rx_sse.sse(fails)}, trusted_proxies=["127.0.0.1"])
    async with serve(app) as url:
        await exchange(url, "GET /orders/7?token=secret", "X-Forwarded-For: 198.51.100.7")
        await until(lambda: not app[REGISTRY].streams)
    lines = [(r.getMessage(), fields(r)) for r in caplog.records if r.name == "rx_sse"]
    assert [text for text, _ in lines] == [
        "stream GET /orders/7 begins",
        "stream GET /orders/7 failed",
        "stream GET /orders/7 has ended: failed",
    ]
    begins, failed, ended = (found for _, found in lines)
    assert begins == {
        "sse_stream": begins["sse_stream"],
        "sse_request": "GET /orders/7",
        "sse_route": "GET /orders/{name}",
        "sse_address": "198.51.100.7",
    }
    assert failed == begins | {"sse_reason": "failed"}
    assert ended.keys() - failed.keys() == {"sse_seconds", "sse_bytes"}
    assert ended["sse_stream"] == begins["sse_stream"] and ended["sse_bytes"] > 0
    assert "secret" not in str(lines)


async def test_the_id_is_that_of_the_admin_page(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "rx_sse")
    app = app_of(streaming(rx.never, hold_headers=0))
    async with serve(app) as url, open_stream(url), open_stream(url):
        await until(lambda: len(app[REGISTRY].streams) == 2)
        ids = {stream.id for stream in app[REGISTRY].streams}
        assert len(ids) == 2
        assert {fields(record)["sse_stream"] for record in caplog.records} == ids


async def test_a_refusal_has_its_status_and_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rx_sse.web.auth")

    def nobody(request: web.Request) -> Principal | None:
        return None

    async with serve(app_of(streaming(rx.never, auth=nobody))) as url:
        await exchange(url, "GET /?token=secret")
    (record,) = caplog.records
    assert fields(record) == {"sse_request": "GET /", "sse_address": "127.0.0.1", "sse_status": 401}


async def test_without_the_level_nothing_is_logged_for_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rx_sse")
    app = app_of(streaming(rx.never, hold_headers=0))
    async with serve(app) as url, open_stream(url):
        await only_stream(app)
    assert not caplog.records


def test_the_fields_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    (table,) = re.findall(r"^## Log lines for programs$(.*?)(?:^## |\Z)", page, re.M | re.S)
    shown = set(re.findall(r"^\| `(sse_\w+)` \|", table, re.M))
    source = "".join(path.read_text("utf-8") for path in (ROOT / "rx_sse" / "web").rglob("*.py"))
    used = set(re.findall(r'"(sse_\w+)":', source))
    for call in re.findall(r"(?:stream|request)_fields\((.*?)\)", source, re.S):
        used |= {f"sse_{name}" for name in re.findall(r"\b(\w+)=", call)}
    assert shown == used
