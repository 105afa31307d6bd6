"""Positions, and the cursors by which a client names them.

A position is a sequence number, dense in its topic, and a nonce that only this entry has: a cursor is valid
if exactly that entry still exists, whatever happened to the log in between. On the wire a cursor is
``1_<ref>.<seq>.<nonce>``, one part for each topic of the stream, where ``ref`` is six characters of a hash of
the topic's name. A second part for a topic is a higher position, in another branch of its log (`handle`).

Standard: none; the characters are those that any proxy and any HTTP library carries unchanged in
``Last-Event-ID``. Never: an exception, or unbounded work, whatever the client sent. What does not parse is an
unknown cursor.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

MAX_TOPICS = 32
"""Topics of one stream: its longest cursor, with two parts for each, is then 2,562 bytes, far under the 8,190
that aiohttp takes for a header.
"""
SEQ_BITS = 53
NONCE_BITS = 48


class Position(NamedTuple):
    """A place in a topic's log: that of an entry, or of the beginning (`seq` 0)."""

    seq: int
    nonce: int


class Place(NamedTuple):
    """Where a client is in a topic.

    Attributes:
        position: behind which it goes on.
        past: the highest one that it had in another branch of the log, if that is higher.
    """

    position: Position
    past: Position | None = None


UNKNOWN = Position(0, 0)
"""A position that no log ever has: no entry gets the nonce 0."""

LIVE_ONLY = "1_live"
"""The id of a stream that cannot be resumed: not a cursor, so a reconnect with it is told of a gap."""

_PART = r"[0-9A-Za-z]{6}\.(?:0|[1-9][0-9]{0,15})\.(?:0|[1-9][0-9]{0,14})"
_CURSOR = re.compile(f"1(?:_{_PART}){{1,{2 * MAX_TOPICS}}}")
_LONGEST = 1 + 2 * MAX_TOPICS * 40
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_nonce() -> int:
    """A nonce: 48 random bits of the operating system, never 0."""
    return int.from_bytes(os.urandom(6)) or 1


@lru_cache(maxsize=64)
def ref_of(topic: str) -> str:
    """The six characters that stand for a topic in a cursor."""
    number = int.from_bytes(hashlib.sha256(topic.encode()).digest()[:8])
    ref = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        ref += _DIGITS[digit]
    return ref


@lru_cache(maxsize=16)  # many streams begin at the same position
def part_of(ref: str, position: Position) -> str:
    """A topic's part of a cursor."""
    return f"{ref}.{position.seq}.{position.nonce}"


def cursor_of(parts: Iterable[str]) -> str:
    """The cursor that holds these parts."""
    return "1_" + "_".join(parts)


def parse(text: str) -> Mapping[str, Place] | None:
    """What a client's cursor says of each topic, by reference; None if it is not one of ours."""
    if len(text) > _LONGEST or not _CURSOR.fullmatch(text):
        return None
    places: dict[str, Place] = {}
    for part in text[2:].split("_"):
        ref, seq, nonce = part.split(".")
        position = Position(int(seq), int(nonce))
        if position.seq >> SEQ_BITS or position.nonce >> NONCE_BITS:
            return None
        known = places.get(ref)
        if known is None:
            places[ref] = Place(position)
        elif known.past is None and position.seq > known.position.seq:
            places[ref] = Place(known.position, position)
        else:
            return None
    return places if len(places) <= MAX_TOPICS else None
