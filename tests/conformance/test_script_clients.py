"""The module against the contract and the vectors, in Node and in pages of Chromium and Firefox."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ..browser import visiting, visiting_firefox
from ..conftest import require
from .__main__ import tried_all
from .harness import Harness
from .script_clients import driven

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

COUNTS = {"stream": 37, "http": 17, "reconnect": 8, "contract": 113}


async def passes_all(harness: Harness, at_once: int) -> None:
    found = await tried_all(harness, at_once)
    assert {group: len(cases) for group, cases in found.items()} == COUNTS
    failed = {name: why for cases in found.values() for name, why in cases.items() if why}
    assert failed == {}


async def test_in_node(tmp_path: Path) -> None:
    async with driven("rx_sse.js", tmp_path, node=require("node")) as harness:
        await passes_all(harness, 8)


# A browser has six connections to an origin; and Firefox takes its time to hand 14 MB from tab to tab.


@pytest.mark.browser
@pytest.mark.parametrize("client", ["rx_sse.js", "rx_sse.min.js, shared"])
async def test_in_chromium(chromium: str, client: str, tmp_path: Path) -> None:
    async with driven(client, tmp_path, visit=partial(visiting, chromium)) as harness:
        await passes_all(harness, 4)


@pytest.mark.browser
@pytest.mark.parametrize("client", ["rx_sse.js", "rx_sse.min.js, shared"])
async def test_in_firefox(firefox: str, client: str, tmp_path: Path) -> None:
    async with driven(client, tmp_path, visit=partial(visiting_firefox, firefox)) as harness:
        await passes_all(harness, 2)
