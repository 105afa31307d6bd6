"""The file: whether it can hold a log, connections to it, whether it is still the one that was opened.

SQLite's locks belong to the process, and closing any descriptor of the file releases them. So only SQLite
itself opens the file.

Never: an unusable file is detected only at the first publish. A permanent error is raised at the start.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from typing import cast

from rx_sse.bus.log.retentions import Retentions
from rx_sse.bus.sqlite import schema
from rx_sse.bus.sqlite.file_clock import FileClock, begin, known
from rx_sse.errors import UsageError
from rx_sse.histogram import SHORT, Histogram

BUSY = 0.1
"""Seconds that a statement waits for a lock; then the waiting thread checks its deadlines, and retries."""
WAL_LIMIT = 32 * 1024 * 1024
"""Maximal size of the ``-wal`` file after a checkpoint, in bytes."""
NETWORK = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs3",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
    )
)
"""Network file systems: WAL needs memory that all processes share (https://www.sqlite.org/wal.html)."""
DURABILITY = {"process": "NORMAL", "power": "FULL"}

Identity = tuple[int, int]


class File:
    """The file of a log.

    Args:
        path: the file; it need not exist yet.
        durability: ``"process"`` or ``"power"``.
        retentions: the retention of topics, stored in the file; None to store none.

    Attributes:
        commits: seconds that transactions of appends took, including the wait for other writers.

    Raises:
        UsageError: no path, or no such durability.
    """

    __slots__ = ("_clock", "_synchronous", "commits", "path", "retentions")

    def __init__(self, path: str | os.PathLike[str], durability: str, retentions: Retentions | None) -> None:
        self.path = path_of(path)
        if durability not in DURABILITY:
            raise UsageError(
                f'durability={durability!r} must be "process" (what is accepted survives the death of the '
                'process) or "power" (and a power cut; each commit waits for the disk)'
            )
        self._synchronous = DURABILITY[durability]
        self.retentions = retentions
        self.commits = Histogram(SHORT)
        self._clock = FileClock("", 0)

    def now(self) -> int:
        """Milliseconds by the file's clock, once it was opened. From any thread."""
        return self._clock.now()

    def identity(self) -> Identity | None:
        """The identity of the file at the path now; None if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check(self) -> None:
        """Refuse a path for reasons that are visible without opening it.

        Raises:
            UsageError: the path cannot hold a log.
        """
        path, folder = Path(self.path), Path(self.path).parent
        if path.is_dir():
            raise UsageError(f"{path} is a directory: give the path of a file in it, like {path / 'app.db'}")
        if not folder.is_dir():
            raise UsageError(f"{path}: the directory {folder} does not exist: create it first")
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise UsageError(f"{path} cannot be written by this process: change its owner or its mode")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(
                f"{path}: files cannot be made in {folder}, and SQLite needs two beside the database: change "
                "the directory's owner or mode, or give another path"
            )
        if (kind := file_system(self.path)) in NETWORK:
            raise UsageError(
                f"{path} is on a network file system ({kind}), where SQLite cannot share a WAL: give a path "
                "on a local disk, or use rx_sse.RedisBus for several machines"
            )

    def connect(self) -> sqlite3.Connection:
        """A connection that writes; file and tables are created if they are missing.

        Raises:
            UsageError: it can never work.
            sqlite3.Error, OSError: it does not work at the moment.
        """
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if code_of(error) == "SQLITE_NOTADB":
                raise UsageError(
                    f"{self.path} is no SQLite database: give the path of a new file, or of a database"
                ) from error
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_known(self) -> tuple[sqlite3.Connection, Identity | None]:
        """A connection that writes, and which file it is to.

        Raises:
            UsageError: it can never work.
            sqlite3.Error, OSError: it does not work now.
        """
        before = self.identity()
        connection = self.connect()
        after = self.identity()
        if before is not None and before != after:
            connection.close()
            raise OSError(f"{self.path} was replaced while it was opened")
        return connection, after

    def connect_reading(self) -> sqlite3.Connection:
        """A connection that only reads, to an existing file.

        Raises:
            sqlite3.Error: it does not work at the moment.
        """
        uri = f"{Path(self.path).as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("SELECT value FROM rx_sse_meta WHERE name = 'file'").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def note(self, connection: sqlite3.Connection) -> None:
        """Store the retentions, inside a transaction."""
        if self.retentions is not None:
            schema.keep(connection, self.retentions)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        ask = connection.execute
        if ask("PRAGMA page_count").fetchone()[0] == 0:
            ask("PRAGMA auto_vacuum = INCREMENTAL")
        mode = ask("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise UsageError(
                f"{self.path}: the journal mode there is {mode!r} and cannot be changed to WAL: give a path "
                "on a local disk" + (", or use rx_sse.MemoryBus" if mode == "memory" else "")
            )
        ask(f"PRAGMA synchronous = {self._synchronous}")
        ask(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        there = schema.check_layout(schema.layout_of(connection), self.path)
        same = there and (self.retentions is None or schema.same(schema.kept(connection), self.retentions))
        if same and (clock := known(connection)) is not None:
            self._clock = clock
            return
        ask("BEGIN IMMEDIATE")
        try:
            schema.create(connection)
            self.note(connection)
            clock = begin(connection)
            ask("COMMIT")
            self._clock = clock
        except BaseException:
            if connection.in_transaction:
                ask("ROLLBACK")
            raise


def path_of(path: object) -> str:
    """An absolute path, as text.

    Raises:
        UsageError: it is not a path.
    """
    text = path
    if isinstance(path, os.PathLike):
        text = cast("os.PathLike[str]", path).__fspath__()
    if not isinstance(text, str) or not text:
        raise UsageError(
            f"{path!r} is not a path: give that of the database's file, like SQLiteBus('app.db')"
        )
    if text == ":memory:" or text.startswith("file:") or "\0" in text:
        raise UsageError(f"{text!r} is not the path of a file; a bus in memory is rx_sse.MemoryBus()")
    return os.path.abspath(text)


def code_of(error: BaseException) -> str:
    """SQLite's name of an error, without its extended code."""
    name = str(getattr(error, "sqlite_errorname", None) or "")
    return "_".join(name.split("_")[:2])


def transient(error: BaseException) -> bool:
    """Whether an error is transient: a lock, a full disk."""
    return code_of(error) in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")


def locked(error: BaseException) -> bool:
    """Whether it is the lock that another program holds."""
    return code_of(error) in ("SQLITE_BUSY", "SQLITE_LOCKED")


def file_system(path: str, table: str | None = None) -> str:
    """The kind of file system of a path; empty if unknown.

    Args:
        path: absolute.
        table: the content of ``/proc/self/mounts``; None to read it.
    """
    if table is None:
        if not sys.platform.startswith("linux"):
            return ""
        try:
            table = Path("/proc/self/mounts").read_text("utf-8", "replace")
        except OSError:
            return ""
    folder = os.path.realpath(path)
    best, kind = "", ""
    for line in table.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind
