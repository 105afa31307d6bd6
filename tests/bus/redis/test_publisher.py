"""`RedisPublisher`: from scripts, threads and forked workers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from rx_sse import RedisBus, RedisPublisher
from rx_sse.errors import EventTooLarge, PublishRefused, PublishUnknown, TopicNameError, UsageError
from rx_sse.testing.listener import Listener

from ...conftest import ROOT
from ...redis_server import RedisServer

pytestmark = pytest.mark.redis


def test_it_returns_the_cursor_and_keeps_idempotency_keys(redis: RedisServer) -> None:
    with RedisPublisher(redis.url, prefix="p1") as publisher:
        first = publisher.publish("t", {"a": 1}, idempotency_key="k")
        assert publisher.publish("t", {"a": 1}, idempotency_key="k") == first
        assert publisher.publish("t", {"a": 1}, idempotency_key="k", user="b") != first
        with pytest.raises(PublishRefused, match="another payload"):
            publisher.publish("t", {"a": 2}, idempotency_key="k")
        with pytest.raises(TopicNameError):
            publisher.publish("no name", 1)
        with pytest.raises(EventTooLarge):
            publisher.publish("t", "x" * 1_000_001)


async def test_threads_take_turns(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="p2") as bus:
        listener = await Listener(bus, "t").opened()
        with RedisPublisher(redis.url, prefix="p2") as publisher:

            def push(thread: int) -> None:
                for number in range(50):
                    publisher.publish("t", [thread, number])

            threads = [threading.Thread(target=push, args=(thread,)) for thread in range(8)]
            for thread in threads:
                thread.start()
            await listener.received(400)
            for thread in threads:
                thread.join()
        for thread_number in range(8):
            assert [n for t, n in listener.values if t == thread_number] == list(range(50))


async def test_forked_workers_have_connections_of_their_own(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="p3") as bus:
        listener = await Listener(bus, "t").opened()
        code = f"""
import os
from rx_sse import RedisPublisher
publisher = RedisPublisher({redis.url!r}, prefix="p3")
publisher.publish("t", -1)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(20):
            publisher.publish("t", number)
        os._exit(0)
    children.append(child)
for _ in range(20):
    publisher.publish("t", -1)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
        assert await process.wait() == 0
        await listener.received(101)
        assert sorted(listener.values) == sorted([-1] * 21 + [n for n in range(4) for _ in range(20)])


def test_what_is_certain_and_what_is_not() -> None:
    with RedisServer() as server, RedisPublisher(server.url, timeout=0.5) as publisher:
        publisher.publish("t", 1)
        server.pause()
        with pytest.raises(PublishUnknown):
            publisher.publish("t", 2, idempotency_key="k")
        server.resume()
        again = publisher.publish("t", 2, idempotency_key="k")
        server.kill()
        begun = time.monotonic()
        with pytest.raises(PublishRefused) as refused:
            publisher.publish("t", 3)
        assert refused.value.retry_after
        assert time.monotonic() - begun < 20  # half a second is its timeout
        server.start()
        assert publisher.publish("t", 3) and again


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """It would lose the entry's answer, and the next attempt would have to look for the entry."""
    with RedisServer() as server, RedisPublisher(server.url) as publisher:
        publisher.publish("t", 1)
        server.command("CLIENT", "KILL", "TYPE", "normal")
        looked = server.calls("xrevrange")
        publisher.publish("t", 2)
        assert server.calls("xrevrange") == looked


def test_a_bad_url_is_refused_without_its_password() -> None:
    for url in ("http://user:secret@host", "redis://:secret@host:port", "secret", "redis://host/seven", 7):
        with pytest.raises(UsageError) as caught:
            RedisPublisher(url)
        assert "secret" not in str(caught.value) or url == "secret"


def test_a_script_pays_for_no_loop_and_no_server(redis: RedisServer) -> None:
    code = (
        "import sys, rx_sse\n"
        f"rx_sse.RedisPublisher({redis.url!r}, prefix='p4').publish('t', 1)\n"
        "assert not {'aiohttp', 'reactivex', 'jwt'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=os.environ)


def test_what_is_missing_is_named() -> None:
    code = "import sys\nsys.modules['redis'] = None\nimport rx_sse\nrx_sse.RedisPublisher('redis://x')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and 'pip install "redis[hiredis]"' in done.stderr
