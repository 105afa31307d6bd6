"""Headers and tokens from sources that other users of the machine cannot read.

Standard: ``-H`` is curl's: ``Name: value``, or ``@FILE`` with one header on each line. For a header whose
name stands for a secret, `exposed` warns that the process list shows it.

Never shows a value, not even in an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rx_sse.terminal.parser import Parser

__all__ = ["HEADERS", "TOKEN", "add_options", "exposed", "headers"]

TOKEN = "RX_SSE_TOKEN"
HEADERS = "RX_SSE_HEADERS"


_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that are secrets, in lower case."""


def add_options(parser: Parser, more: str = "") -> None:
    """Add the options of both commands, and a note on the environment."""
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="HEADER",
        help="a header to send, 'Name: value', or @FILE with one on each line; repeatable",
    )
    parser.add_argument(
        "--header-file",
        metavar="FILE",
        help="headers to send, one 'Name: value' a line; - reads them from standard input",
    )
    parser.note(
        f"Environment: {TOKEN} is sent as 'Authorization: Bearer', {HEADERS} holds what a header file holds. "
        f"Neither shows in the process list, as an option does. {more}"
    )


def exposed(options: Iterable[str]) -> str | None:
    """A warning about secrets among headers given as options; None if there are none."""
    names = [option.partition(":")[0].strip() for option in options if not option.startswith("@")]
    found = [name for name in names if name.lower() in _SECRET]
    if not found:
        return None
    return f"every user of this machine can read {found[0]} in the process list; {TOKEN} or @FILE hides it"


def headers(file: str | None, environment: Mapping[str, str], options: Iterable[str] = ()) -> dict[str, str]:
    """The headers from the options, the file and the environment; the first of them wins.

    Raises:
        ValueError: a line is not a header.
        OSError: the file cannot be read.
    """
    found = _lines(environment.get(HEADERS, ""), HEADERS)
    for option in [*([] if file is None else [f"@{file}"]), *options]:
        where = option[1:] if option.startswith("@") else "--header"
        text = option if where == "--header" else _read(where)
        lines = _lines(text, where)
        replaced = set(map(str.lower, lines))
        found = {name: value for name, value in found.items() if name.lower() not in replaced} | lines
    token = environment.get(TOKEN, "").strip()
    if token and "authorization" not in map(str.lower, found):
        found["Authorization"] = f"Bearer {token}"
    return found


def _read(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")


def _lines(text: str, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or not name.strip():
            raise ValueError(f"{where}, line {number}: not a header; write it as 'Name: value'")
        found[name.strip()] = value.strip()
    return found
