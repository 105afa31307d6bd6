"""Two streams of text on one terminal: the events, and a line about them that stays at the bottom.

Standard: ECMA-48, as little of it as it takes: carriage return, erase line.

Events go to standard output and everything about them to standard error, so that ``| jq`` gets the events.
Never writes an escape sequence to what is no terminal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["Screen", "columns"]

_ERASE: Final = "\r\x1b[K"


def columns(stream: TextIO) -> int:
    """How wide the terminal of a stream is; for a pipe, what COLUMNS says, or else 80."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


class Screen:
    """Where a command prints.

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
        """Print something about the stream."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Print what is printed even if it should be quiet."""
        self._clear()
        self._err.write(text + "\n")
        self._err.flush()

    def bottom(self, text: str, paint: Callable[[str], str] = str) -> None:
        """Replace the bottom line; it is gone with the next print. It is cut where the terminal ends, because
        a line that wraps could not be erased.

        Args:
            text: without escape sequences.
            paint: gives it a colour.
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
