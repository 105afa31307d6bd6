"""Headers and tokens from where other users of the machine do not see them.

Standard: a header file is as curl's ``--header @file`` has it: a ``Name: value`` on each line.

Never shows a value, in an error neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["HEADERS", "TOKEN", "add_options", "headers"]

TOKEN = "RX_SSE_TOKEN"
HEADERS = "RX_SSE_HEADERS"


def add_options(parser: argparse.ArgumentParser, more: str = "") -> None:
    """The options of both commands, and a word on the environment."""
    parser.add_argument(
        "--header-file",
        metavar="FILE",
        help="headers to send, one 'Name: value' a line; - reads them from standard input",
    )
    parser.epilog = (
        f"Environment: {TOKEN} is sent as 'Authorization: Bearer', {HEADERS} holds what a header file holds. "
        f"Neither shows in the process list, as an option would. {more}"
    )


def headers(file: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """What the file and the environment say; the file wins.

    Raises:
        ValueError: a line is no header.
        OSError: the file cannot be read.
    """
    found = _lines(environment.get(HEADERS, ""), HEADERS)
    if file is not None:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        found |= _lines(text, file)
    token = environment.get(TOKEN, "").strip()
    if token and "authorization" not in map(str.lower, found):
        found["Authorization"] = f"Bearer {token}"
    return found


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
