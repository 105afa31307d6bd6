"""Rules for what is kept of which topic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.retentions import MOST, Retentions
from rx_sse.bus.names import covers, is_pattern
from rx_sse.errors import TopicNameError, UsageError

PARTS = st.lists(st.sampled_from(["a", "b", ":", "/", "."]), min_size=1, max_size=6).map("".join)
PATTERNS = (st.just("*") | PARTS | PARTS.map(lambda name: name.rstrip("ab") + "*")).filter(is_pattern)


def rules(*given: tuple[str, int]) -> Retentions:
    made = Retentions(Retention())
    for pattern, history in given:
        made.retain(pattern, history=history, history_bytes=None, ttl=None)
    return made


@given(st.dictionaries(PATTERNS, st.integers(0, 999), max_size=6), PARTS)
def test_the_most_specific_pattern_counts(patterns: dict[str, int], topic: str) -> None:
    made = rules(*patterns.items())
    fitting = [pattern for pattern in patterns if covers(pattern, topic)]
    exact = [pattern for pattern in fitting if pattern == topic]
    best = (exact or sorted(fitting, key=len, reverse=True) or [None])[0]
    expected = Retention().entries if best is None else patterns[best]
    assert made.of(topic).entries == expected == made.of(topic).entries


def test_what_a_rule_leaves_out_is_the_buss_whatever_a_wider_one_says() -> None:
    made = Retentions(Retention(entries=10, bytes=20, age=30.0))
    made.retain("*", history=1, history_bytes=2, ttl=3)
    made.retain("orders:*", history=None, history_bytes=None, ttl=86_400)
    assert made.of("orders:7") == Retention(entries=10, bytes=20, age=86_400.0)
    made.retain("orders:*", history=5, history_bytes=None, ttl=None)
    assert made.of("orders:7") == Retention(entries=5, bytes=20, age=30.0), "replaced as a whole"
    assert made.of("order") == Retention(entries=1, bytes=2, age=3.0)


def test_the_librarys_own_topics_are_under_no_rule_of_a_users() -> None:
    made = rules(("*", 0))
    assert made.of("!revocations") == Retention()
    made.put("!revocations", Retention(entries=7))
    assert made.of("!revocations").entries == 7


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("orders*", {"history": 1}),
        ("or*ders:*", {"history": 1}),
        ("!revocations", {"history": 1}),
        ("a b", {"history": 1}),
        ("", {"history": 1}),
        ("t", {}),
        ("t", {"history": -1}),
        ("t", {"history": 1.5}),
        ("t", {"history": True}),
        ("t", {"history_bytes": -1}),
        ("t", {"ttl": 0}),
        ("t", {"ttl": float("nan")}),
        ("t", {"ttl": float("inf")}),
        ("t", {"ttl": "1h"}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_and_changes_nothing(
    pattern: str, options: dict[str, Any]
) -> None:
    made = rules(("t", 5))
    with pytest.raises((TopicNameError, UsageError)):
        made.retain(pattern, **{"history": None, "history_bytes": None, "ttl": None, **options})
    assert made.of("t").entries == 5 and made.of("orders:1") == Retention()


def test_there_are_so_many_rules_at_most() -> None:
    made = rules(*[(f"t:{number}", number) for number in range(MOST)])
    with pytest.raises(UsageError, match="give a prefix"):
        made.retain("one:more", history=1, history_bytes=None, ttl=None)
    made.retain("t:7", history=1, history_bytes=None, ttl=None)
    assert made.of("t:7").entries == 1 and made.of("one:more") == Retention()


def test_a_longer_prefix_counts_before_a_shorter_one_in_whichever_order_they_came() -> None:
    given = [("*", 1), ("a:*", 2), ("a:b:*", 3), ("a:b:c", 4)]
    for made in (rules(*given), rules(*reversed(given))):
        topics = ("x", "a:x", "a:b:x", "a:b:c", "a:b:c:d", "a:", "a")
        assert [made.of(topic).entries for topic in topics] == [1, 2, 3, 4, 3, 2, 1]
