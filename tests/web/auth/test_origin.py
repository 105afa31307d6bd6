"""The guard of cookies as a table, and what a list of origins may hold."""

from __future__ import annotations

from itertools import product

import pytest
from multidict import CIMultiDict

from rx_sse.errors import UsageError
from rx_sse.web.origin import meant, parse_origins

LISTED = "https://app.example.com"
ALLOWED = frozenset({LISTED, "*"})

SITES = (None, "same-origin", "none", "same-site", "cross-site", "", "Same-Origin", "anything")
ORIGINS = (None, LISTED, "https://other.example.com", "null", "", "*")
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "DELETE")


def expected(method: str, site: str | None, origin: str | None) -> bool:
    """The rules once more, as a person would tell them."""
    if origin == "null":
        return False
    if site in ("same-origin", "none"):
        return True
    if origin is None:
        return site is None and method in ("GET", "HEAD")
    return origin == LISTED


def headers(site: str | None, origin: str | None) -> CIMultiDict[str]:
    given = CIMultiDict[str]()
    if site is not None:
        given["sec-fetch-site"] = site
    if origin is not None:
        given["origin"] = origin
    return given


@pytest.mark.parametrize("method", METHODS)
def test_the_matrix(method: str) -> None:
    for site, origin in product(SITES, ORIGINS):
        verdict = meant(method, headers(site, origin), ALLOWED)
        assert verdict is expected(method, site, origin), (method, site, origin)


@pytest.mark.parametrize(
    ("method", "site", "origin", "verdict"),
    [
        # What browsers send, row by row; the rules above could be wrong in the same way twice.
        ("GET", "same-origin", None, True),  # EventSource of our own page
        ("POST", "same-origin", "https://us.example.com", True),  # fetch of our own page
        ("GET", "none", None, True),  # typed into the address bar
        ("GET", "cross-site", "https://evil.example", False),  # EventSource of a stranger, withCredentials
        ("GET", "cross-site", None, False),  # a link or an image on a stranger's page
        ("GET", "cross-site", LISTED, True),  # EventSource of our other page, withCredentials
        ("GET", "same-site", None, False),  # an image on a page of a sibling domain
        ("POST", "same-site", "https://blog.example.com", False),  # a sibling domain that was taken over
        ("GET", "cross-site", "null", False),  # a sandboxed frame
        ("GET", None, None, True),  # a program with a cookie; a browser on plain http, our own page
        ("POST", None, None, False),
        ("POST", None, "http://us.example.com", False),  # our own page on plain http: list its origin
        ("POST", None, LISTED, True),
        ("GET", None, "https://evil.example", False),  # an old browser, a stranger's page
        ("GET", None, "null", False),
        ("GET", "same-origin", "null", False),
    ],
)
def test_what_browsers_send(method: str, site: str | None, origin: str | None, verdict: bool) -> None:
    assert meant(method, headers(site, origin), ALLOWED) is verdict


def test_no_list_lets_no_other_page_in() -> None:
    assert not meant("GET", headers("cross-site", LISTED), frozenset())
    assert meant("GET", headers("same-origin", None), frozenset())


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site"])
def test_a_header_that_is_there_twice_is_trusted_in_neither_form(name: str) -> None:
    given = headers("same-origin", LISTED)
    assert meant("GET", given, ALLOWED)
    given.add(name, given[name])
    assert not meant("GET", given, ALLOWED)


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, parsed: str) -> None:
    assert parse_origins([given]) == {parsed}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "null",
        "app.example.com",
        "//app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://*.example.com",
        "https://app.example.com:",
        "https://app.example.com:0443",
        "https://app.example.com:443443",
        "https://bücher.example",
        " https://app.example.com",
        "https://app.example.com\n",
        None,
        7,
    ],
)
def test_what_no_browser_would_send_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="is not one"):
        parse_origins([given])


def test_one_text_is_not_a_list() -> None:
    with pytest.raises(UsageError, match="give a list"):
        parse_origins(LISTED)
