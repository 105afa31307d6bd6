"""Packages of the npm registry that a test drives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import require


def node_package(name: str, version: str, folder: Path) -> Path:
    """Install one version of a package below `folder`, and give its own folder."""
    return node_packages(folder, f"{name}@{version}") / name


def node_packages(folder: Path, *packages: str) -> Path:
    """Install packages (`name@version`) below `folder` at once, and give the folder that they are in."""
    npm = require("npm")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    subprocess.run([npm, "install", *quiet, "--prefix", str(folder), *packages], check=True, timeout=300)
    return folder / "node_modules"
