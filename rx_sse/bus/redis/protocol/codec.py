"""The format of entries in Redis.

An entry's text is ``1<kind><event name>`` in the first line and the data after it. ``1`` is the version: a
text of another version, or one written by another program, becomes a gap, never an event. An announcement
holds all entries that one batch added to a topic: ``<first seq> <nonce before> <time> <nonce>:<length> ...``,
a line feed, and their texts. An entry whose publish belongs to a trace has its `traceparent` in a third
field of the stream, and behind its length, ``<nonce>:<length>:<traceparent>``. A version that does not know
it leaves the field out, and takes the announcement for none, so it reads the log.

Never: data from Redis is trusted. It is parsed strictly, and goes through the same encoder as an event of the
user's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from rx_sse.bus.log.entry import END, GAP, JSON, TEXT, Draft, Entry, TracedEntry, gap_data
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_position, seq_of
from rx_sse.bus.log.traceparent import is_trace
from rx_sse.wire.event import ServerSentEvent

VERSION = ord("1")
KINDS = frozenset((JSON, TEXT, GAP, END))
_ID = re.compile(rb"(0|[1-9]\d{0,15})-(0|[1-9]\d{0,14})")
_HEADER = re.compile(rb"(\d{1,16}) (\d{1,15}) (\d{1,16})((?: \d{1,15}:\d{1,8}(?::[0-9a-f-]{55})?)+)\n")
_ENTRY = re.compile(rb"(\d{1,15}) (\d{1,16}) (\d{1,16})")

At = Callable[[int], float]
"""Converts Redis's milliseconds to this process's monotonic seconds."""


def pack(draft: Draft) -> bytes:
    """A draft's text."""
    return f"1{draft.kind}{draft.event or ''}\n{draft.data}".encode()


def fingerprint(draft: Draft) -> str:
    """The content that must be the same when an idempotency key is used again."""
    return hashlib.sha256(pack(draft)).hexdigest()[:32]


def position_of(text: bytes) -> Position:
    """A position from its id.

    Raises:
        ValueError: it is not a position.
    """
    if not (found := _ID.fullmatch(text)):
        raise ValueError(f"not a position: {text[:40]!r}")
    return new_position(int(found[1]), int(found[2]))


def entry_of(position: Position, prev: Position, text: bytes, at: float, trace: bytes = b"") -> Entry:
    """An entry; an unreadable entry becomes a gap in its place, and a `traceparent` that is none is left
    out."""
    head, found, body = text.partition(b"\n")
    try:
        kind = chr(head[1])
        event = head[2:].decode() or None
        data = body.decode()
        if head[0] != VERSION or not found or kind not in KINDS or "\r" in data:
            raise ValueError("not an entry")
        if event is not None:
            ServerSentEvent("", event=event)
        known = trace.decode("ascii", "replace")
        if trace and is_trace(known):
            entry: Entry = TracedEntry(position, prev, kind, data, event, at, known)
        else:
            entry = Entry(position, prev, kind, data, event, at)
        if kind == JSON:
            json.loads(data)  # checks that it is valid JSON; the value itself is not kept
        elif kind != TEXT:
            entry.detail()
    except (IndexError, ValueError, RecursionError):  # the last for JSON that is nested too deeply
        return Entry(position, prev, GAP, gap_data("unreadable"), None, at)
    return entry


def announced(message: bytes, at: At) -> Sequence[Entry]:
    """The entries of an announcement.

    Raises:
        ValueError: it is not an announcement.
    """
    found = _HEADER.match(message)
    if not found:
        raise ValueError("not an announcement")
    when = at(int(found[3]))
    prev = new_position(int(found[1]) - 1, int(found[2]))
    place = found.end()
    entries: list[Entry] = []
    for item in found[4].split():
        nonce, length, *trace = item.split(b":")
        position = new_position(seq_of(prev) + 1, int(nonce))
        text = message[place : place + int(length)]
        entries.append(entry_of(position, prev, text, when, *trace))
        place += int(length)
        prev = position
    if place != len(message):
        raise ValueError("not an announcement")
    return entries


def last_of(message: bytes) -> Position | None:
    """The position of an announcement's last entry, without reading the entries; None if it is not an
    announcement."""
    found = _HEADER.match(message)
    if not found:
        return None
    items = found[4].split()
    return new_position(int(found[1]) - 1 + len(items), int(items[-1].partition(b":")[0]))


class Meta:
    """The metadata of a topic.

    Attributes:
        head: its last position.
        lineage: the nonce of its beginning.
        ended: whether the last entry is an end mark.
    """

    __slots__ = ("ended", "head", "lineage")

    def __init__(self, text: bytes) -> None:
        seq, nonce, lineage, _, _, ended, *_ = text.split()
        self.head = new_position(int(seq), int(nonce))
        self.lineage = int(lineage)
        self.ended = ended == b"1"


def head_of(meta: bytes) -> Position | None:
    """The last position in a topic's metadata; None if it cannot be read."""
    try:
        return Meta(meta).head
    except ValueError:
        return None


def page_of(answer: Any, query: Query, at: At) -> Page:
    """A page from the script's answer.

    Its entries are linked to its start and to each other, whatever the stream holds: it ends before a damaged
    place of the log (a deleted entry, an entry of another program, a link that does not fit). If that place
    directly follows a valid position, the page is `broken`, and begins after the damage.

    Raises:
        ValueError, TypeError, AttributeError: `answer` is not an answer of the script.
    """
    said, oldest, valid, _, raw = answer
    meta, base = Meta(said), position_of(oldest)
    start = query.after if valid else None
    entries: list[Entry] = []
    broken = False
    while raw:
        name, head, text, *trace = raw.pop(0)  # released as soon as it is read: a page is not held twice
        found = _ENTRY.fullmatch(head)
        position = position_of(name)
        if not found:
            raise ValueError("not an entry")
        prev = new_position(seq_of(position) - 1, int(found[1]))
        last = entries[-1].position if entries else start
        if prev != last and last is not None:
            if entries:
                break
            if seq_of(prev) < seq_of(last):
                continue  # a second entry with this number: positions never go back
            start, broken = prev, True
        elif start is None:
            start = prev
        entries.append(entry_of(position, prev, text, at(int(found[2])), *trace))
    if not entries and start != meta.head:
        # The entries in between are gone, or the topic has no entries.
        start, broken = meta.head, start is not None
    assert start is not None
    return Page(meta.lineage, base, meta.head, start, entries, meta.ended, broken)
