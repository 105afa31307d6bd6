"""Names of topics, patterns in grants, and names of events.

A name is literal: a client can never reach a topic that it may not read through a name that looks like
another one. Letters and digits of ASCII, and ``_ - . ~ % : / @ + = ,``; no character that a broker, a shell
or a pattern interprets. `topic_name` builds a name from untrusted parts, such as the id of a user, and no two
lists of parts give the same name.

Standard: percent-encoding as RFC 3986 §2.1 has it; the reserved names of events are those of the HTML Living
Standard's EventSource (``open``, ``error``) and of `rx_sse.wire.control` (``stream-…``).
Never: a pattern in a subscription. Patterns grant, they do not subscribe.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from rx_sse.errors import EncodeError, TopicNameError
from rx_sse.wire.fields import event_name, shown, utf8

MAX_NAME = 255
"""Characters in a name; the precedent is a file name on every common file system."""

_NAME = re.compile(r"[A-Za-z0-9_.~%:/@+=,-]{1,255}")
_PATTERN = re.compile(r"\*|[A-Za-z0-9_.~%:/@+=,-]{1,254}[:/.]\*|[A-Za-z0-9_.~%:/@+=,-]{1,255}")

SEPARATORS = ":/."
"""The characters after which a pattern may end in ``*``."""

CONTROL = "!"
"""The first character of the library's own topics: no user's topic can begin with it."""


def check_topic(name: str) -> str:
    """`name`, if it is a valid name of a topic.

    Raises:
        TopicNameError: it is not valid; the message says which characters are allowed.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TopicNameError(
            f"{shown(name)} is not the name of a topic: 1 to {MAX_NAME} characters of "
            "A-Z a-z 0-9 _ - . ~ % : / @ + = , "
            "(rx_sse.topic_name('user', user) builds a safe name from any text)"
        )
    return name


RESERVED = frozenset({"error", "open"})
"""Names of events that EventSource dispatches itself: a listener could not distinguish the two."""
RESERVED_PREFIX = "stream-"
"""The prefix of the events that a stream sends about itself; `stream-end` makes every client close."""


def check_event(name: str) -> str | None:
    """`name`, if a publisher may give it to an event; None for an empty name, which means ``message``.

    Raises:
        EncodeError: it cannot go on the wire, or clients act on it (`stream-…`, `error`, `open`): any
            publisher could end, or fake the failure of, the streams of all readers.
    """
    checked = event_name(name)
    if checked is None:
        return None
    utf8("event", checked)
    if checked in RESERVED or checked.startswith(RESERVED_PREFIX):
        raise EncodeError(
            f"event: {shown(checked)} is a name that clients act on (stream-…, error, open), so it cannot be "
            "published: give the event another one"
        )
    return checked


RUNS = "run:"
"""The prefix of the topics of runs."""
AGAIN = "~"
"""Separates the name of a run from the number of its repetition: no name of a run contains it."""


def run_topic(name: str, generation: int = 1) -> str:
    """The topic of a run: ``run:<name>``; of a run that was started again, ``run:<name>~<generation>``."""
    return f"{RUNS}{name}" if generation == 1 else f"{RUNS}{name}{AGAIN}{generation}"


def is_run(topic: str) -> bool:
    """Whether a topic is that of a run."""
    return topic.startswith(RUNS)


@lru_cache(maxsize=4096)
def run_of(topic: str) -> str:
    """The name of the run that a topic belongs to."""
    return topic[len(RUNS) :].partition(AGAIN)[0]


def check_run(name: str) -> str:
    """`name`, if it is valid for a run: the characters of a topic without ``~``, up to 240.

    Raises:
        TopicNameError: it is not valid.
    """
    if not isinstance(name, str) or len(name) > 240 or AGAIN in name or not _NAME.fullmatch(name):
        raise TopicNameError(
            f"{shown(name)} is not the name of a run: 1 to 240 characters of A-Z a-z 0-9 _ - . % : / @ + = ,"
        )
    return name


def topic_name(*parts: str | int) -> str:
    """The name of a topic, built from arbitrary parts.

    Use it for untrusted input: ``f"user:{user}"`` with a user named ``7:admin`` is another user's topic,
    ``topic_name("user", user)`` never is.

    Args:
        *parts: joined with ``:``; in each part, every character except letters, digits and ``_ - . ~`` is
            percent-encoded.

    Returns:
        A name that no other list of parts gives.

    Raises:
        TopicNameError: no parts, or a name that would be longer than 255 characters.
    """
    try:
        name = ":".join(quote(str(part), safe="") for part in parts)
    except UnicodeEncodeError:
        raise TopicNameError(f"{shown(parts)} holds a lone surrogate, which no name can carry") from None
    if parts == ("",):
        name = "%"  # one empty part differs from no part at all; quote() never returns a bare %
    return check_topic(name)


def is_pattern(pattern: object) -> bool:
    """Whether `check_pattern` accepts `pattern`."""
    return isinstance(pattern, str) and _PATTERN.fullmatch(pattern) is not None


def check_pattern(pattern: str) -> str:
    """`pattern`, if it is valid: a name, or a name's beginning up to a separator and ``*``, or ``*`` alone.

    Raises:
        TopicNameError: it is not valid.
    """
    if not is_pattern(pattern):
        raise TopicNameError(
            f"{shown(pattern)} is neither a topic nor a prefix like 'team:*' (one *, last, after : / or .)"
        )
    return pattern


def covers(pattern: str, topic: str) -> bool:
    """Whether a grant for `pattern` includes `topic`. A pattern that `check_pattern` refuses grants
    nothing."""
    if not is_pattern(pattern):
        return False
    return topic.startswith(pattern[:-1]) if pattern.endswith("*") else topic == pattern
