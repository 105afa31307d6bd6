"""The bus over Redis: a log that many processes share.

Synchronous, without I/O, for a loop and for a worker alike: `keys` (names of keys), `scripts` (what runs
in Redis), `codec` (entries as Redis holds them), `batch` (many appends as one call). Over them two edges:
the bus's log on a loop (`link`, `line`, `node`, `lane`, `watches`, `log`), and `publisher` for a process
without one. `address` alone imports redis-py: it reads URLs and clients. The protocol is parsed by hiredis,
and the connections are ours: no client library repeats a publish, and no task stands between a socket and
the log.

Standard: RESP2, as Redis 7.0 and Valkey speak it.
Never: anything of it is imported before `RedisBus` or `RedisPublisher` is asked for.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("redis") is None or find_spec("hiredis") is None:
    raise ImportError('RedisBus and RedisPublisher need redis-py and hiredis: pip install "redis[hiredis]"')
