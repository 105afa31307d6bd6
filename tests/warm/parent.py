"""The process that has imported the library: it forks for each program that `start` asks for."""

from __future__ import annotations

import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

import rx_sse

for name in ("rx_sse.demo", "rx_sse.terminal.publish", "rx_sse.terminal.tail"):
    import_module(name)
for name in dir(rx_sse):
    getattr(rx_sse, name)  # which imports it


class Started(Exception):
    """Raised in the fork, out of the parent's loop."""


class Parent:
    """Forks, and reports how the forks ended.

    Args:
        listener: where programs are asked for.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._asked)
        self._selector.register(0, selectors.EVENT_READ)
        self._pids: dict[socket.socket, int] = {}

    def serve(self) -> None:
        """Until the standard input ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    return
                key.data(key.fileobj)

    def stop(self) -> None:
        """End what still runs."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _asked(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        size, files, _, _ = socket.recv_fds(connection, 4, 3)
        with connection.makefile("rb", buffering=0) as stream:
            asked = b""
            while len(asked) < int.from_bytes(size, "big"):
                asked += stream.read(int.from_bytes(size, "big") - len(asked)) or b""
        pid = os.fork()
        if pid == 0:
            self._become(files, *json.loads(asked))
        for file in files:
            os.close(file)
        connection.sendall(b"%d\n" % pid)
        self._pids[connection] = pid
        ended = os.pidfd_open(pid)
        self._selector.register(connection, selectors.EVENT_READ, self._left)
        self._selector.register(ended, selectors.EVENT_READ, lambda _: self._ended(ended, connection))

    def _become(self, files: list[int], arguments: list[str], variables: dict[str, str], folder: str) -> None:
        """In the fork: what the program finds."""
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        for connection in self._pids:
            connection.close()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int) and key.fileobj > 2:
                os.close(key.fileobj)
        self._selector.close()
        self._listener.close()
        # Not the parent's objects: whether one can seek is remembered from the parent's files.
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
        sys.stdout = _output(1, "strict")
        sys.stderr = _output(2, "backslashreplace")
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        raise Started(arguments)

    def _left(self, connection: socket.socket) -> None:
        """What stood for a program was killed."""
        if (pid := self._pids.get(connection)) is None:
            return  # the program has ended, too, and was seen to in this turn
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._selector.unregister(connection)

    def _ended(self, ended: int, connection: socket.socket) -> None:
        _, status = os.waitpid(self._pids.pop(connection), 0)
        self._selector.unregister(ended)
        os.close(ended)
        if connection in self._selector.get_map():
            self._selector.unregister(connection)
        with suppress(OSError):
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        connection.close()


def _output(file: int, errors: str) -> io.TextIOWrapper:
    """As of `python -u`."""
    return io.TextIOWrapper(io.FileIO(file, "w", closefd=False), "utf-8", errors, write_through=True)


def run(arguments: list[str]) -> None:
    """What `python` does with its arguments."""
    while arguments[0] in ("-u", "-W"):
        if arguments.pop(0) == "-W":
            warnings.simplefilter(arguments.pop(0))  # type: ignore[arg-type]
    named = arguments[0] == "-m"
    sys.argv = arguments[1:] if named else arguments
    sys.path[0] = os.getcwd() if named else os.path.dirname(os.path.abspath(arguments[0]))
    if named:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def main(address: str) -> Any:
    """Serve; in a fork, return what it is to run."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        gc.freeze()  # otherwise every fork copies all of it when it ends: 0.2 s
        parent = Parent(listener)
        try:
            parent.serve()
        except Started as started:
            return started.args[0]
        parent.stop()


if __name__ == "__main__":
    if (chosen := main(sys.argv[1])) is not None:
        run(chosen)
