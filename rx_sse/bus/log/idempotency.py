"""The keys by which a log recognises a publish that it has stored already.

A key is stored under a hash of the key, its topic and its user: the keys of two users never collide, whatever
characters they contain.

Standard: the ``Idempotency-Key`` header (draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import hashlib
import json

KEY_LIFE = 300.0
"""Seconds that an idempotency key is remembered."""


def fingerprint(kind: str, event: str | None, data: str) -> str:
    """What must be the same when a key is used again."""
    return hashlib.sha256(f"{kind}\n{event or ''}\n{data}".encode()).hexdigest()[:32]


def hashed_key(user: str | None, topic: str, key: str) -> str:
    """The name under which an idempotency key is stored."""
    return hashlib.sha256(json.dumps([user, topic, key]).encode()).hexdigest()[:32]
