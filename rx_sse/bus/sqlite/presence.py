"""What processes say about who listens to their topics, in the file.

A process that dies takes what it said with it once its life is over.

Never: a topic's trouble is another topic's.
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
    """Say who listens here, and ask who listens elsewhere.

    Args:
        writer, reader, file: the log's.
        process: this one's name.
        life: seconds for which what is said counts.
        said: for each topic what to say (empty: nothing new, ``-``: nobody), and whether to ask.
        told: called for each topic that was asked for, with what the others say.
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
