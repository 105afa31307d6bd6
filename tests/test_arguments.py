"""What cannot work is refused where it is handed over, by name, with the value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rx_sse import MemoryBus, RedisBus, RedisPublisher
from rx_sse.arguments import count, function, seconds, shown_url
from rx_sse.bus.bus import core_of
from rx_sse.errors import UsageError

NAN, INF = float("nan"), float("inf")
NO_SECONDS: tuple[Any, ...] = (NAN, INF, -1, True, "5", [], 10**400)
NO_COUNT: tuple[Any, ...] = (NAN, INF, -1, True, "5", 1.5, None)


@pytest.mark.parametrize("value", [*NO_SECONDS, None], ids=repr)
def test_what_is_no_duration_is_refused_with_its_value(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        seconds("grace", value)
    assert str(caught.value) == f"grace={value!r} must be a number of seconds"


def test_a_duration_may_be_left_out_or_be_nothing_only_where_that_works() -> None:
    assert seconds("grace", 0) == 0.0 and seconds("grace", None, optional=True) is None
    with pytest.raises(UsageError, match="grace=0 would be rude; give a positive number of seconds"):
        seconds("grace", 0.0, zero="would be rude")
    with pytest.raises(UsageError, match="grace='x' must be a number of seconds or None"):
        seconds("grace", "x", optional=True)


@pytest.mark.parametrize("value", [*NO_COUNT, 0], ids=repr)
def test_what_is_no_number_of_things_is_refused_with_its_value(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        count("history", value)
    assert str(caught.value) == f"history={value!r} must be an integer of at least 1"


def test_what_cannot_be_called_is_no_function() -> None:
    function("map", None, "a function")
    function("map", str, "a function")
    with pytest.raises(UsageError, match="map=5 must be a function of an event, or None"):
        function("map", 5, "a function of an event")


MEMORY: Callable[..., object] = MemoryBus
REDIS: Callable[..., object] = partial(RedisBus, "redis://localhost")
PUBLISHER: Callable[..., object] = partial(RedisPublisher, "redis://localhost")
SECONDS = {
    MEMORY: ("ttl", "publish_timeout", "grace", "max_token_life"),
    REDIS: ("ttl", "publish_timeout", "grace", "max_token_life", "probe_interval", "blind_limit"),
    PUBLISHER: ("ttl", "timeout"),
}
COUNTS = {
    MEMORY: ("history", "history_bytes", "max_bytes", "max_topics"),
    REDIS: ("history", "history_bytes", "partitions", "replicas"),
    PUBLISHER: ("history", "history_bytes", "partitions", "replicas"),
}
WRONG: list[tuple[Callable[..., object], str, Any]] = [
    *[(make, name, value) for make in SECONDS for name in SECONDS[make] for value in (*NO_SECONDS, None)],
    *[(make, name, value) for make in COUNTS for name in COUNTS[make] for value in NO_COUNT],
    *[(make, "prefix", value) for make in (REDIS, PUBLISHER) for value in (None, 5, "", "a b", "a{b}")],
    *[(make, "ttl", 0) for make in SECONDS],
    (MEMORY, "max_topics", 0),
    (MEMORY, "max_token_life", 0),
    (REDIS, "publish_timeout", 0),
    (REDIS, "probe_interval", 0),
    (PUBLISHER, "timeout", 0),
]


def test_a_bus_and_a_publisher_refuse_what_cannot_work_when_they_are_made() -> None:
    for make, name, value in WRONG:
        with pytest.raises(UsageError) as caught:
            make(**{name: value})
        assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *[({"last": value}, f"last={value!r} must be an integer of at least 0") for value in NO_COUNT],
        ({"snapshot": 5}, "snapshot=5 must be a function of a topic's name"),
        ({"filter": 5}, "filter=5 must be a function of an event"),
        ({"map": "upper"}, "map='upper' must be a function of an event"),
        ({"on_gap": 5}, "on_gap=5 must be a function of a Gap"),
    ],
    ids=str,
)
def test_events_refuses_what_cannot_work_before_anybody_subscribes(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        MemoryBus().events("t", after=None, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("whom", "said"),
    [
        ({"user": 7}, "revoke(user=7)"),
        ({"user": ""}, "revoke(user='')"),
        ({"token_id": 7}, "revoke(token_id=7)"),
        ({"user": "anna", "until": "tomorrow"}, "until='tomorrow'"),
        ({"user": "anna", "until": NAN}, "until=nan"),
    ],
    ids=str,
)
async def test_a_revocation_that_would_fit_no_token_is_refused(whom: dict[str, Any], said: str) -> None:
    """Silently ignored, it would admit a user that was to be refused."""
    async with MemoryBus() as bus:
        with pytest.raises(UsageError) as caught:
            await bus.revoke(**whom)
        assert said in str(caught.value)
        await bus.revoke(user="ben")
        async with asyncio.timeout(20):
            while not core_of(bus).revocations.is_revoked("ben", None, 0.0):
                await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/path", "'https://host/path'"),
        ("https://me:pass@host/path?token=x", "'https://…@host/path?…'"),
        ("redis://:p/a?s#s@host:6379/0", "'redis://…@host:6379/0'"),
        ("me:pass@host", "'…@host'"),
        ("x" * 500, repr("x" * 200)),
        (b"https://me:pass@host", "a bytes"),
    ],
)
def test_what_may_be_secret_in_a_url_is_not_shown(url: object, shown: str) -> None:
    assert shown_url(url) == shown
