"""The forms in which a topic delivers its entries."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """The form of the items that a receiver gets."""

    VALUES = "values"
    """The value, decoded from JSON."""
    PLAIN = "plain"
    """The event without an id."""
    EVENTS = "events"
    """The entry, with its position."""
