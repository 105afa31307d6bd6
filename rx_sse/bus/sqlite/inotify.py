"""Linux reports the next write to a file: `inotify`, through the C library of the process.

Three functions, called by `ctypes`. The libraries for it (watchfiles, watchdog) watch directories, on threads
of their own, and report each write: here one descriptor is polled by a thread that waits anyway, and a watch
ends with its first report, so a process that writes 10,000 times a second is not flooded with its own.

Standard: https://man7.org/linux/man-pages/man7/inotify.7.html.
Never: an exception where the system has no inotify, or refuses one (`fs.inotify.max_user_instances`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys

MODIFY = 0x0002
IGNORED = 0x8000
ONESHOT = 0x8000_0000
"""Of the system's `sys/inotify.h`. Not `IN_ATTRIB`, for the file's deletion: each connection that root opens
gives the WAL its owner again, which would be reported."""
EVENT = struct.Struct("iIII")
"""The watch, what happened, and two numbers that concern directories only."""
SIZE = 4096
"""Bytes that are read at once: two events for each watch that was made."""


class Inotify:
    """A descriptor of inotify, for one watch at a time; used by one thread.

    Attributes:
        descriptor: to be polled; -1 if there is none.
    """

    __slots__ = ("_watch", "descriptor")

    def __init__(self) -> None:
        self.descriptor = -1
        self._watch = -1

    def open(self) -> bool:
        """Open the descriptor; whether there is one."""
        if self.descriptor < 0 and _LIBRARY is not None:
            self.descriptor = int(_LIBRARY.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        return self.descriptor >= 0

    def watch(self, path: str) -> bool:
        """From now on the next write to a file is reported; whether the system accepted that."""
        assert _LIBRARY is not None
        self._watch = int(
            _LIBRARY.inotify_add_watch(self.descriptor, os.fsencode(path), ctypes.c_uint32(MODIFY | ONESHOT))
        )
        return self._watch >= 0

    def forget(self) -> None:
        """End the watch."""
        if self._watch >= 0 and _LIBRARY is not None:
            _LIBRARY.inotify_rm_watch(self.descriptor, self._watch)
        self._watch = -1

    def events(self) -> int:
        """What happened since `watch`: `MODIFY`, `IGNORED` if the watch has ended, or both; 0 for nothing."""
        found = 0
        with contextlib.suppress(BlockingIOError):
            for watch, mask, _, _ in EVENT.iter_unpack(os.read(self.descriptor, SIZE)):
                if watch == self._watch:  # an earlier one may have been ended with its report under way
                    found |= mask & (MODIFY | IGNORED)
        if found:
            self._watch = -1
        return found

    def close(self) -> None:
        """Close the descriptor, and with it the watch."""
        descriptor, self.descriptor, self._watch = self.descriptor, -1, -1
        if descriptor >= 0:
            os.close(descriptor)


def _library() -> ctypes.CDLL | None:
    """The C library, if it has inotify."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        for name in ("inotify_init1", "inotify_add_watch", "inotify_rm_watch"):
            getattr(library, name).restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY = _library()
