"""Which entries are this process's own: never another's, and what is just being committed is not read."""

from __future__ import annotations

from rx_sse.bus.sqlite.own_ids import OwnIds


def stored(own: OwnIds, first: int, last: int) -> None:
    own.commits(first, last)
    own.committed()


def test_rows_that_follow_each_other_are_one() -> None:
    own = OwnIds()
    assert own.hold(0, 1) is False
    stored(own, 1, 3)
    stored(own, 4, 4)
    assert own.hold(0, 4) and own.hold(2, 3)
    assert own.hold(3, 5) is False


def test_entries_of_another_process_between_are_not_own() -> None:
    own = OwnIds()
    stored(own, 1, 3)
    own.split()
    stored(own, 6, 7)
    assert own.hold(5, 7) and own.hold(6, 7)
    assert own.hold(3, 7) is False and own.hold(3, 5) is False


def test_ids_that_another_process_could_have_given_anew_begin_a_new_row() -> None:
    """The file's content went back to 2, another process stored 3, and this one 4."""
    own = OwnIds()
    stored(own, 1, 3)
    own.split()
    own.commits(4, 4)
    own.failed()
    stored(own, 4, 4)
    stored(own, 5, 5)
    assert own.hold(2, 5) is False and own.hold(3, 5)


def test_what_is_being_committed_is_not_known_yet() -> None:
    own = OwnIds()
    stored(own, 1, 3)
    own.commits(4, 6)
    assert own.hold(3, 6) is None and own.hold(1, 5) is None and own.hold(4, 6) is None
    assert own.hold(1, 3) is True
    assert own.hold(3, 7) is False, "the last is of another process"
    own.failed()
    assert own.hold(3, 6) is False


def test_behind_a_hole_only_the_own_part_is_not_known_yet() -> None:
    own = OwnIds()
    stored(own, 1, 3)
    own.commits(6, 8)
    assert own.hold(3, 8) is False and own.hold(5, 8) is None


def test_nothing_is_own_in_another_file() -> None:
    own = OwnIds()
    stored(own, 1, 3)
    own.clear()
    assert own.hold(0, 3) is False
