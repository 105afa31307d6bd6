"""What a publish costs: ``python -m tests.bus.redis.cost``. Fifty tasks publish in a loop, through
`RedisBus` and through redis-py used plainly (one XADD and one PUBLISH each, as it would be done by
hand), on one server in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import redis.asyncio as aioredis

from rx_sse import RedisBus

from ...redis_server import RedisServer

TASKS = 50
EACH = 400
DATA = {"user": 7, "text": "x" * 200}


async def measured(name: str, server: RedisServer, publish: Callable[[], Awaitable[object]]) -> None:
    await publish()
    server.command("CONFIG", "RESETSTAT")
    cpu, clock = time.process_time(), time.perf_counter()

    async def loop() -> None:
        for _ in range(EACH):
            await publish()

    await asyncio.gather(*(loop() for _ in range(TASKS)))
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    stats = server.command("INFO", "commandstats").splitlines()
    count = TASKS * EACH
    # What a script does inside is counted as well; only what clients sent is of interest here.
    inner = 0 if "redis-py" in name else None
    sent = sum(
        int(line.split("calls=")[1].split(",")[0])
        for line in stats
        if line.startswith("cmdstat_")
        and (inner == 0 or line.split(":")[0] in ("cmdstat_evalsha", "cmdstat_eval"))
        and not line.startswith(("cmdstat_config", "cmdstat_info"))
    )
    each, rate = cpu / count * 1e6, count / clock
    print(f"{name:28} {sent / count:7.3f} commands  {each:7.1f} µs CPU  {rate:9,.0f} a second")


async def main() -> None:
    with RedisServer() as server:
        print(f"{TASKS} tasks publish {EACH} times each; per publish:")
        async with RedisBus(server.url) as bus:
            await measured("RedisBus.publish", server, lambda: bus.publish("t", DATA))
        client = aioredis.Redis(unix_socket_path=server.path)

        async def plain() -> None:
            text = json.dumps(DATA)
            await client.xadd("plain", {"data": text}, maxlen=1000, approximate=True)
            await client.publish("plain", text)

        async def pipeline() -> None:
            text = json.dumps(DATA)
            async with client.pipeline(transaction=False) as pipe:
                pipe.xadd("plain", {"data": text}, maxlen=1000, approximate=True)
                pipe.publish("plain", text)
                await pipe.execute()

        await measured("redis-py, two calls", server, plain)
        await measured("redis-py, a pipeline each", server, pipeline)
        await client.aclose()


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.bus.redis.cost", description=__doc__).parse_args()
    asyncio.run(main())
