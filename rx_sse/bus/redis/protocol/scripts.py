"""The scripts that run in Redis, each in one atomic step: the ``.lua`` files beside this one.

A topic's metadata lives a minute longer than its entries. It is a string of six numbers, ``seq nonce lineage
total front ended``, and perhaps fences. `seq` and `nonce` are the last position; `lineage` is the nonce of
the topic's beginning; `total` counts the bytes that were ever stored, `front` the bytes already trimmed when
the front was last checked. A fence (``name:number``) is a publisher's (`fence`). A beginning (`seq` 0) that
has been read and never published to lives only for a short while, unless a reader stays.

A stream entry has its position as its id, and two fields: ``h`` holds ``<nonce of the entry before> <time
in ms> <total after it>`` (its `seq` is one less, so it is not stored), ``e`` the text as `codec` packs it.

Standard: Redis 7.0's Lua, effects replicated. Numbers leave Lua through ``string.format('%.0f')`` only, and
no random number is made here: a script's random numbers repeat after every start of a server.
Never: a write before everything that may be refused has been computed; an error after the first ``XADD``. An
entry that cannot be added refuses the later entries of its topic, and of no other topic. The content of a
stream is not trusted.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final


class Script:
    """A script and the digest by which a server caches it.

    Args:
        name: the name of its file, without ``.lua``.
    """

    __slots__ = ("digest", "name", "text")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.text: Final = _text("common") + _text(name)
        self.digest: Final = hashlib.sha1(self.text.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


def _text(name: str) -> str:
    return files("rx_sse.bus.redis.protocol").joinpath(f"{name}.lua").read_text("utf-8")


APPEND: Final = Script("append")
PAGE: Final = Script("page")
HEADS: Final = Script("heads")
LOST: Final = Script("lost")
PRESENCE: Final = Script("presence")
RUN: Final = Script("run")
RUNS: Final = Script("runs")
