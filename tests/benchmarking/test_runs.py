"""`python -m benchmarks.runs`: both ways store the same number of entries, and are compared."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from benchmarks import runs

from ..conftest import require


@pytest.mark.parametrize("name", runs.NAMES)
async def test_compares_a_push_with_an_entry_of_a_run(name: str) -> None:
    if name == "redis":
        require("redis-server")
    with ExitStack() as stack:
        found = await runs.compared(runs.bus_of(name, stack), count=50, rounds=2)
    assert all(it > 0 for it in found)
    assert runs.line(name, found).split()[0] == name


async def test_both_store_everything() -> None:
    async with runs.bus_of("memory", ExitStack()) as bus:
        await runs.pushed(bus, "pushed:1", 70)
        await runs.run(bus, "r1", 70)
        pushed = await bus.history("pushed:1", limit=500)
        entries = await bus.history("run:r1", limit=500)
        assert [entry.data for entry in pushed.entries[:-1]] == [entry.data for entry in entries.entries[:-1]]
        assert len(entries.entries) == 71
