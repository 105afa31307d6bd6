"""How the files of the log in Redis stand to each other: no circle, nothing long, one room below the next."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import rx_sse.bus.redis as redis_room

BASE = Path(redis_room.__file__).parent
PACKAGE = "rx_sse.bus.redis"
LONGEST = 400
LOG = 280


def modules() -> dict[str, str]:
    files = (path for path in BASE.rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(BASE).with_suffix("").parts): path.read_text("utf-8") for path in files}


def imported(text: str) -> set[str]:
    """What a file imports of this room, whoever reads it: a type checker too."""
    froms = (node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom))
    return {name.removeprefix(PACKAGE + ".") for name in froms if name.startswith(PACKAGE + ".")}


def test_no_file_imports_itself_over_others() -> None:
    arrows = {
        name: imported(text) - ({"log"} if name == "stats" else set()) for name, text in modules().items()
    }
    assert list(TopologicalSorter(arrows).static_order())


def test_the_protocol_knows_no_connection_and_a_connection_knows_no_log() -> None:
    for name, text in modules().items():
        room = name.split(".")[0]
        used = {other.split(".")[0] for other in imported(text)}
        if room == "protocol":
            assert used <= {"protocol"} and "import asyncio" not in text and "import socket" not in text, name
        elif room == "net":
            assert used <= {"protocol", "net", "backoff"}, name


def test_no_file_is_long() -> None:
    lines = {name: text.count("\n") for name, text in modules().items()}
    assert not {name: count for name, count in lines.items() if count > LONGEST}
    assert lines["log"] <= LOG
