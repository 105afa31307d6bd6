"""What the tests of streams share."""

from __future__ import annotations

import ssl

import pytest

import rx_sse.testing

from ..certificate import self_signed

no_leaks = pytest.fixture(rx_sse.testing.no_leaks)

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
"""The server's, and that of a client which trusts it."""


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))
