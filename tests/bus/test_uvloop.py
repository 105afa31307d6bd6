"""What holds for the buses in memory and in a file on asyncio's loop, also holds on uvloop's."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

AT_LEAST = 100
"""Tests that the selection must still find."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_bus_tests_pass_on_uvloop() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"),
            *("tests/bus", "-k", "memory or sqlite", "--ignore", "tests/bus/test_memory_model.py"),
        ],
        cwd=ROOT,
        env={**os.environ, "RX_SSE_TEST_LOOP": "uvloop"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) >= AT_LEAST, done.stdout[-500:]
