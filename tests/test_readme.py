"""README.md: short, a server on its first screen, links that work where it is shown, to files that the source
distribution holds. What it shows is executed in tests/docs."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from email import message_from_bytes
from pathlib import Path

import pytest

from .conftest import ROOT
from .docs.blocks import README

LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_it_has_at_most_1500_words() -> None:
    """Code, tables and links included. What takes more belongs into a page of docs/."""
    assert len(README.text.split()) <= 1_500


def test_the_first_screen_has_a_server_by_line_12() -> None:
    program = next(block for block in README.blocks if block.kind == "program")
    assert program.line <= 12


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built as a release would be."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.tar.gz")
    return built


def test_what_it_links_to_is_in_the_source_distribution(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    linked = {link.partition("#")[0] for link in LINK.findall(README.text) if "://" not in link}
    assert {"docs/streams.md", "CONTRIBUTING.md"} <= linked
    assert not [link for link in linked if not any(f"{name}/".startswith(f"{link}/") for name in names)]


def test_an_index_shows_it_without_a_dead_link(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        (name,) = (name for name in archive.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", name))
        file = archive.extractfile(name)
        assert file is not None
        metadata = message_from_bytes(file.read())
    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert "(`docs/streams.md`)" in text and "web.run_app(app)" in text
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert all(link.startswith(("http", "#")) for link in LINK.findall(prose))
