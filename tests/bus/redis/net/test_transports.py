"""The same promises whatever lies between: TLS or a unix socket, asyncio or uvloop, Redis or Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from rx_sse import RedisBus, RedisPublisher
from rx_sse.testing import check_bus
from rx_sse.testing.listener import Listener

from ....certificate import self_signed
from ....ports import free_port
from ....redis_server import RedisServer
from ..crowd import all_get_all
from ..test_faults import ready, two

pytestmark = pytest.mark.redis

CHECKS = (
    "threads_keep_their_order",
    "nothing_is_lost_or_repeated_over_cuts",
    "several_topics_have_one_cursor",
    "a_revocation_is_known",
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, str]]:
    """A Redis with a certificate, and its URL."""
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
    with RedisServer(tcp=True) as server:
        port = free_port()
        options = {
            "cert-file": certificate,
            "key-file": key,
            "ca-cert-file": certificate,
            "auth-clients": "no",
        }
        for name, value in options.items():
            server.command("CONFIG", "SET", f"tls-{name}", str(value))
        server.command("CONFIG", "SET", "tls-port", port)
        yield server, f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"


@pytest.fixture(params=["redis", "valkey", "tls"])
def place(request: pytest.FixtureRequest) -> tuple[RedisServer, str]:
    """A server, and the way to it."""
    found: Any = request.getfixturevalue(request.param)
    return (found, found.url) if isinstance(found, RedisServer) else found


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_publish_listen_resume_and_heal(
    place: tuple[RedisServer, str], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    server, url = place

    async def main() -> None:
        for check in CHECKS:
            await check_bus(lambda **options: RedisBus(url, **options), only=check)
        async with two(url) as buses:
            await ready(*buses)
            async with all_get_all("healing", buses, 0.6):
                for kind in ("pubsub", "normal"):
                    await asyncio.sleep(0.2)
                    assert server.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") >= 2
            listener = await Listener(buses[0], "blocking").opened()
            with RedisPublisher(url) as publisher:
                await asyncio.to_thread(publisher.publish, "blocking", 1)
            await listener.received(1)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
