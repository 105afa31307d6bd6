"""Two streams of text on one terminal: the events, and a line about them that stays at the bottom.

Standard: ECMA-48, as little of it as it takes: carriage return, erase line.

Events go to standard output and everything about them to standard error, so that ``| jq`` gets the events.
Never writes an escape sequence to what is no terminal.
"""

from __future__ import annotations

from typing import Final, TextIO

__all__ = ["Screen"]

_ERASE: Final = "\r\x1b[K"


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

    def bottom(self, text: str) -> None:
        """Replace the bottom line; it is gone with the next print."""
        if self.has_bottom:
            self._err.write(_ERASE + text)
            self._err.flush()
            self._bottom = text

    def _clear(self) -> None:
        if self._bottom:
            self._err.write(_ERASE)
            self._err.flush()
            self._bottom = ""
