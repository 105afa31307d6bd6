"""A page of docs/ in the demo: every link of it leads somewhere, and its text is text."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from rx_sse.demo.document import document_page

from ..conftest import ROOT

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda it: it.name)
def test_the_page_has_the_whole_text_and_links_that_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    page = document_page(document.name, text)
    (shown,) = re.findall(r'<pre class="document">(.*)</pre>', page, re.DOTALL)
    linked = re.findall(r'<a href="/docs/([^"]+)">', shown)
    assert all((ROOT / "docs" / name).exists() for name in linked)
    assert set(re.findall(r"<[^>]*>", shown)) <= {"<b>", "</b>", "</a>"} | {
        f'<a href="/docs/{it}">' for it in linked
    }
    without_links = re.sub(r"\[([^\]\n]*)\]\([\w-]+\.md(?:#[\w-]*)?\)", r"\1", text)
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == without_links


def test_what_looks_like_markup_stays_text() -> None:
    page = document_page("<x>.md", "# <script>\n[<img src=x>](a.md) & [b](javascript:alert)\n")
    assert "<script" not in page and "<img" not in page and 'href="javascript' not in page
    assert '<a href="/docs/a.md">&lt;img src=x&gt;</a> &amp; [b](javascript:alert)' in page
