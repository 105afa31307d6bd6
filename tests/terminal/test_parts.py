"""Conditions, times, rates and headers: what `tail` and `publish` are made of."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from pathlib import Path
from typing import Any

import pytest

import rx_sse
from rx_sse.__main__ import main
from rx_sse.terminal.credentials import exposed, headers
from rx_sse.terminal.filters import Absent, condition, field
from rx_sse.terminal.meter import Meter, moment
from rx_sse.terminal.screen import Screen
from rx_sse.terminal.server import with_scheme

from ..conftest import PROJECT

VALUE = {"a": {"b": [{"c": 3}, "x"]}, "t": True, "n": None, "s": "3", "1": "one", "f": 3.0}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b.0.c", 3),
        ("a.b.1", "x"),
        ("a.b.2", Absent),
        ("a.b.-1", Absent),
        ("a.b.c", Absent),
        ("a.b.1.0", Absent),
        ("s.0", Absent),
        ("1", "one"),
        ("t.x", Absent),
        ("n", None),
        ("", Absent),
    ],
)
def test_a_field_is_found_by_its_path(path: str, found: Any) -> None:
    assert field(VALUE, path) is found or field(VALUE, path) == found


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a.b.0.c=3", True),
        ("a.b.0.c=3.0", True),
        ("a.b.0.c=4", False),
        ("a.b.0.c!=4", True),
        ("s=3", True),
        ('s="3"', True),
        ("f=3", True),
        ("t=true", True),
        ("t=1", False),
        ("t=True", False),
        ("n=null", True),
        ("n", True),
        ("missing", False),
        ("missing=", False),
        ("missing!=1", True),
        ('a={"b": [{"c": 3}, "x"]}', True),
        ("a.b.1=x", True),
        ("a.b.1!=x", False),
        ("f==3", True),
        ("f>2", True),
        ("f > 2.5", True),
        ("f>3", False),
        ("f>=3", True),
        ("f<=3", True),
        ("f<3", False),
        ("f<1e3", True),
        ("a.b.0.c>-1", True),
        ("s>2", False),
        ("s>=a", False),
        ('s>="2"', True),
        ("a.b.1>w", True),
        ("t>0", False),
        ("n<1", False),
        ("missing>1", False),
        ("a.b.1=a>b", False),
    ],
)
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert condition(text)(VALUE) is holds


@pytest.mark.parametrize("value", [Absent, 3, "x", None, [], {}])
def test_a_condition_on_anything_is_no_error(value: Any) -> None:
    assert condition("a.b=1")(value) is False


@pytest.mark.parametrize("text", ["", "=3", "!=3", " >3", "a~b"])
def test_a_condition_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no condition"):
        condition(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.25, 1_700_000_000.25),
        (1_700_000_000_250, 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000.5),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("soon", None),
        (True, None),
        (None, None),
        (Absent, None),
        ([], None),
        (10**400, None),
        (float("inf"), float("inf")),
        ("9999-12-31T23:59:59-14:00", 253402351199.0),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_moment_is_read(value: Any, seconds: float | None) -> None:
    assert moment(value) == seconds


def test_the_rate_is_right_from_the_beginning_and_fades() -> None:
    meter = Meter(100.0)
    for second in range(1, 61):
        for _ in range(10):
            meter.event(None)
        assert meter.rate(100.0 + second) == pytest.approx(10.0)
    assert meter.rate(163.0) == pytest.approx(10.0 / 2.718, rel=0.01)
    assert meter.rate(200.0) < 0.01


def test_the_summary_counts_everything() -> None:
    meter = Meter(0.0)
    assert meter.summary(0.0) == "0 events in 0.0 s"
    meter.event(0.5)
    assert (meter.summary(2.0), meter.lag) == ("1 event in 2.0 s, 0.5/s", 0.5)


def test_headers_come_from_the_file_the_environment_and_the_token(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("# a comment\nX-One:  a: b \n\nX-Two:\n", "utf-8")
    environment = {"RX_SSE_HEADERS": "X-One: other\nX-Three: c", "RX_SSE_TOKEN": "secret\n"}
    assert headers(str(file), environment) == {
        "X-One": "a: b",
        "X-Two": "",
        "X-Three": "c",
        "Authorization": "Bearer secret",
    }
    assert headers(None, {"RX_SSE_HEADERS": "authorization: Basic x", "RX_SSE_TOKEN": "y"}) == {
        "authorization": "Basic x"
    }


def test_headers_of_the_command_line_win_whatever_their_case(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X-One: file\nX-Two: file\n", "utf-8")
    environment = {"RX_SSE_HEADERS": "X-One: environment"}
    assert headers(str(file), environment, ["x-one: option", "X-Three: a"]) == {
        "x-one": "option",
        "X-Two": "file",
        "X-Three": "a",
    }
    assert headers(None, environment, [f"@{file}"]) == {"X-One": "file", "X-Two": "file"}


def test_a_secret_among_the_options_is_said() -> None:
    assert exposed(["X-One: a", "@file"]) is None
    assert "read authorization in the process list" in (exposed(["authorization: Bearer secret"]) or "")
    assert "secret" not in (exposed(["Cookie: secret"]) or "")


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("localhost:8080/ticks", "http://localhost:8080/ticks"),
        ("localhost", "http://localhost"),
        ("api.localhost/x", "http://api.localhost/x"),
        ("127.0.0.1:8080?x=1", "http://127.0.0.1:8080?x=1"),
        ("[::1]:8080/x", "http://[::1]:8080/x"),
        ("[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("example.org/x", "https://example.org/x"),
        ("example.org:8443/x", "https://example.org:8443/x"),
        ("ada:localhost@example.org/x", "https://ada:localhost@example.org/x"),
        ("localhost.example.org", "https://localhost.example.org"),
        ("http://example.org", "http://example.org"),
        ("ftp://example.org", "ftp://example.org"),
        ("/x", "/x"),
        ("", ""),
    ],
)
def test_a_url_without_a_scheme_is_plain_only_on_this_machine(url: str, completed: str) -> None:
    assert with_scheme(url) == completed


def test_a_line_that_is_no_header_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X-One: a\nsecret\n", "utf-8")
    with pytest.raises(ValueError, match="line 2") as caught:
        headers(str(file), {})
    assert "secret" not in str(caught.value)


def test_the_bottom_line_is_cut_where_the_terminal_ends() -> None:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
        with open(theirs, "w", encoding="utf-8", closefd=False) as terminal:
            screen = Screen(terminal, terminal, quiet=False)
            screen.bottom("1,234.5/s · 99,999 in all · open for 12 s", lambda text: f"<{text}>")
            screen.bottom("short")
        shown = ""
        # A terminal hands over what it has, which may be the first line alone.
        while not shown.endswith("short"):
            shown += os.read(ours, 1000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown == "\r\x1b[K<1,234.5/s · 99,999…>\r\x1b[Kshort"


def test_version_and_exit_statuses_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rx_sse {rx_sse.__version__}\n"
    for command in ("tail", "publish"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert ended.value.code == 0
        assert "Exit status: 0 done, 1 failed, 2 wrong call, 130 interrupted by Ctrl-C." in shown
        assert "RX_SSE_TOKEN" in shown


def test_the_script_is_the_command() -> None:
    (script,) = PROJECT["project"]["scripts"].items()
    assert script == ("rx-sse", f"{main.__module__}:{main.__name__}")
