"""What the site does with links that leave docs/: pictures are copied, the rest becomes the path's name.

Standard: the hooks of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ("benchmarks/results/results.svg",)
"""Pictures outside of docs/ that its pages show."""

FENCE = re.compile(r"^(```\w+) .*$", re.MULTILINE)
"""A fence whose language is followed by the name of the test that executes the block."""

COLONS = re.compile(r"\s*::</p>")
"""How a docstring introduces an example, in reStructuredText's words."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\((\.\./[^)\s]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pictures."""
    for name in PICTURES:
        files.append(File.generated(config, f"outside/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Take reStructuredText's second colon off."""
    return COLONS.sub(":</p>", html)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Rewrite the links of a page that lead out of docs/, and leave a fence's language alone beside it."""
    folder = posixpath.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        path = posixpath.normpath(posixpath.join("docs", folder, target.partition("#")[0]))
        if path.startswith("docs/"):
            return link[0]
        if mark:
            return f"![{text}]({posixpath.relpath(f'outside/{path}', folder or '.')})"
        return text if path in text else f"{text} (`{path}`)"

    return LINK.sub(rewritten, FENCE.sub(r"\1", markdown))
