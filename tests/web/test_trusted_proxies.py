"""Whose address counts, and whose word for it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Limits
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from rx_sse.web.trusted_proxies import TrustedProxies, site_of

from .apps import app_of, exchange, only_stream, streaming, until

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # no proxy of ours: anyone may write the header
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # the left one was sent by the client
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),  # a client of our own network
        ("10.0.0.1", ["198.51.100.1:5511"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1%eth0", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, unknown"], "10.0.0.1"),  # what is behind it nobody vouches for
        ("10.0.0.1", ["1.2.3.4, unknown, 10.3.3.3"], "10.3.3.3"),
        ("10.0.0.1", ["1.2.3.4,"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, " + ", ".join(["10.0.0.9"] * 30)], "10.0.0.9"),
        (None, ["1.2.3.4"], None),  # a Unix socket, which is not configured
        ("", ["1.2.3.4"], ""),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_proxy(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert PROXIES.client(peer, forwarded) == client


@pytest.mark.parametrize("peer", [None, ""])
def test_a_unix_socket_is_a_proxy_where_it_is_configured(peer: str | None) -> None:
    assert TrustedProxies(["unix"]).client(peer, ["1.2.3.4"]) == "1.2.3.4"
    assert TrustedProxies(["unix"]).client("10.0.0.1", ["1.2.3.4"]) == "10.0.0.1"


def test_a_site_has_one_address_or_a_network_of_them() -> None:
    assert site_of("2001:db8:1:2:3:4:5:6") == site_of("2001:db8:1:2::1%eth0") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:3::1") != site_of("2001:db8:1:2::1")
    assert site_of("198.51.100.1") == site_of("::ffff:198.51.100.1") == "198.51.100.1"
    assert site_of(None) == site_of("") == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("10.0.0.0/8", "trusted_proxies='10.0.0.0/8' must be a list of networks, as in ['10.0.0.0/8']"),
        (10, "trusted_proxies=10 must be a list of networks"),
        (["10.0.0.1/8"], "trusted_proxies: '10.0.0.1/8' is no network (10.0.0.1/8 has host bits set)"),
        (["proxy.internal"], "trusted_proxies: 'proxy.internal' is no network"),
        ([8], "trusted_proxies: 8 is no network (it is no text)"),
        (["0.0.0.0/0"], "'0.0.0.0/0' holds every address, so any client could name any address"),
        (["::/0"], "'::/0' holds every address"),
    ],
)
def test_networks_that_cannot_work_are_refused(given: Any, said: str) -> None:
    with pytest.raises(rx_sse.UsageError) as told:
        rx_sse.setup(web.Application(), trusted_proxies=given)
    assert said in str(told.value)


def limited(**setup: object) -> web.Application:
    """An application with one stream for each address."""
    return app_of(streaming(rx.never, hold_headers=0), limits=Limits(per_address=1), **setup)


async def test_behind_a_proxy_each_client_has_a_limit_of_its_own() -> None:
    app = limited(trusted_proxies=["127.0.0.0/8"])
    async with serve(app) as url, AsyncExitStack() as stack:
        for client in ("198.51.100.1", "198.51.100.2", "2001:db8::1"):
            headers = {"X-Forwarded-For": f"1.2.3.4, {client}", "Accept": "*/*"}
            stream = await stack.enter_async_context(open_stream(url, headers=headers))
            assert stream.status == 200
        for client in ("198.51.100.1", "2001:db8::abcd"):
            answer = await exchange(url, "GET /", "Accept: */*", f"X-Forwarded-For: {client}")
            assert answer.status == 429
            assert answer.content == b"Too many streams are open from your address; try again later."
        assert {stream.remote for stream in app[REGISTRY].streams} >= {"198.51.100.1", "2001:db8::1"}
    await until(lambda: not app[REGISTRY].streams)
    assert not app[REGISTRY]._by_address, "what was counted is given back"


@pytest.mark.parametrize("proxies", [[], ["10.0.0.0/8"]], ids=str)
async def test_a_client_that_is_no_proxy_cannot_give_itself_an_address(proxies: list[str]) -> None:
    app = limited(trusted_proxies=proxies)
    async with serve(app) as url, open_stream(url) as stream:
        assert stream.status == 200
        assert (await only_stream(app)).remote == "127.0.0.1"
        answer = await exchange(url, "GET /", "Accept: */*", "X-Forwarded-For: 198.51.100.9")
        assert answer.status == 429


async def test_the_proxies_are_those_of_the_outermost_application() -> None:
    app = rx_sse.setup(web.Application(), limits=Limits(per_address=1), trusted_proxies=["127.0.0.1"])
    app.add_subapp("/below", limited())
    async with serve(app) as url, AsyncExitStack() as stack:
        for client in ("198.51.100.1", "198.51.100.2"):
            headers = {"X-Forwarded-For": client, "Accept": "*/*"}
            stream = await stack.enter_async_context(open_stream(url, "/below/", headers=headers))
            assert stream.status == 200


async def test_a_proxy_on_a_unix_socket(tmp_path: Path) -> None:
    app = limited(trusted_proxies=["unix"])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        path = str(tmp_path / "s")
        await web.UnixSite(runner, path).start()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
            AsyncExitStack() as stack,
        ):
            statuses: list[int] = []
            for client in ("198.51.100.1", "198.51.100.2", "198.51.100.1"):
                asked = {"X-Forwarded-For": client, "Accept": "*/*"}
                answer = await stack.enter_async_context(session.get("http://app/", headers=asked))
                statuses.append(answer.status)
            assert statuses == [200, 200, 429]
    finally:
        await runner.cleanup()
