"""The time in a file: milliseconds that grow evenly, whatever is done to the clock of the machine.

They are those of the epoch when the file was first opened after the machine was started, and follow the time
since its start from then on, which all processes of the machine share. So a clock that is set by an hour
neither ends the life of a topic nor that of an idempotency key, and after a restart of the machine time goes
on no earlier than at the last entry. Where there is no such clock, it is the wall clock.

Standard: ``CLOCK_BOOTTIME`` and ``/proc/sys/kernel/random/boot_id`` of Linux.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FileClock:
    """The clock of one file, as its tables say.

    Args:
        boot: which start of the machine it belongs to; empty for the wall clock.
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
    """Milliseconds of the epoch by the clock of the machine."""
    return time.time_ns() // 1_000_000


def since_boot() -> int:
    """Milliseconds since the machine was started, those in which it slept included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def this_boot() -> str:
    """The name of this start of the machine; empty where it has none."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return ""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def known(connection: sqlite3.Connection) -> FileClock | None:
    """The clock that the tables say, if it is of this start of the machine."""
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
    """The clock from now on, inside a transaction: the one that is known, or another one."""
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
