"""The command line: ``python -m rx_sse COMMAND``.

A command is a module with ``main(arguments) -> exit status`` and options of its own. It is imported when it
is asked for, so that one does not need what another needs.
"""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "demo": ("rx_sse.demo", "serve a page to play with"),
    "tail": ("rx_sse.terminal.tail", "show a stream of events and stay with it"),
    "publish": ("rx_sse.terminal.publish", "publish events to a topic"),
}


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    command, *rest = arguments or ["--help"]
    if command in COMMANDS:
        return int(import_module(COMMANDS[command][0]).main(rest))
    if not command.startswith("-"):
        print(f"rx_sse: no command {command!r}", file=sys.stderr)
    asked = command in ("-h", "--help")
    out = sys.stdout if asked else sys.stderr
    print("usage: python -m rx_sse COMMAND [--help]\n", file=out)
    for name, (_, summary) in COMMANDS.items():
        print(f"  {name:<10} {summary}", file=out)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
