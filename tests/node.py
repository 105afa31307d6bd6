"""Packages of the npm registry that a test drives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import require


def node_package(name: str, version: str, folder: Path) -> Path:
    """Install one version of a package below `folder`, and give its own folder."""
    npm = require("npm")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    subprocess.run(
        [npm, "install", *quiet, "--prefix", str(folder), f"{name}@{version}"], check=True, timeout=120
    )
    return folder / "node_modules" / name
