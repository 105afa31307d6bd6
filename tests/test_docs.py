"""The documents: their links lead somewhere, and the files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda it: str(it.relative_to(ROOT)))
def test_its_links_lead_somewhere(document: Path) -> None:
    targets = [link for link in LINK.findall(document.read_text("utf-8")) if "://" not in link]
    missing = [link for link in targets if not (document.parent / link).exists()]
    assert not missing


def test_the_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"\b((?:bus|delivery|web|wire|reactive)/[\w/]+\.py)", text))
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / "rx_sse" / name).exists()]


def test_what_the_code_refers_to_is_in_the_repository() -> None:
    sources = {path: path.read_text("utf-8") for path in (ROOT / "rx_sse").rglob("*.py")}
    named = {(path, name) for path, text in sources.items() for name in re.findall(r"docs/[\w/-]+\.md", text)}
    assert not [(str(path), name) for path, name in named if not (ROOT / name).exists()]
