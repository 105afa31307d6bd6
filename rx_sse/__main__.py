"""The command line: ``rx-sse COMMAND``, or ``python -m rx_sse COMMAND``.

A command is a module with ``main(arguments) -> exit status`` and options of its own. It is imported on use,
so that no command needs the dependencies of another.
"""

from __future__ import annotations

import sys
from importlib import import_module

import rx_sse

COMMANDS = {
    "demo": ("rx_sse.demo", "serve a page to play with"),
    "tail": ("rx_sse.terminal.tail", "show a stream of events and stay with it"),
    "publish": ("rx_sse.terminal.publish", "publish events to a topic"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; None for the program's own.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong call, 130 interrupted by Ctrl-C.
    """
    called, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if called in COMMANDS:
        return int(import_module(COMMANDS[called][0]).main(rest))
    if called in ("-V", "--version"):
        print(f"rx_sse {rx_sse.__version__}")
        return 0
    if called not in ("-h", "--help"):
        kind = "option" if called.startswith("-") else "command"
        print(f"rx_sse: no {kind} {called!r}; give one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    program = import_module("rx_sse.terminal.parser").command()
    print(f"usage: {program} COMMAND [--help]\n       {program} --version\n")
    for name, (_, summary) in COMMANDS.items():
        print(f"  {name:<10} {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
