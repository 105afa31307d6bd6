"""The inputs that are kept: one file each, in a folder for its target. A finding becomes one of them, so that
it is tried for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def inputs_of(target: str) -> dict[str, bytes]:
    """Those of a target, by the name of their file."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / target).iterdir()) if path.is_file()}


def keep(target: str, data: bytes) -> Path:
    """Write an input down that broke a target."""
    path = FOLDER / target / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
