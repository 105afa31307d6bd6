"""The parser of a command's options: one-line errors, and a documented exit status.

Standard: exit status 2 for a wrong call, as in argparse and the shell's own commands.

Never prints its usage with an error: ``--help`` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import PurePath
from typing import Final, NoReturn

__all__ = ["Parser", "command"]

_EXIT: Final = "Exit status: 0 done, 1 failed, 2 wrong call, 130 interrupted by Ctrl-C."


def command() -> str:
    """The name by which the command was called: its script, or as a module."""
    return "rx-sse" if PurePath(sys.argv[0]).stem == "rx-sse" else "python -m rx_sse"


class Parser(argparse.ArgumentParser):
    """Options of one command.

    Args:
        name: the command's name.
        description: its purpose.
    """

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"{command()} {name}", description=description, epilog=_EXIT)

    def note(self, text: str) -> None:
        """Add a text to the end of ``--help``."""
        self.epilog = f"{text.strip()} {self.epilog}"

    def error(self, message: str) -> NoReturn:
        """End the command: status 2, and one line."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (see --help)\n")
