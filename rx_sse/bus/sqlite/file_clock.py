"""The clock of a file: milliseconds that advance evenly, even if the machine's clock is set.

They are milliseconds of the epoch when the file was first opened after the machine was started, and from then
on follow the time since that start, which all processes of the machine share. So setting the clock by an hour
ends neither the life of a topic nor that of an idempotency key, and after a restart of the machine time does
not go back behind the last entry. Where there is no such clock, it is the wall clock.

Standard: ``CLOCK_BOOTTIME`` and ``/proc/sys/kernel/random/boot_id`` of Linux.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FileClock:
    """The clock of one file, as stored in its tables.

    Args:
        boot: the start of the machine that it belongs to; empty for the wall clock.
        offset: milliseconds of the epoch at that start.
    """

    __slots__ = ("boot", "offset")

    def __init__(self, boot: str, offset: int) -> None:
        self.boot = boot
        self.offset = offset

    def now(self) -> int:
        """Milliseconds, now."""
        return (since_boot() if self.boot else wall()) + self.offset


def wall() -> int:
    """Milliseconds of the epoch by the machine's clock."""
    return time.time_ns() // 1_000_000


def since_boot() -> int:
    """Milliseconds since the machine was started, including sleep."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def this_boot() -> str:
    """The id of this start of the machine; empty where there is none."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return ""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def known(connection: sqlite3.Connection) -> FileClock | None:
    """The clock in the tables, if it is of this start of the machine."""
    rows = connection.cursor()
    rows.row_factory = None
    boot = this_boot()
    found = rows.execute(
        "SELECT (SELECT value FROM rx_sse_meta WHERE name = 'boot') = ?, "
        "(SELECT value FROM rx_sse_meta WHERE name = 'clock')",
        (boot,),
    ).fetchone()
    return FileClock(boot, int(found[1])) if found[0] else None


def begin(connection: sqlite3.Connection) -> FileClock:
    """The clock from now on, inside a transaction: the stored one, or a new one."""
    if (clock := known(connection)) is not None:
        return clock
    rows = connection.cursor()
    rows.row_factory = None
    boot = this_boot()
    if boot:
        last = rows.execute("SELECT at FROM rx_sse_entries ORDER BY id DESC LIMIT 1").fetchone()
        offset = max(wall(), 0 if last is None else int(last[0])) - since_boot()
    else:
        offset = 0
    rows.executemany("INSERT OR REPLACE INTO rx_sse_meta VALUES (?, ?)", [("boot", boot), ("clock", offset)])
    return FileClock(boot, offset)
