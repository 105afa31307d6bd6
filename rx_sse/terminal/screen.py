"""Two streams of text on one terminal: the events, and a status line that stays at the bottom.

Standard: ECMA-48, of which it needs only carriage return and erase line.

Events go to standard output and everything about them to standard error, so that ``| jq`` gets the events.
Never writes an escape sequence to an output that is not a terminal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["Screen", "columns"]

_ERASE: Final = "\r\x1b[K"


def columns(stream: TextIO) -> int:
    """The width of a stream's terminal; for a pipe, COLUMNS, or else 80."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


class Screen:
    """The output of a command.

    Args:
        out: for events.
        err: for notes, and for the bottom line if it is a terminal.
    """

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool) -> None:
        self._out = out
        self._err = err
        self._quiet = quiet
        self.has_bottom = err.isatty() and not quiet
        self._bottom = ""

    def event(self, text: str) -> None:
        """Print an event."""
        self._clear()
        self._out.write(text + "\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """Print a message about the stream."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Print a message even with `quiet`."""
        self._clear()
        self._err.write(text + "\n")
        self._err.flush()

    def bottom(self, text: str, paint: Callable[[str], str] = str) -> None:
        """Replace the bottom line; the next print erases it. It is cut at the terminal's width, because a
        wrapped line could not be erased.

        Args:
            text: without escape sequences.
            paint: colours it.
        """
        if self.has_bottom:
            room = max(columns(self._err) - 1, 1)
            text = paint(text if len(text) <= room else text[: room - 1] + "…")
            self._err.write(_ERASE + text)
            self._err.flush()
            self._bottom = text

    def _clear(self) -> None:
        if self._bottom:
            self._err.write(_ERASE)
            self._err.flush()
            self._bottom = ""
