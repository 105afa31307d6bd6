"""The forms in which a topic hands over what it has."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """What the receivers of a topic get of an entry."""

    VALUES = "values"
    """The value, as JSON gives it back."""
    PLAIN = "plain"
    """The event without an id."""
    EVENTS = "events"
    """The entry, in its place."""
