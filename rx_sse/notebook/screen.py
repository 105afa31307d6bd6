"""Displays a picture: in its place in a notebook, or as text.

Standard: Jupyter's `display` with an id, updated at most five times a second; the last state stays in the
notebook.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Protocol, cast

EVERY = 0.2
"""Seconds between two updates of the display."""


class Picture(Protocol):
    """An object that a notebook, or a terminal, can display."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]: ...


def bundle_of(picture: Picture) -> Mapping[str, str]:
    """The picture in the forms that Jupyter displays."""
    return picture._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage] (IPython's)


class Screen:
    """Displays a picture and keeps it up to date: in a notebook in its place, elsewhere once, at the end."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._handle: Any = None
        self._due = 0.0
        if in_notebook():
            from IPython import display

            self._handle = cast(Any, display).display(picture, display_id=True)

    def changed(self) -> None:
        """The picture has changed: display it, unless the last update is too recent."""
        now = asyncio.get_running_loop().time()
        if self._handle is not None and now >= self._due:
            self._due = now + EVERY
            self._handle.update(self._picture)

    def finish(self) -> None:
        """Display its final state."""
        if self._handle is not None:
            self._handle.update(self._picture)
        else:
            print(self._picture)


def in_notebook() -> bool:
    """Whether IPython runs this program."""
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


def interrupted() -> bool:
    """Whether the cancellation of the current task is a notebook's interrupt of its cell. If so, the
    cancellation is withdrawn, so that the cell continues and can display its result.
    """
    task = asyncio.current_task()
    if task is None or not in_notebook():
        return False
    task.uncancel()
    return True
