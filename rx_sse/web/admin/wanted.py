"""The query of a page: which streams and topics it shows.

Never: a query is refused; unknown values are ignored, and long ones are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SORTS = ("queue", "age", "newest", "dropped", "sent")
"""Orders of the streams: the longest queue, the oldest, the newest, most events dropped, most bytes sent
first."""
ROWS = (25, 100)
"""Numbers of streams that a page can show; the first is the default."""
ID = re.compile(r"[0-9a-f]{6,16}-[0-9a-f]{4,16}")
LONGEST = 255
"""Characters; no topic has more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The query of a page.

    Attributes:
        find: a part of a user's name or of a topic's name, in small letters, or the id of a stream; empty for
            all.
        route: the route whose streams are shown; empty for all.
        sort: the order of the streams, one of `SORTS`.
        rows: streams that are shown at most, one of `ROWS`.
    """

    find: str = ""
    route: str = ""
    sort: str = SORTS[0]
    rows: int = ROWS[0]

    @property
    def by_id(self) -> bool:
        """Whether `find` is the id of a stream, as log lines have it."""
        return ID.fullmatch(self.find) is not None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """The query in a request."""
        sort = query.get("sort", "")
        return cls(
            query.get("find", "").strip()[:LONGEST].lower(),
            query.get("route", "")[:1_000],
            sort if sort in SORTS else SORTS[0],
            next((rows for rows in ROWS if str(rows) == query.get("rows")), ROWS[0]),
        )
