"""A demo of several processes."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import pytest

from tests.demo.viewer import Viewer, next_of
from tests.redis_server import RedisServer, free_port


async def first_sign_in(url: str) -> Viewer:
    """A viewer, once the server is there."""
    while True:
        try:
            return await Viewer.sign_in(url)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)


@pytest.mark.redis
async def test_two_workers_share_users_over_redis(redis_server: str) -> None:
    with RedisServer() as server:
        port = free_port()
        command = ("-m", "rx_sse", "demo", "--redis", server.url, "--workers", "2", "--port", str(port))
        demo = await asyncio.create_subprocess_exec(sys.executable, *command)
        url = f"http://127.0.0.1:{port}"
        message = {"from": "ada", "to": "ben", "text": "hello"}
        try:
            async with asyncio.timeout(60):
                ada, ben = await first_sign_in(url), await first_sign_in(url)
                async with ben.stream() as stream:
                    processes: set[int] = set()
                    while len(processes) < 2:  # each connection goes to one of the two, as the kernel likes
                        async with aiohttp.ClientSession(headers=ada.headers) as session:
                            async with session.post(url + ada.path + "/send", json=message) as answer:
                                if answer.status == 503:  # this one has only just started
                                    await asyncio.sleep(0.05)
                                    continue
                                assert answer.status == 200
                        processes.add((await next_of(stream, "ben"))["process"])
        finally:
            demo.terminate()
            assert await demo.wait() == 0
