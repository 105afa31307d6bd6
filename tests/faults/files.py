"""The faults of a `SQLiteBus`: what may happen to its file, and to the processes over it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import rx_sse
from rx_sse.errors import RxSseError

from .crowd import Sent
from .oracle import Log
from .scene import Row, Scene

LOCKED = 8.0
"""Seconds of a transaction that is in the way: longer than the default `publish_timeout`."""

STOPPED = 10.0
LONG_STOPPED = 40.0
"""Seconds that a worker is stopped: longer than its clients' connections to another one have been there."""

FULL = 8.0
"""Seconds that the disk is full: longer than the default `publish_timeout`."""

PUBLISH_TIMEOUT = 5.0
"""The default of `SQLiteBus`."""

HOUR = 3600
"""Seconds that a backup is old, or that the clock is stepped by."""


class DatabaseFile:
    """The file of a `SQLiteBus`, in a directory of its own.

    Args:
        disk: bytes of a filesystem made for it; 0 for the directory of temporary files. A filesystem is
            mounted, which takes root's rights.

    Attributes:
        url: its path.
    """

    def __init__(self, disk: int = 0) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rx_sse_faults_"))
        self.url = str(self.directory / "app.db")
        self._mounted = bool(disk)
        if disk:
            command = ["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(self.directory)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                self.directory.rmdir()
                raise RuntimeError(f"no small disk: {done.stderr.strip()}")

    def connect(self) -> sqlite3.Connection:
        """A connection, as an application has one."""
        return sqlite3.connect(self.url, timeout=5.0, isolation_level=None, check_same_thread=False)

    def log(self, topic: str) -> Log:
        """What a topic's log holds."""
        connection = self.connect()
        try:
            rows = connection.execute(
                "SELECT e.seq, e.nonce, e.kind, e.data FROM rx_sse_entries e "
                "JOIN rx_sse_topics t ON t.id = e.topic WHERE t.name = ?",
                (topic,),
            ).fetchall()
        finally:
            connection.close()
        return {
            (seq, nonce): int(data.split(" ", 1)[0]) if kind == "t" else None
            for seq, nonce, kind, data in rows
        }

    def backup(self) -> Path:
        """A copy, made while the applications run."""
        copy = self.directory / "backup.db"
        source, target = self.connect(), sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        return copy

    def remove(self) -> None:
        """Delete it, whichever processes have it open."""
        for end in ("", "-wal", "-shm"):
            Path(self.url + end).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the directory."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.directory)], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


async def killed_at_random(scene: Scene) -> str:
    kills = int(20 * scene.length)
    for number in range(kills):
        process = scene.processes[number % len(scene.processes)]
        await asyncio.sleep(random.uniform(0.0, 0.5))
        await process.kill()
        await process.start()
        await process.until(True)
    return f"{kills} kills"


async def killed_in_turn(scene: Scene) -> str:
    for process in scene.processes:
        await process.kill()
        await scene.sleep(1.0)
        await process.start()
    await scene.ready()
    return f"{len(scene.processes)} workers"


async def deleted(scene: Scene) -> str:
    scene.file.remove()
    await scene.sleep(2.0)
    return ""


async def replaced(scene: Scene) -> str:
    fresh = scene.file.directory / "fresh.db"
    connection = sqlite3.connect(fresh)
    rx_sse.publish_in(connection, "another", "a file of another life")
    connection.commit()
    connection.close()
    scene.file.remove()
    os.replace(fresh, scene.file.url)
    await scene.sleep(2.0)
    return ""


async def restored(scene: Scene) -> str:
    backup = await asyncio.to_thread(scene.file.backup)
    await asyncio.sleep(4.0 * scene.length)
    scene.file.remove()
    os.replace(backup, scene.file.url)
    await scene.sleep(2.0)
    return f"the backup was {4 * scene.length:.0f} s old"


async def restored_after_an_hour(scene: Scene) -> str:
    """The backup is as one that was made an hour ago: all that is in it is older than the topics' life."""
    backup = await asyncio.to_thread(scene.file.backup)
    connection = sqlite3.connect(backup)
    with connection:
        connection.execute("UPDATE rx_sse_entries SET at = at - ?", (HOUR * 1000,))
        connection.execute("UPDATE rx_sse_topics SET touched = touched - ?1, due = due - ?1", (HOUR * 1000,))
    connection.close()
    await asyncio.sleep(4.0 * scene.length)
    scene.file.remove()
    os.replace(backup, scene.file.url)
    await scene.sleep(2.0)
    return ""


async def read_only(scene: Scene) -> str:
    """What runs has the file open and goes on; what is started meanwhile is refused, with the reason."""
    first, directory = scene.processes[0], scene.file.directory
    modes = {path: path.stat().st_mode for path in (directory, *directory.glob("app.db*"))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    await scene.sleep(2.0)
    await first.kill()
    try:
        await first.start()
        refused = "started all the same!"
    except RuntimeError:
        refused = "one that was started meanwhile was refused"
    await first.kill()
    for path, mode in modes.items():
        path.chmod(mode)
    await first.start()
    scene.heal()
    await scene.ready()
    return refused


async def stepped(scene: Scene) -> str:
    """The clock of the machine, as one application and then both see it; that since the start goes on."""
    for steps in ((HOUR, 0), (HOUR, HOUR), (-HOUR, -HOUR), (0, 0)):
        for process, step in zip(scene.processes, steps, strict=True):
            process.tell("clock", step)
        await scene.sleep(2.0)
    scene.heal()
    return "an hour forward in one, in both, back in both"


async def locked(scene: Scene) -> str:
    connection = scene.file.connect()
    try:
        await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
        begin = len(scene.crowd.sent)
        await asyncio.sleep(LOCKED)
        refused = sum(sent.state == "refused" for sent in scene.crowd.sent[begin:])
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    scene.heal()
    await scene.ready()
    return f"write lock held for {LOCKED:.0f} s, {refused} events refused meanwhile"


async def stopped(scene: Scene, seconds: float = STOPPED) -> str:
    process = scene.processes[1]
    process.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds * scene.length)
    process.signal(signal.SIGCONT)
    scene.heal()
    return ""


async def inside_transactions(scene: Scene) -> str:
    loop = asyncio.get_running_loop()
    connection = scene.file.connect()
    made = {"accepted": 0, "refused": 0}

    def transaction(sent: Sent, commit: bool, held: float) -> str:
        try:
            connection.execute("BEGIN IMMEDIATE")
            rx_sse.publish_in(connection, sent.topic, str(sent.number))
        except (sqlite3.OperationalError, RxSseError):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return "refused"
        time.sleep(held)
        connection.execute("COMMIT" if commit else "ROLLBACK")
        return "accepted" if commit else "refused"

    try:
        end = loop.time() + 6 * scene.length
        while loop.time() < end:
            sent = Sent(len(scene.crowd.sent), random.choice(scene.crowd.topics), loop.time())
            scene.crowd.sent.append(sent)
            commit = random.random() < 0.5
            sent.state = await asyncio.to_thread(transaction, sent, commit, random.uniform(0, 0.02))
            made[sent.state] += 1
            await asyncio.sleep(0.005)
    finally:
        connection.close()
    return f"{made['accepted']} committed, {made['refused']} rolled back"


async def disk_full(scene: Scene, seconds: float = FULL) -> str:
    ballast = scene.file.directory / "ballast"
    begin = len(scene.crowd.sent)

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    return

    await asyncio.to_thread(fill)
    noticed = [await process.until(False) for process in scene.processes]
    await asyncio.sleep(seconds)
    refused = sum(sent.state == "refused" for sent in scene.crowd.sent[begin:])
    ballast.unlink()
    scene.heal()
    await scene.ready()
    if bool(refused) is not (seconds > PUBLISH_TIMEOUT):
        return f"{refused} events refused within {seconds} s!"
    return f"{refused} events refused, ready() false in {len(noticed)} of {len(scene.processes)} processes"


FILE_ROWS: dict[str, Row] = {
    "db-kill": Row("SQLite: applications killed (SIGKILL) at random moments", DatabaseFile, killed_at_random),
    "db-workers": Row("SQLite: all four workers killed in turn", DatabaseFile, killed_in_turn, processes=4),
    "db-deleted": Row(
        "SQLite: the file deleted under the applications", DatabaseFile, deleted, lossless=False
    ),
    "db-replaced": Row("SQLite: the file replaced by another", DatabaseFile, replaced, lossless=False),
    "db-restored": Row(
        "SQLite: the file replaced by an older backup", DatabaseFile, restored, lossless=False
    ),
    "db-hour": Row(
        "SQLite: the file replaced by a backup of an hour ago",
        DatabaseFile,
        restored_after_an_hour,
        lossless=False,
    ),
    "db-clock": Row("SQLite: the clock of the machine stepped by an hour", DatabaseFile, stepped),
    "db-locked": Row("SQLite: a transaction of 8 s in the way", DatabaseFile, locked),
    "db-stopped": Row("SQLite: one application stopped (SIGSTOP) for 10 s", DatabaseFile, stopped),
    "db-asleep": Row(
        "SQLite: one application stopped (SIGSTOP) for 40 s",
        DatabaseFile,
        partial(stopped, seconds=LONG_STOPPED),
    ),
    "db-inside": Row(
        "SQLite: `publish_in`, committed or rolled back at random", DatabaseFile, inside_transactions
    ),
}
DISK_ROWS: dict[str, Row] = {
    "db-full": Row(
        "SQLite: the disk is full for 8 s", partial(DatabaseFile, disk=32 * 2**20), disk_full, pad=2000
    ),
    "db-nearly": Row(
        "SQLite: the disk is full for 2 s, less than `publish_timeout`",
        partial(DatabaseFile, disk=32 * 2**20),
        partial(disk_full, seconds=2.0),
        pad=2000,
    ),
    "db-readonly": Row(
        "SQLite: file and directory made read-only, one application killed meanwhile",
        DatabaseFile,
        read_only,
        command=("setpriv", "--bounding-set", "-dac_override"),
    ),
}
FILE_SHORT = ("db-kill", "db-deleted", "db-restored", "db-inside")
