"""A path where no log can be is refused at the start, with the path and what to do."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import rx_sse
from rx_sse import SQLiteBus, SQLitePublisher, UsageError
from rx_sse.bus.sqlite.file import file_system

NOBODY = 65534
MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/share nfs4 rw 0 0
tmpfs /mnt/share/local tmpfs rw 0 0
//server/x /mnt/with\\040space cifs rw 0 0
broken
"""


async def refused(path: Path) -> str:
    bus = SQLiteBus(path)
    with pytest.raises(UsageError) as caught:
        await bus.start()
    with pytest.raises(rx_sse.BusClosed):
        bus.topic("t").on_next(1)
    with pytest.raises(UsageError), SQLitePublisher(path) as publisher:
        publisher.publish("t", 1)
    return str(caught.value)


async def test_a_directory_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    said = await refused(tmp_path)
    assert str(tmp_path) in said and "is a directory" in said and "app.db" in said
    assert "create it" in await refused(tmp_path / "none" / "app.db")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, and long enough to be read as a header of a database\n" * 20)
    said = await refused(path)
    assert str(path) in said and "no SQLite database" in said
    assert path.read_text().startswith("these are notes"), "it was written to"


async def test_tables_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 1)
    file = sqlite3.connect(path)
    with file:
        file.execute("UPDATE rx_sse_meta SET value = 99 WHERE name = 'layout'")
    said = await refused(path)
    assert str(path) in said and "layout 99" in said and "update rx_sse" in said
    with pytest.raises(UsageError, match="layout 99"):
        rx_sse.publish_in(file, "t", 2)
    file.close()


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of a user for whom rights count: root may write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, NOBODY, -1)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield folder
        finally:
            os.setresuid(0, 0, 0)


async def test_what_cannot_be_written() -> None:
    with ordinary_user() as home:
        path = home / "app.db"
        path.touch()
        path.chmod(0o444)
        assert "cannot be written" in await refused(path)
        folder = home / "folder"
        folder.mkdir(mode=0o555)
        assert "files cannot be made" in await refused(folder / "app.db")


def test_a_network_file_system_is_known_by_its_mount() -> None:
    assert file_system("/srv/app.db", MOUNTS) == "ext4"
    assert file_system("/mnt/share/app.db", MOUNTS) == "nfs4"
    assert file_system("/mnt/shared/app.db", MOUNTS) == "ext4"
    assert file_system("/mnt/share/local/app.db", MOUNTS) == "tmpfs"
    assert file_system("/mnt/with space/app.db", MOUNTS) == "cifs"


async def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rx_sse.bus.sqlite.file.file_system", lambda path: "nfs4")
    said = await refused(tmp_path / "app.db")
    assert "network file system (nfs4)" in said and "RedisBus" in said


@pytest.mark.parametrize("path", ["", ":memory:", "file:app.db?mode=ro", "a\0b", 7, None, b"app.db"])
def test_what_is_no_path(path: Any) -> None:
    for make in (SQLiteBus, SQLitePublisher):
        with pytest.raises(UsageError, match=r"path|MemoryBus"):
            make(path)


@pytest.mark.parametrize(
    "options",
    [
        {"durability": "none"},
        {"history": -1},
        {"ttl": 0},
        {"publish_timeout": 0},
        {"dumps": 7},
        {"grace": "x"},
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        SQLiteBus(tmp_path / "app.db", **options)
