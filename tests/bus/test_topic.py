"""The handle of a topic: it holds nothing, and a bus keeps few."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

import rx_sse
from rx_sse.bus.bus import HANDLES


def test_a_topic_that_is_pushed_to_again_needs_no_new_handle() -> None:
    bus, other = rx_sse.MemoryBus(), rx_sse.MemoryBus()
    assert bus.topic("a") is bus.topic("a")
    assert bus.topic("a") is not bus.topic("b") and bus.topic("a") is not other.topic("a")


def test_handles_of_many_topics_are_bounded() -> None:
    bus = rx_sse.MemoryBus()
    made = [weakref.ref(bus.topic(f"user:{number}")) for number in range(HANDLES * 3)]
    assert sum(handle() is not None for handle in made) <= HANDLES
    assert bus.topic("user:0").name == "user:0"


@pytest.mark.parametrize("name", ["", "a b", "a{b}", ["a"], None, 7])
def test_a_name_that_is_not_valid_is_refused_each_time(name: Any) -> None:
    bus = rx_sse.MemoryBus()
    for _ in range(2):
        with pytest.raises(rx_sse.TopicNameError, match="is not the name of a topic"):
            bus.topic(name)
