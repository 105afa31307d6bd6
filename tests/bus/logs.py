"""The parts of a bus's log that a test looks into."""

from __future__ import annotations

from rx_sse.bus import Bus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.redis.log import RedisLog
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.bus.sqlite.log import SQLiteLog
from rx_sse.bus.sqlite.writer import Writer


def memory_of(bus: Bus) -> MemoryLog:
    """The log of a bus in memory."""
    log = core_of(bus).log
    assert isinstance(log, MemoryLog)
    return log


def keys_of(bus: Bus) -> Keys:
    """The names in Redis of a bus there."""
    log = core_of(bus).log
    assert isinstance(log, RedisLog)
    return log.keys


def sqlite_of(bus: Bus) -> SQLiteLog:
    """The log of a bus on a file."""
    log = core_of(bus).log
    assert isinstance(log, SQLiteLog)
    return log


def writer_of(bus: Bus) -> Writer:
    """The thread that writes the file of a bus that runs."""
    writer = sqlite_of(bus)._writer
    assert writer is not None
    return writer
