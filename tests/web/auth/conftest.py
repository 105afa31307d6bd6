"""What holds in every test of authentication: no token, and no part of one, gets into any log."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator

import pytest

from . import support
from .support import A, Issuer, issuing

formatter = logging.Formatter("%(message)s")


def parts(token: str) -> Iterator[str]:
    """Pieces of a token that say something. The header of a token is the same for many and counts as well."""
    yield from (part[:24] for part in token.split(".") if len(part) >= 16)
    yield from (part[-24:] for part in token.split(".") if len(part) >= 16)


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.Logger.manager.loggerDict):
        caplog.set_level(logging.DEBUG, name)
    support.minted.clear()
    yield
    told = "\n".join(map(formatter.format, caplog.get_records("call")))
    for token in support.minted:
        for part in parts(token):
            assert part not in told, f"a part of a token got into the log: {part}"


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer, None]:
    async with issuing(A) as issuer:
        yield issuer
