"""The faults, one function each: it does it, heals it, and says what is worth noting."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from ..redis_server import RedisCluster, RedisServer, Replicas
from .files import DISK_ROWS, FILE_ROWS, FILE_SHORT
from .scene import Row, Scene

PROBE = 1.0
"""Seconds between two probes: the default of `RedisBus`."""


async def listeners_killed(scene: Scene) -> str:
    loop = asyncio.get_running_loop()
    end = loop.time() + 5 * scene.length
    killed = 0
    while loop.time() < end:
        killed += scene.server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.2)
    return f"{killed} connections killed"


async def server_killed(scene: Scene) -> str:
    scene.server.kill()
    await scene.sleep(1.0)
    await asyncio.to_thread(scene.server.start)
    return ""


async def server_stopped(scene: Scene) -> str:
    loop = asyncio.get_running_loop()
    scene.server.pause()
    stopped = loop.time()
    noticed = [await process.until(False) - stopped for process in scene.processes]
    await asyncio.sleep(10 * scene.length - (loop.time() - stopped))
    scene.server.resume()
    scene.heal()
    healed = [max(await process.until(True) - scene.healed, 0) for process in scene.processes]
    late = "" if max(noticed) <= 2 * PROBE + 0.3 else "too late! "
    return f"{late}ready() false after {max(noticed):.1f} s, true {max(healed):.1f} s after SIGCONT"


async def network_cut(scene: Scene) -> str:
    scene.relays[1].silence()
    await asyncio.sleep(5 * scene.length)
    scene.relays[1].speak()
    return ""


async def stale_replica(scene: Scene) -> str:
    return f"{await promoted_stale(scene)} accepted events died with the master"


async def stale_replica_waited_for(scene: Scene) -> str:
    lost = await promoted_stale(scene)
    pair = scene.pair
    await asyncio.to_thread(pair.first.start)
    pair.first.command("REPLICAOF", "127.0.0.1", pair.second.port)
    return f"{lost} accepted events died with the master{'!' if lost else ''}"


async def promoted_stale(scene: Scene) -> int:
    """Promote a replica that lacks the last writes; how many events had been accepted among them."""
    pair, crowd = scene.pair, scene.crowd
    pair.second.command("REPLICAOF", "NO", "ONE")  # what comes now, it never gets
    before = len(crowd.sent)
    await scene.sleep(1.5)
    pair.first.kill()
    lost = sum(sent.state == "accepted" for sent in crowd.sent[before:])
    scene.store = pair.second
    for relay in scene.relays:
        relay.lead_to(pair.second)
    scene.heal()
    await scene.ready()
    return lost


async def split_brain(scene: Scene) -> str:
    pair, crowd = scene.pair, scene.crowd
    pair.second.command("REPLICAOF", "NO", "ONE")
    scene.store = pair.second
    before = len(crowd.sent)
    # Who goes to the side that falls behind, and comes back, is the one to look at.
    cuts, crowd.cuts = crowd.cuts, 10 * crowd.cuts
    turns, crowd.turns = crowd.turns, (0, 0, 0, 0, 1)
    scene.relays[0].lead_to(pair.second)
    await scene.sleep(4.0)
    lost = sum(sent.state == "accepted" for sent in crowd.sent[before:]) // len(crowd.turns)
    crowd.cuts, crowd.turns = cuts, turns
    scene.relays[1].lead_to(pair.second)
    scene.heal()
    await scene.ready()
    return f"some {lost} accepted events went to the old master"


async def flushed(scene: Scene) -> str:
    scene.server.command("FLUSHALL")
    return ""


async def meta_evicted(scene: Scene) -> str:
    for _ in range(10):
        names = [scene.keys.meta(topic) for topic in scene.crowd.topics]
        scene.server.command("DEL", *names)
        await scene.sleep(0.2)
    return ""


async def trimmed(scene: Scene) -> str:
    slow = scene.crowd.clients[::8]
    scene.crowd.cuts = 0
    for client in slow:
        if client.stream is not None:
            client.stream.stall()
    await asyncio.sleep(12)  # as long as it takes; a short run has its own rows
    for client in slow:
        if client.stream is not None:
            client.stream.resume()
    return f"{len(slow)} clients read nothing for 12 s"


async def process_killed(scene: Scene) -> str:
    await scene.processes[1].kill()
    return ""


async def scripts_flushed(scene: Scene) -> str:
    for _ in range(20):
        scene.server.command("SCRIPT", "FLUSH")
        await scene.sleep(0.1)
    return ""


async def slot_moved(scene: Scene) -> str:
    cluster = scene.cluster
    moved = 0
    for topic in scene.crowd.topics[:5]:
        slot = scene.slot(topic)
        owner = await asyncio.to_thread(cluster.owner, slot)
        target = next(node for node in cluster.masters if node is not owner)
        await asyncio.to_thread(cluster.move, slot, target)
        moved += 1
        await scene.sleep(0.3)
    return f"{moved} slots moved, listeners and history with them"


async def node_failed_over(scene: Scene) -> str:
    cluster = scene.cluster
    node = await asyncio.to_thread(cluster.owner, scene.slot(scene.crowd.topics[0]))
    loop = asyncio.get_running_loop()
    killed = loop.time()
    node.kill()
    await asyncio.to_thread(
        Replicas.wait_for,
        lambda: any("role:master" in it.command("INFO", "replication") for it in cluster.replicas),
    )
    scene.heal()
    await scene.ready()
    return f"the replica took over {scene.healed - killed:.1f} s after the kill"


async def sentinel_failover(scene: Scene) -> str:
    pair = scene.pair
    loop = asyncio.get_running_loop()
    killed = loop.time()
    pair.first.kill()
    await asyncio.to_thread(
        Replicas.wait_for, lambda: "role:master" in pair.second.command("INFO", "replication")
    )
    scene.heal()
    scene.store = pair.second
    await scene.ready()
    return f"the replica was promoted {scene.healed - killed:.1f} s after the kill"


SMALL_LOG = {"history": 20}
SLOW = {"overflow": {"policy": "disconnect", "max_events": 16}}

ROWS: dict[str, Row] = {
    "pubsub": Row("`CLIENT KILL TYPE pubsub` every 200 ms", RedisServer, listeners_killed),
    "aof": Row(
        "Redis killed (SIGKILL), restarted with its append-only file",
        partial(RedisServer, appendonly="yes", appendfsync="always"),
        server_killed,
    ),
    "empty": Row(
        "Redis killed (SIGKILL), restarted without persistence", RedisServer, server_killed, lossless=False
    ),
    "stop": Row("Redis stopped (SIGSTOP) for 10 s: connections half open", RedisServer, server_stopped),
    "network": Row("network of one application cut for 5 s", RedisServer, network_cut, relayed=True),
    "stale": Row(
        "stale replica promoted after un-replicated writes",
        Replicas,
        stale_replica,
        relayed=True,
        lossless=False,
    ),
    "replicas": Row(
        "the same with `replicas=1`",
        Replicas,
        stale_replica_waited_for,
        relayed=True,
        lossless=False,
        bus={"replicas": 1},
    ),
    "split": Row(
        "split brain: one application stays with the old master for 4 s",
        Replicas,
        split_brain,
        relayed=True,
        lossless=False,
    ),
    "flushall": Row("`FLUSHALL`", RedisServer, flushed, lossless=False),
    "meta": Row("metadata evicted, the log left, 10 times", RedisServer, meta_evicted),
    "trim": Row(
        "log trimmed under slow readers",
        partial(RedisServer, stream_node_max_entries=10),
        trimmed,
        lossless=False,
        bus=SMALL_LOG,
        stream=SLOW,
        pad=2000,
    ),
    "process": Row(
        "one application killed (SIGKILL): its clients go to the other", RedisServer, process_killed
    ),
    "scripts": Row("`SCRIPT FLUSH` every 100 ms", RedisServer, scripts_flushed),
    "sentinel": Row(
        "Sentinel: the master dies, the replica is promoted",
        partial(Replicas, sentinel=True),
        sentinel_failover,
        lossless=None,
    ),
    "slot": Row("Cluster: slots moved", RedisCluster, slot_moved),
    "node": Row(
        "Cluster: a node dies, its replica takes over",
        partial(RedisCluster, replicas=True),
        node_failed_over,
        lossless=None,
    ),
    **FILE_ROWS,
    **(DISK_ROWS if os.geteuid() == 0 else {}),  # a small disk has to be mounted
}
SHORT = ("pubsub", "aof", "stop", "flushall", "meta", "process", "scripts", *FILE_SHORT)
