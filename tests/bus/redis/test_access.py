"""Ways in: clients of redis-py, ACL users; and what a start refuses."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import redis as redis_py
import redis.asyncio as aioredis

from rx_sse import RedisBus, RedisPublisher
from rx_sse.bus.bus import core_of
from rx_sse.bus.redis.protocol.keys import Keys, slot_of
from rx_sse.errors import PublishRefused, UsageError
from rx_sse.testing.bus import check_bus
from rx_sse.testing.listener import Listener

from ...conftest import ROOT
from ...redis_server import RedisServer
from .test_faults import ready

pytestmark = pytest.mark.redis

PAGE = (ROOT / "docs" / "redis.md").read_text("utf-8")
SAID = PAGE[PAGE.index("An ACL user needs") :].partition("\n\n")[0]
STANDALONE, CLUSTER, _, _, SENTINEL = (words.split() for words in re.findall(r"`([^`]+)`", SAID))
"""What docs/redis.md says that a user needs, where."""


def let_in(server: RedisServer, *rights: str) -> None:
    """Give a server a user ``app`` who may do nothing else."""
    nothing = ("resetkeys", "resetchannels", "-@all")
    server.command("ACL", "SETUSER", "app", "on", ">secret", *nothing, *rights)
    server.command("ACL", "LOG", "RESET")


def refusals(server: RedisServer) -> list[Any]:
    """What the server refused, except for the name of a connection, which is optional."""
    return [line for line in server.command("ACL", "LOG") if "setname" not in str(line)]


def test_every_command_of_a_script_is_among_the_rights_that_the_docs_list() -> None:
    scripts = (ROOT / "rx_sse" / "bus" / "redis" / "protocol").glob("*.lua")
    called = {
        name.lower()
        for script in scripts
        for name in re.findall(r"redis\.p?call\('(\w+)'", script.read_text("utf-8"))
    }
    listed = {right[1:].partition("|")[0] for right in STANDALONE if right.startswith("+")}
    assert called and called <= listed, f"docs/redis.md lacks {sorted(called - listed)}"


def test_prefixes_that_would_break_the_slots_are_refused() -> None:
    for prefix in ("", "a b", "{x}", "é", "a*"):
        with pytest.raises(UsageError):
            Keys(prefix)
    keys = Keys("app:live")
    names = (keys.log("t"), keys.meta("t"), keys.channel("t"), keys.key("t", "k"))
    assert len({slot_of(name) for name in names}) == 1


async def test_clients_that_the_application_has(redis: RedisServer) -> None:
    """Only their configuration is read, so a blocking one serves as well."""
    asynchronous = aioredis.Redis(unix_socket_path=redis.path, db=1)
    blocking = redis_py.Redis(unix_socket_path=redis.path, db=1)
    async with RedisBus(asynchronous, prefix="clients") as one, RedisBus(blocking, prefix="clients") as other:
        listener = await Listener(other, "t").opened()
        await one.publish("t", 1)
        await listener.received(1)
    with RedisPublisher(blocking, prefix="clients") as publisher:
        assert await asyncio.to_thread(publisher.publish, "t", 2)
    await asynchronous.aclose()
    blocking.close()


async def test_the_minimal_acl_of_the_docs() -> None:
    with RedisServer() as server:
        let_in(server, *STANDALONE)
        url = server.url.replace("unix://", "unix://app:secret@")
        async with RedisBus(url) as bus:
            await ready(bus)
            assert not bus.stats().last_error
        for check in (
            "nothing_is_lost_or_repeated_over_cuts",
            "a_gap_is_told_once",
            "an_idempotency_key_stores_once",
        ):
            await check_bus(lambda **options: RedisBus(url, **options), only=check)
        assert not refusals(server)


async def test_keys_of_somebody_else_are_refused_for_certain() -> None:
    with RedisServer() as server:
        let_in(server, *STANDALONE)
        url = server.url.replace("unix://", "unix://app:secret@")
        async with RedisBus(url, prefix="other", publish_timeout=1.0) as bus:
            assert not bus.ready()
            with pytest.raises(PublishRefused):
                await asyncio.wait_for(bus.publish("t", 1), 20)


async def test_another_configuration_fails_at_start(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="config", partitions=16):
        with pytest.raises(UsageError, match=r"partitions=16.*partitions=32"):
            await RedisBus(redis.url, prefix="config", partitions=32).start()
        async with RedisBus(redis.url, prefix="config", partitions=16):
            pass


async def test_a_redis_that_is_not_there_yet_does_not_fail_the_start() -> None:
    server = RedisServer()
    try:
        server.kill()
        async with RedisBus(server.url, publish_timeout=20) as bus:
            assert not bus.ready() and not core_of(bus).deaf()
            publishing = asyncio.create_task(bus.publish("t", 1))
            listener = Listener(bus, "t", last=1)
            await asyncio.sleep(0.1)
            server.start()
            await publishing
            await listener.received(1)
            await ready(bus)
    finally:
        server.close()
