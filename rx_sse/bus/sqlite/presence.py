"""The processes' reports of the listeners of topics, in the file.

The reports of a process that died expire.

Never: a failure for one topic affects another topic.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, cast

from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.pages import Pages
from rx_sse.bus.sqlite.reader import Reader
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.work import Work
from rx_sse.bus.sqlite.writer import Writer


def present(
    writer: Writer,
    reader: Reader,
    file: File,
    process: str,
    life: float,
    said: Mapping[str, tuple[str, bool]],
    told: Callable[[str, list[bytes]], None],
) -> None:
    """Report the listeners of this process, and query those of the others.

    Args:
        writer, reader, file: the log's.
        process: the name of this process.
        life: seconds for which the report is valid.
        said: for each topic the report (empty: nothing new, ``-``: no listeners), and whether to query it.
        told: called for each queried topic, with the reports of the other processes.
    """
    asked = [topic for topic, (_, ask) in said.items() if ask]
    news = {topic: text for topic, (text, _) in said.items() if text}

    def question(pages: Pages, _: Clock) -> dict[str, list[bytes]]:
        return pages.others(asked, process, file.now())

    def answered(found: Any) -> None:
        if isinstance(found, dict):
            for topic, others in cast("dict[str, list[bytes]]", found).items():
                told(topic, others)

    def ask(_: Any) -> None:
        if asked:
            reader.ask(question, answered)

    if news:
        writer.work(
            Work(lambda connection, _: _say(connection, process, file.now() + int(life * 1000), news), ask)
        )
    else:
        ask(None)


def _say(connection: sqlite3.Connection, process: str, till: int, news: Mapping[str, str]) -> None:
    gone = [(topic, process) for topic, text in news.items() if text == "-"]
    here = [(topic, process, till, text) for topic, text in news.items() if text != "-"]
    connection.executemany("DELETE FROM rx_sse_presence WHERE topic = ? AND process = ?", gone)
    connection.executemany("INSERT OR REPLACE INTO rx_sse_presence VALUES (?, ?, ?, ?)", here)
