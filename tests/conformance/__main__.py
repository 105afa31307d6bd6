"""Run the driver from a command line: see the package's docstring."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import sys
import warnings
from importlib.metadata import version
from typing import cast

from . import contract, vectors
from .case import Case
from .endpoint import Failed
from .harness import Harness, driving
from .service import Adapter, serving

CLIENTS = ("ours", "httpx_sse", "aiohttp_sse_client", "sseclient_py", "launchdarkly")

# How many tests run at a time. More would have a client wait for the machine, and not for its server.
_AT_ONCE = 8

# Seconds for one test: it waits ten for what does not come, and may do so a few times.
_LIMIT = 60.0


async def tried(harness: Harness, case: Case) -> str:
    """``""`` for a test that was passed, otherwise why it was not."""
    if case.capability is not None and case.capability not in harness.capabilities:
        return f"offers no {case.capability}"
    try:
        async with asyncio.timeout(_LIMIT), harness.run(case.name) as run:
            await case.steps(run)
    except Failed as failure:
        return str(failure)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


async def results(service: str) -> tuple[str, dict[str, dict[str, str]]]:
    """The client's name, and what became of every test, by group."""
    async with driving(service) as harness:
        return harness.name, await tried_all(harness)


async def tried_all(harness: Harness, at_once: int = _AT_ONCE) -> dict[str, dict[str, str]]:
    """What became of every test, by group."""
    groups = {**vectors.cases(), "contract": contract.cases()}
    slots = asyncio.Semaphore(at_once)

    async def one(case: Case) -> str:
        async with slots:
            return await tried(harness, case)

    return {
        group: dict(zip([c.name for c in cases], await asyncio.gather(*map(one, cases)), strict=True))
        for group, cases in groups.items()
    }


def told(name: str, found: dict[str, dict[str, str]], verbose: bool) -> None:
    for group, cases in found.items():
        failed = {case: why for case, why in cases.items() if why}
        print(f"{name}: {group}: {len(cases) - len(failed)} of {len(cases)}")
        for case, why in failed.items() if verbose else ():
            print(f"  {case}: {why[:200]}")


async def table(verbose: bool) -> None:
    rows: dict[str, dict[str, dict[str, str]]] = {}
    for client in CLIENTS:
        try:
            adapter = cast(Adapter, importlib.import_module(f".adapters.{client}", __package__))
        except ImportError as error:
            print(f"{client}: {error}; pip install --group clients", file=sys.stderr)
            continue
        async with serving(adapter) as service:
            name, rows[adapter.name] = await results(service)
        if verbose:
            told(name, rows[name], verbose)
    groups = next(iter(rows.values()))
    print("| client | " + " | ".join(f"{group} ({len(cases)})" for group, cases in groups.items()) + " |")
    print("| --- |" + " --- |" * len(groups))
    for name, found in rows.items():
        cells: list[str] = []
        for cases in found.values():
            cells.append(str(sum(not why for why in cases.values())))
            if missing := sum(why.startswith("offers no") for why in cases.values()):
                cells[-1] += f" ({missing} not offered)"
        print(f"| {name} {version(name)} | " + " | ".join(cells) + " |")


async def against(service: str) -> None:
    name, found = await results(service)
    told(name, found, verbose=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("service", nargs="?", help="URL of a service around the client under test")
    parser.add_argument("--table", action="store_true", help="compare the Python clients that are installed")
    parser.add_argument("--scripts", action="store_true", help="compare clients in JavaScript")
    parser.add_argument("--verbose", action="store_true", help="with either table: every failure")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if options.table:
        asyncio.run(table(options.verbose))
    elif options.scripts:
        asyncio.run(importlib.import_module(".script_table", __package__).script_table(options.verbose))
    elif options.service:
        asyncio.run(against(options.service))
    else:
        parser.error("give the URL of a service, --table, or --scripts")


if __name__ == "__main__":
    main()
