"""Positions, and the cursors by which a client names them.

A position is a sequence number, dense in its topic, and a nonce that only this entry has: a cursor is valid
if exactly that entry still exists, whatever happened to the log in between. On the wire a cursor is
``1_<ref>.<seq>.<nonce>``, one part for each topic of the stream, where ``ref`` is six characters of a hash of
the topic's name. A second part for a topic is a higher position, in another branch of its log
(`resume.stream_cursor`).

All proxies and HTTP libraries carry its characters unchanged in ``Last-Event-ID``. Never: an exception, or
unbounded work, whatever the client sent. Text that does not parse is an unknown cursor.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, NewType

MAX_TOPICS = 32
"""Topics of one stream: its longest cursor, with two parts for each, is then 2,562 bytes, far under the 8,190
that aiohttp accepts for a header.
"""
SEQ_BITS = 53
NONCE_BITS = 48
SHIFT = 54
MASK = (1 << SHIFT) - 1
"""The place of the nonce in a position. It is wider than a nonce: in a log that other programs write to, its
number has up to 16 digits.
"""


Position = NewType("Position", int)
"""A place in a topic's log: that of an entry, or of the beginning (`seq` 0).

One integer: the sequence number, and below it the nonce in `SHIFT` bits. A history holds millions of them,
and the garbage collector passes over integers; it would look at an object for each, again and again.
"""


class Place(NamedTuple):
    """The place of a client in a topic.

    Attributes:
        position: the stream continues after it.
        past: the client's highest position in another branch, if that is higher.
    """

    position: Position
    past: Position | None = None


UNKNOWN = Position(0)
"""A position that no log ever has: no entry gets the nonce 0."""

LIVE_ONLY = "1_live"
"""The id of a stream that cannot be resumed: not a cursor, so a reconnect with it gets a gap."""

_PART = r"[0-9A-Za-z]{6}\.(?:0|[1-9][0-9]{0,15})\.(?:0|[1-9][0-9]{0,14})"
_CURSOR = re.compile(f"1(?:_{_PART}){{1,{2 * MAX_TOPICS}}}")
_LONGEST = 1 + 2 * MAX_TOPICS * 40
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(first + second for second in _DIGITS for first in _DIGITS)
"""Two digits of base 62, the lower one first."""


def new_position(seq: int, nonce: int) -> Position:
    """The position of an entry.

    Raises:
        ValueError: the nonce is longer than `SHIFT` bits.
    """
    if nonce >> SHIFT:
        raise ValueError(f"a nonce has at most {SHIFT} bits, and {nonce} has more")
    return Position(seq << SHIFT | nonce)


def seq_of(position: Position) -> int:
    """The sequence number of a position."""
    return position >> SHIFT


def nonce_of(position: Position) -> int:
    """The nonce of a position."""
    return position & MASK


def text_of(position: Position) -> str:
    """``<seq>-<nonce>``."""
    return f"{position >> SHIFT}-{position & MASK}"


def position_in(said: object) -> Position | None:
    """The position that a JSON list stands for; None if it is none."""
    match said:
        case [int(seq), int(nonce)] if seq >= 0 and not (seq >> SEQ_BITS or nonce >> NONCE_BITS):
            return new_position(seq, nonce)
        case _:
            return None


def new_nonce() -> int:
    """A nonce: 48 random bits of the operating system, never 0."""
    return int.from_bytes(os.urandom(6)) or 1


class Nonces:
    """Nonces drawn in advance, one system call for many. One thread; a forked child must not use its
    parent's.

    Attributes:
        ready: unused nonces; a hot path takes from here first.
    """

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready: list[int] = []

    def next(self) -> int:
        """A nonce."""
        if not self.ready:
            self.ready = [it >> 64 - NONCE_BITS or 1 for it in array("Q", os.urandom(8 * 128))]
        return self.ready.pop()


@lru_cache(maxsize=64)
def ref_of(topic: str) -> str:
    """The six characters that represent a topic in a cursor."""
    number = int.from_bytes(hashlib.sha256(topic.encode()).digest()[:8])
    number, one = divmod(number, 3844)
    number, two = divmod(number, 3844)
    return _PAIRS[one] + _PAIRS[two] + _PAIRS[number % 3844]


class Mark:
    """The position of an event: its `position` attribute.

    Attributes:
        ref: the topic's reference in cursors.
        position: the entry's position.
        order: a number that grows along one process's deliveries of the topic, even over a gap after which
            `seq` begins again.
        original: the `id()` of the event that the bus made. A copy (`replace`) has the same mark and another
            `id()`. There may be several copies: for none of them is it known whether it is the last of its
            entry.
    """

    __slots__ = ("order", "original", "position", "ref")

    def __init__(self, ref: str, position: Position, order: int) -> None:
        self.ref = ref
        self.position = position
        self.order = order
        self.original = 0

    @property
    def part(self) -> str:
        """The topic's part of a cursor."""
        return part_of(self.ref, self.position)


class TracedMark(Mark):
    """The position of an event whose publish belongs to a trace.

    Attributes:
        trace: the `traceparent` of the publish.
    """

    __slots__ = ("trace",)

    trace: str | None


def order_of(position: Position, epoch: int) -> int:
    """The order of a position in the `epoch`th unbroken chain of its topic in this process."""
    return epoch << SEQ_BITS | position >> SHIFT


def mark_of(ref: str, position: Position, epoch: int) -> Mark:
    """The mark of an entry."""
    return Mark(ref, position, epoch << SEQ_BITS | position >> SHIFT)


@lru_cache(maxsize=16)  # many streams begin at the same position
def part_of(ref: str, position: Position) -> str:
    """A topic's part of a cursor."""
    return f"{ref}.{position >> SHIFT}.{position & MASK}"


def cursor_of(parts: Iterable[str]) -> str:
    """The cursor that holds these parts."""
    return "1_" + "_".join(parts)


def parse(text: str) -> Mapping[str, Place] | None:
    """The place in each topic, by reference, from a client's cursor; None if it is not a cursor of this
    library."""
    if len(text) > _LONGEST or not _CURSOR.fullmatch(text):
        return None
    places: dict[str, Place] = {}
    for part in text[2:].split("_"):
        ref, seq, nonce = part.split(".")
        if int(seq) >> SEQ_BITS or int(nonce) >> NONCE_BITS:
            return None
        position = new_position(int(seq), int(nonce))
        known = places.get(ref)
        if known is None:
            places[ref] = Place(position)
        elif known.past is None and seq_of(position) > seq_of(known.position):
            places[ref] = Place(known.position, position)
        else:
            return None
    return places if len(places) <= MAX_TOPICS else None
