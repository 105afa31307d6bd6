"""Retention of topics: the default of a bus, and rules for topics that differ from it.

A rule is for one topic, or for all topics with a prefix (``orders:*``), written as grants are (`bus.names`).
The most specific rule applies: the topic's own name before every prefix, a longer prefix before a shorter
one, ``*`` last. Rules are not combined: a limit that a rule does not set is the bus's, whatever a wider rule
sets. No user's rule applies to the library's own topics.

Publishers read it from any thread, for every entry; a change replaces the table as a whole.

Never: a table that grows with the topics that were published to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from rx_sse.arguments import count, seconds
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.names import CONTROL, SEPARATORS, check_pattern
from rx_sse.errors import UsageError

MOST = 1000
"""Rules of one bus. They are configuration: a rule for each user would be one for `topic_name("user", …)`."""
FOUND = 4096
"""Topics whose rule is cached."""


class Retentions:
    """The retention of every topic.

    Args:
        default: the retention of topics without a rule.

    Attributes:
        default: the same.
        find: returns the retention of a topic, given its name and `default`. From any thread. Each push calls
            it, so it is a method of a dictionary unless there are rules for prefixes.
    """

    __slots__ = ("_lock", "_rules", "default", "find")

    def __init__(self, default: Retention) -> None:
        self.default = default
        self._lock = threading.Lock()
        self._rules: dict[str, Retention] = {}
        self.find: Callable[[str, Retention], Retention] = self._rules.get

    def of(self, topic: str) -> Retention:
        """The retention of a topic. From any thread."""
        return self.find(topic, self.default)

    def retain(
        self, pattern: str, *, history: int | None, history_bytes: int | None, ttl: float | None
    ) -> None:
        """Set the rule of a pattern, replacing an earlier one as a whole.

        Raises:
            TopicNameError: the pattern is not valid.
            UsageError: no limit is given, a number out of range, or too many rules.
        """
        check_pattern(pattern)
        if history is None and history_bytes is None and ttl is None:
            raise UsageError(f"retain({pattern!r}) says nothing: give history=, history_bytes= or ttl=")
        kept = self.default
        if history is not None:
            kept = replace(kept, entries=count("history", history, least=0))
        if history_bytes is not None:
            kept = replace(kept, bytes=count("history_bytes", history_bytes, least=0))
        if ttl is not None:
            zero = "would keep nothing, not even the position to resume from"
            kept = replace(kept, age=seconds("ttl", ttl, zero=zero))
        self.put(pattern, kept)

    @property
    def rules(self) -> dict[str, Retention]:
        """The rules set by users, by their patterns."""
        return {name: kept for name, kept in self._rules.items() if not name.startswith(CONTROL)}

    def put(self, pattern: str, kept: Retention) -> None:
        """Set a checked rule, or one of the library's own topics.

        Raises:
            UsageError: there are too many rules.
        """
        with self._lock:
            rules = {**self._rules, pattern: kept}
            if len(rules) > MOST:
                raise UsageError(
                    f"retain({pattern!r}): there are {MOST:,} rules already; rules are for kinds of topics, "
                    "so give a prefix like 'orders:*' for many"
                )
            self._rules = rules
            self.find = _finder(rules)


def _finder(rules: dict[str, Retention]) -> Callable[[str, Retention], Retention]:
    """The function that finds the rule of a topic, given its name and the default."""
    if not any(pattern.endswith("*") for pattern in rules):
        return rules.get

    def find(topic: str, default: Retention) -> Retention:
        return _most_specific(topic, rules, default)

    return lru_cache(FOUND)(find)


def _most_specific(topic: str, rules: Mapping[str, Retention], default: Retention) -> Retention:
    """The rule that applies to a topic."""
    if (kept := rules.get(topic)) is not None:
        return kept
    if topic.startswith(CONTROL):
        return default
    for end in range(len(topic), 0, -1):
        if topic[end - 1] in SEPARATORS and (kept := rules.get(topic[:end] + "*")) is not None:
            return kept
    return rules.get("*", default)
