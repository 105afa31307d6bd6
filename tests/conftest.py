"""What every test may use: the programs it drives, and the word on what happens when one is missing.

A test asks for a program by a fixture (``chromium``, ``firefox``, ``curl``, ``nginx``, ``redis_server``), or
with ``require`` when it wants one by name. A part that is missing skips the test on a developer's machine,
with the exact line that installs it, and fails it where ``CI`` is set: a green run of CI has left nothing
out.

Helpers of one room live beside that room's tests, not here.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import threading
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PARTS = PROJECT["tool"]["rx_sse"]["parts"]
CI = bool(os.environ.get("CI"))

# What a shell starts in the background ignores Ctrl+C, and so would the programs that the tests interrupt.
if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine breaks any deadline of one example; what has to be quick is measured in CPU time.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

T = TypeVar("T", pytest.TestReport, pytest.CollectReport)


def missing(what: str, install: str) -> NoReturn:
    """Skip the test, or fail it in CI, because ``what`` is not there and ``install`` would bring it."""
    message = f"{what} is missing; install it with: {install}"
    if CI:
        pytest.fail(message)
    pytest.skip(message)


def require(part: str) -> str:
    """Return the path of a program of ``[tool.rx_sse.parts]``, or leave the test as `missing` says."""
    names: list[str] = PARTS[part]["commands"]
    # What pip brought stands beside this Python. Debian keeps servers in /usr/sbin, which an ordinary user's
    # PATH leaves out.
    here = os.path.dirname(sys.executable)
    path = os.pathsep.join([here, os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    by_pip = "pip" in PARTS[part]
    missing(
        part,
        f"pip install {PARTS[part]['pip']}" if by_pip else f"sudo apt-get install -y {PARTS[part]['debian']}",
    )


def no_skip(report: T) -> T:
    """In CI a skip is a failure, whatever its reason; elsewhere it is allowed."""
    if CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return no_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return no_skip((yield))


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of every collection that a test asks for: 0.1 s each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    return require("chromium")


@pytest.fixture(scope="session")
def firefox() -> str:
    """The path of a Firefox."""
    return require("firefox")


@pytest.fixture(scope="session")
def curl() -> str:
    """The path of curl."""
    return require("curl")


@pytest.fixture(scope="session")
def nginx() -> str:
    """The path of nginx."""
    return require("nginx")


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The path of a ``redis-server`` program, for a test to start its own on a free port or a unix socket."""
    return require("redis-server")
