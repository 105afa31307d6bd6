"""The English of code and docs names the thing: a client, an event, a topic; no person stands for it."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT

BANNED = re.compile(
    r"\b(?:nobody|somebody|everybody|anybody|whoever|his|him|he|(?:is|are|was|were) told|what came)\b",
    re.IGNORECASE,
)
"""Persons in the place of clients and processes, and relative clauses in the place of nouns."""

CODE = sorted((ROOT / "rx_sse").rglob("*.py"))
PROSE = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of a module with their lines, quotations of standards left out."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        name = tokenize.tok_name[token.type]
        if name in ("COMMENT", "STRING", "FSTRING_MIDDLE") and "[spec]" not in token.string:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", CODE, ids=lambda it: str(it.relative_to(ROOT)))
def test_a_module_names_the_thing(path: Path) -> None:
    found = [(line, BANNED.findall(text)) for line, text in words_of(path) if BANNED.search(text)]
    assert not found, f"{path.relative_to(ROOT)}: {found}; name the client, the event, the process"


@pytest.mark.parametrize("path", PROSE, ids=lambda it: str(it.relative_to(ROOT)))
def test_a_page_names_the_thing(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert not BANNED.findall(text), f"{path.relative_to(ROOT)}: name the client, the event, the process"
