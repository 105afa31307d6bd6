"""The parser of a command's options: errors of one line, and an exit status that is documented.

Standard: exit status 2 for a wrong call, as argparse and the shell's own commands have it.

Never prints its usage over an error: ``--help`` has it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import PurePath
from typing import Final, NoReturn

__all__ = ["Parser", "command"]

_EXIT: Final = "Exit status: 0 done, 1 failed, 2 wrong call, 130 interrupted by Ctrl-C."


def command() -> str:
    """How the command was called: by its script, or as a module."""
    return "rx-sse" if PurePath(sys.argv[0]).stem == "rx-sse" else "python -m rx_sse"


class Parser(argparse.ArgumentParser):
    """Options of one command.

    Args:
        name: of the command.
        description: what it does.
    """

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"{command()} {name}", description=description, epilog=_EXIT)

    def note(self, text: str) -> None:
        """Add to what ``--help`` says at its end."""
        self.epilog = f"{text.strip()} {self.epilog}"

    def error(self, message: str) -> NoReturn:
        """End the command: status 2, and one line."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (see --help)\n")
