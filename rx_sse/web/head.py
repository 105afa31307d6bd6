"""The head of a stream's response, status line and headers, as bytes.

aiohttp builds the head of each response anew. That of a stream is the same for all streams of a route, but
for the date and the mark of the user: so it is built once a second, and sent with the first events. Only for
a stream whose socket leaves aiohttp: a response that aiohttp ends is prepared by aiohttp.

Standard: RFC 9112 §4, §5 and §9.6 (status line, fields, `close`), RFC 9110 §6.6.1 (`Date`).
Never: a head that differs from aiohttp's.
"""

from __future__ import annotations

import time
from email.utils import formatdate

from aiohttp import hdrs, web
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict

STATUS = "HTTP/1.1 200 OK"


class Head:
    """The head of the streams of a route that have one content coding, in chunks.

    Args:
        headers: those that the date does not change. Streams may share them: copy them to change them.

    Attributes:
        headers: the same.
    """

    __slots__ = ("_dated", "_fields", "_second", "headers")

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self.headers = headers
        self._second = -1
        self._dated = headers
        self._fields = b""

    def now(self, own: tuple[str, str] | None) -> tuple[CIMultiDict[str], bytes]:
        """The headers of a stream that opens now, to be copied, and its whole head.

        Args:
            own: a header of this stream alone, its name and its value.
        """
        if self._second != (second := int(time.time())):
            self._date(second)
        if own is None:
            return self._dated, self._fields + b"\r\n"
        headers = self._dated.copy()
        headers.add(*own)
        return headers, self._fields + "{}: {}\r\n\r\n".format(*own).encode()

    def _date(self, second: int) -> None:
        headers = self.headers.copy()
        headers[hdrs.TRANSFER_ENCODING] = "chunked"
        headers.setdefault(hdrs.DATE, formatdate(second, usegmt=True))
        headers.setdefault(hdrs.SERVER, SERVER_SOFTWARE)
        headers[hdrs.CONNECTION] = "close"
        lines = (STATUS, *(f"{name}: {value}" for name, value in headers.items()), "")
        self._second, self._dated, self._fields = second, headers, "\r\n".join(lines).encode()


def has_prepare_handlers(request: web.Request) -> bool:
    """Whether the application wants to see each response before its headers are sent."""
    return any(app.on_response_prepare for app in request.match_info.apps)
