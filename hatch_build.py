"""The README as an index of packages shows it: links into the repository become the names of its files.

An index has nothing beside the text, so a relative link is a dead one there. What it names is in the source
distribution; with a `Repository` in `[project.urls]`, the links lead there.

Standard: hatchling's custom metadata hook.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def on_an_index(text: str, repository: str | None = None) -> str:
    """The README with no relative link."""

    def absolute(link: re.Match[str]) -> str:
        mark, shown, target = link.groups()
        if repository:
            return f"{mark}[{shown}]({repository.rstrip('/')}/{'raw' if mark else 'blob'}/HEAD/{target})"
        if mark:
            return f"*{shown}*"
        path = target.partition("#")[0]
        return shown if path in shown else f"{shown} (`{path}`)"

    return LINK.sub(absolute, text)


class ReadmeHook(MetadataHookInterface):
    """Sets the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See hatchling."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": on_an_index(text, repository)}
