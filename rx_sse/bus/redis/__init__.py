"""The bus over Redis: a log that many processes share.

Synchronous code without I/O, shared by the loop and by a worker: `protocol` (names of keys, the scripts that
run in Redis, the format of entries in Redis, many appends as one call). Above it two edges: the bus's log on
a loop (`log`, `append_queue`, `queries`, `subscriptions`, `topology`), and `publisher` for a process without
a loop. Only `net.address` imports redis-py: it reads URLs and clients. hiredis parses the protocol, and the
connections are the library's own: no client library repeats a publish, and no task runs between a socket and
the log.

Standard: RESP2, as implemented by Redis 7.0 and Valkey.
Never: any of it is imported before `RedisBus` or `RedisPublisher` is used.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("redis") is None or find_spec("hiredis") is None:
    raise ImportError('RedisBus and RedisPublisher need redis-py and hiredis: pip install "redis[hiredis]"')
