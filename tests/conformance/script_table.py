"""The clients in JavaScript side by side: ``python -m tests.conformance --scripts``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..browser import visiting, visiting_firefox
from ..conftest import require
from ..node import node_package
from .__main__ import tried_all
from .script_clients import IN_NODE, IN_PAGES, driven

PACKAGES = {"eventsource": "4.1.1", "@microsoft/fetch-event-source": "2.0.1"}


def told(found: dict[str, dict[str, str]]) -> list[str]:
    """What was passed, by group."""
    cells: list[str] = []
    for cases in found.values():
        cells.append(str(sum(not why for why in cases.values())))
        if missing := sum(why.startswith("offers no") for why in cases.values()):
            cells[-1] += f" ({missing} not offered)"
    return cells


async def script_table(verbose: bool) -> None:
    """Print it: every client in every place where it runs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, number in PACKAGES.items():
            node_package(name, number, Path(folder))
        modules = Path(folder) / "node_modules"
        places: dict[str, tuple[dict[str, frozenset[str]], dict[str, Any]]] = {
            "Node": (IN_NODE, {"node": require("node")}),
            "Chromium": (IN_PAGES, {"visit": partial(visiting, require("chromium"))}),
            "Firefox": (IN_PAGES, {"visit": partial(visiting_firefox, require("firefox"))}),
        }
        head = False
        for place, (clients, how) in places.items():
            for client in clients:
                context: AbstractAsyncContextManager[Any] = driven(client, modules, **how)
                async with context as harness:
                    found = await tried_all(harness, 8 if place == "Node" else 3)
                if not head:
                    print("| client | " + " | ".join(f"{g} ({len(c)})" for g, c in found.items()) + " |")
                    print("| --- |" + " --- |" * len(found))
                    head = True
                title = f"{client} {PACKAGES.get(client) or PACKAGES.get('@microsoft/' + client, '')}".strip()
                print(f"| {title}, {place} | " + " | ".join(told(found)) + " |", flush=True)
                for cases in found.values() if verbose else ():
                    for case, why in cases.items():
                        if why:
                            print(f"  {case}: {why[:200]}", file=sys.stderr)
