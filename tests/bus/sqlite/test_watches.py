"""Topics that are watched are touched as often as their own life asks for."""

from __future__ import annotations

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.sqlite.watches import Watches


class Ear:
    def arrived(self, entry: Entry) -> None:
        raise AssertionError("nothing is published here")

    def dirty(self) -> None:
        raise AssertionError("nothing is missed here")


def test_a_short_life_is_touched_more_often_and_a_change_makes_all_due() -> None:
    now = 0.0
    lives = {"short": 8.0, "long": 400.0}
    watches = Watches(lambda: now, lives.__getitem__)
    stop = watches.watch("short", Ear())
    watches.watch("long", Ear())
    assert watches.due() == []
    now = 2.0
    assert watches.due() == ["short"] and watches.due() == []
    now = 100.0
    assert sorted(watches.due()) == ["long", "short"]
    lives["long"] = 8.0
    watches.retained()
    assert sorted(watches.due()) == ["long", "short"]
    now = 102.0
    assert sorted(watches.due()) == ["long", "short"]
    stop()
    now = 104.0
    assert watches.due() == ["long"] and len(watches) == 1
