from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.names import check_event, check_pattern, check_topic, covers, topic_name
from rx_sse.errors import EncodeError, TopicNameError
from rx_sse.testing.listener import Listener

from .conftest import MakeBus


@pytest.mark.parametrize("name", ["user:7", "a", "a/b.c-d_e~f%20", "x" * 255, "mail+me@example.com"])
def test_names(name: str) -> None:
    assert check_topic(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 256,
        "a b",
        "a*",
        "{a}",
        "a?",
        "[a]",
        "a\n",
        "a\x00",
        "é",
        "!revocations",
        "a\\b",
        None,
        7,
        b"a",
    ],
)
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(TopicNameError):
        check_topic(name)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3))
def test_a_built_name_is_that_of_no_other_parts(one: list[str], other: list[str]) -> None:
    name = topic_name(*one)
    assert check_topic(name) == name
    assert (topic_name(*other) == name) == (one == other)


@pytest.mark.parametrize("user", ["*", "7:admin", "{7}", "a b", "\n", "../x", "é", "", "%2A", "!"])
def test_hostile_users_stay_in_their_own_topic(user: str) -> None:
    name = topic_name("user", user)
    assert name.startswith("user:") and name.count(":") == 1 and "*" not in name


def test_no_parts_and_lone_surrogates_are_refused() -> None:
    for parts in ((), ("user", "\ud800"), ("x" * 300,)):
        with pytest.raises(TopicNameError):
            topic_name(*parts)


def test_patterns_grant_a_name_or_what_is_below_a_separator() -> None:
    assert (
        covers(check_pattern("user:*"), "user:7")
        and not covers("user:*", "users:7")
        and not covers("user:*", "user")
    )
    assert (
        covers(check_pattern("a"), "a") and not covers("a", "ab") and covers(check_pattern("*"), "anything")
    )


@pytest.mark.parametrize(
    "wrong", ["us*", "user:7*", "team*", "*:a", "a:*:b", "a:**", "", "a?*", "{x}*", "a b*"]
)
def test_what_is_no_pattern_grants_nothing(wrong: str) -> None:
    with pytest.raises(TopicNameError):
        check_pattern(wrong)
    for topic in ("user:7", "user:77", "team", "teammates", "a", "x", "us", wrong.rstrip("*"), wrong):
        assert not covers(wrong, topic)


@pytest.mark.parametrize("name", ["stream-end", "stream-gap", "stream-", "stream-of-mine", "error", "open"])
def test_a_name_that_clients_act_on_is_no_name_for_what_is_published(name: str) -> None:
    with pytest.raises(EncodeError, match="clients act on"):
        check_event(name)


@pytest.mark.parametrize("name", ["a\nb", "\0", "\ud800", 7])
def test_a_name_that_cannot_go_on_the_wire_is_none(name: str) -> None:
    with pytest.raises(EncodeError):
        check_event(name)


def test_any_other_name_is_free() -> None:
    for name in ("message", "streams", "Error", "stream", "upstream-end", "é"):
        assert check_event(name) == name
    assert check_event("") is None


USERS = [
    "7",
    "*",
    "?",
    "[7]",
    "7:admin",
    "7:*",
    "{7}",
    "7}:log:x",
    "%2A",
    "!revocations",
    "../7",
    "7 8",
    "7\n8",
    "é",
    "7%3Aadmin",
]


async def test_no_user_reads_what_is_anothers(make_bus: MakeBus) -> None:
    """Each user gets its own events, live, as history and after a cut; also with another user's cursor."""
    async with make_bus() as bus:
        names = {user: topic_name("user", user) for user in USERS}
        own = {user: await Listener(bus, name, user=user).opened() for user, name in names.items()}
        for user, name in names.items():
            await bus.publish(name, f"for {user!r}")
        for user, listener in own.items():
            await listener.received(1)
            newest = await Listener(bus, names[user], last=9).received(1)
            assert [event.data for event in listener.events + newest.events] == [f"for {user!r}"] * 2
        cursor = own["7"].cursor
        for user in USERS[1:]:
            stranger = await Listener(bus, names[user], cursor=cursor, last=9).received(1)
            assert [event.data for event in stranger.events] == [f"for {user!r}"]
        await bus.publish(names["7"], "once more")
        await own["7"].received(2)
        assert all(len(own[user].events) == 1 for user in USERS[1:])
