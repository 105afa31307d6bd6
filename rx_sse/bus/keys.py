"""Idempotency keys, as logs store them.

Standard: the ``Idempotency-Key`` header (draft-ietf-httpapi-idempotency-key-header), scoped to whoever sent
it. Never: the key of one principal meets that of another, whatever characters either chose.
"""

from __future__ import annotations

import hashlib
import json

KEY_LIFE = 300.0
"""Seconds that a key is remembered."""


def hashed_key(user: str | None, topic: str, key: str) -> str:
    """The name under which a key is stored."""
    return hashlib.sha256(json.dumps([user, topic, key]).encode()).hexdigest()[:32]
