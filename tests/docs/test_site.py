"""The site: every page is in its menu, every public name in its reference, it builds without a warning."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT
from ..test_face import ALL

CONFIGURATION = (ROOT / "mkdocs.yml").read_text("utf-8")


def test_every_page_is_in_the_menu() -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r"[\w/-]+\.md", CONFIGURATION)) >= pages


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    named = re.findall(r"^::: rx_sse\.(\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted([*ALL, "testing", "notebook", "metrics"])


@pytest.mark.slow
def test_it_builds_without_a_warning_and_can_be_searched(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"quick-start.html", "reference.html", "decisions/one-ring.html"} <= found
    assert '"throttle_latest"' in (site / "operators-recordings.js").read_text("utf-8")
    assert "operators-recordings.js" in (site / "operators.html").read_text("utf-8")
    reference = (site / "reference.html").read_text("utf-8")
    assert all(f'id="rx_sse.{name}"' in reference for name in ALL)
    # A page loads nothing from elsewhere.
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?:[^\"]+)", reference)
    assert not loaded
