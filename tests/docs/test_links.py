"""Links lead somewhere: to files that exist, and to headings that are there. Nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..conftest import ROOT

DOCUMENTS = [
    *(path for path in sorted(ROOT.glob("*.md"))),
    ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)")


def prose(document: Path) -> str:
    """The text of a document without its code."""
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: "" if "](" in code[0] else code[0], text)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and the site name them."""
    titles = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda it: str(it.relative_to(ROOT)))
def test_its_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_first_page_and_from_the_readme() -> None:
    """Decisions are linked from the pages that they explain."""
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    index = set(LINK.findall((ROOT / "docs" / "index.md").read_text("utf-8")))
    assert pages <= index
    linked = {link.removeprefix("docs/") for link in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    assert pages <= linked


def test_the_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"\b((?:bus|delivery|web|wire|reactive)/[\w/]+\.py)", text))
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / "rx_sse" / name).exists()]


def test_what_the_code_refers_to_is_in_the_repository() -> None:
    sources = {path: path.read_text("utf-8") for path in (ROOT / "rx_sse").rglob("*.py")}
    named = {(path, name) for path, text in sources.items() for name in re.findall(r"docs/[\w/-]+\.md", text)}
    assert not [(str(path), name) for path, name in named if not (ROOT / name).exists()]
