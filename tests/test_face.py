"""The public face: the names that were promised, seen by people and type checkers alike, and lazy."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import pickle
import re
import subprocess
import sys
import typing

import pytest
import reactivex

import rx_sse
from rx_sse import errors

from .conftest import PROJECT, ROOT

PROMISED = {
    # edge
    "sse", "setup", "stream_response", "StreamOptions", "last_event_id", "principal", "Limits", "Overflow",
    # errors
    "RxSseError", "UsageError", "EncodeError", "TopicNameError", "EventTooLarge", "StreamError",
    "StreamInterrupted", "Overloaded", "QueueFull", "BusClosed", "PublishRefused", "PublishUnknown",
    "ConnectionFailed",
    # events
    "ServerSentEvent", "RawFrame", "EventParser",
    # topics
    "Bus", "Topic", "topic_name", "MemoryBus", "RedisBus", "RedisPublisher", "bus_app",
    "SQLiteBus", "SQLitePublisher", "publish_in", "Run", "RunStatus",
    # auth
    "JWTAuth", "Principal", "Tickets",
    # operators
    "throttle_latest", "retry_backoff", "as_events", "from_async_iterable", "to_async_iterable",
    "LoopScheduler",
    # other end, operation
    "EventSource", "ConnectionState", "admin_app",
}  # fmt: skip
# Not built yet: a name leaves this set on the day it enters the face.
TO_COME: set[str] = set()

ALL: list[str] = vars(rx_sse)["__all__"]  # which type checkers are not shown


def test_all_is_what_was_promised() -> None:
    assert set(ALL) == PROMISED - TO_COME
    assert len(ALL) == len(set(ALL))


def test_every_name_is_there() -> None:
    for name in ALL:
        assert getattr(rx_sse, name) is not None
        assert name in dir(rx_sse)


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"'rx_sse' has no attribute 'Nonsense'"):
        _ = rx_sse.Nonsense  # pyright: ignore[reportAttributeAccessIssue]


def test_a_star_import_brings_all() -> None:
    namespace: dict[str, object] = {}
    exec("from rx_sse import *", namespace)
    assert namespace.keys() >= set(ALL)


def test_every_error_of_the_library_can_be_caught_by_its_public_name() -> None:
    assert set(errors.__all__) <= set(ALL)


def test_what_the_documents_name_is_there() -> None:
    """`rx_sse.metrics.Collector` included: the leaves are reached as attributes."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    named = {path for page in pages for path in re.findall(r"\brx_sse((?:\.\w+)+)", page.read_text("utf-8"))}
    assert {".sse", ".metrics.Collector", ".testing.check_bus"} <= named
    for path in named - {".js"}:  # a file, the page's module
        found: object = rx_sse
        for name in path.split(".")[1:]:
            found = getattr(found, name)


def test_the_version_is_there() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", rx_sse.__version__)


# A core installation: what an extra brings is not there.
LOOKING = """
import builtins, inspect, pydoc, sys
for absent in "redis hiredis msgspec prometheus_client IPython psutil backports.zstd uvloop".split():
    sys.modules[absent] = None
import rx_sse
assert all(hasattr(rx_sse, name) for name in rx_sse.__all__)
assert {name for name, _ in inspect.getmembers(rx_sse)} >= set(rx_sse.__all__)
told = pydoc.render_doc(rx_sse, renderer=pydoc.plaintext)
assert all(name in told for name in rx_sse.__all__) and rx_sse.__version__ in told
from rx_sse import *
assert sse is rx_sse.sse and not isinstance(MemoryBus(), RedisBus)
import rx_sse.metrics, rx_sse.notebook, rx_sse.testing
for optional in (RedisBus, rx_sse.RedisPublisher):
    try:
        optional("redis://localhost")
    except ImportError as error:
        print(optional.__name__, error)
"""


def test_looking_at_the_face_asks_for_no_extra() -> None:
    """help(), inspect, hasattr and a star import; what is nothing without an extra says so when called."""
    done = subprocess.run([sys.executable, "-c", LOOKING], capture_output=True, text=True, cwd=ROOT)
    assert not done.returncode, done.stderr
    told = done.stdout.splitlines()
    assert [line.split()[0] for line in told] == ["RedisBus", "RedisPublisher"]
    assert all("pip install" in line for line in told)


def test_help_shows_the_options() -> None:
    """The docstring, which help() shows, says of each option what an editor shows beside its name."""
    tree = ast.parse((ROOT / "rx_sse" / "web" / "options.py").read_text("utf-8"))
    (options,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "StreamOptions")
    shown = " ".join((rx_sse.StreamOptions.__doc__ or "").split())
    told = {
        option.target.id: ast.literal_eval(doc.value)
        for option, doc in itertools.pairwise(options.body)
        if isinstance(option, ast.AnnAssign)
        and isinstance(doc, ast.Expr)
        and isinstance(option.target, ast.Name)
    }
    assert told.keys() == rx_sse.StreamOptions.__annotations__.keys()
    for name, text in told.items():
        assert f"{name}: {' '.join(text.split())}" in shown


def test_the_advice_of_an_error_installs_what_it_says() -> None:
    """`pip install NAME` names what an extra asks for, never a package that is on no index."""
    extras = PROJECT["project"]["optional-dependencies"]
    asked = {name for lines in extras.values() for line in lines for name in names_in(line)}
    sources = [path for path in (ROOT / "rx_sse").rglob("*.py") if "bus/redis" not in path.as_posix()]
    advice = [
        (path.name, line)
        for path in sources
        for line in re.findall(r"pip install ([^\"')(]+)", path.read_text("utf-8"))
    ]
    assert len(advice) >= 3
    for where, line in advice:
        assert set(line.split()) <= asked, f"{where}: pip install {line}"


def names_in(requirement: str) -> set[str]:
    """`redis[hiredis]>=5.2` is redis, and hiredis; pyjwt[crypto] brings cryptography."""
    found = set(re.findall(r"[a-z][a-z0-9.-]*", re.split(r"[;>=<]", requirement)[0]))
    return found | ({"cryptography"} if "crypto" in found else set())


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    """The one list is for people at run time, the other for checkers; they must not drift apart."""
    tree = ast.parse((ROOT / "rx_sse" / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names:
            assert alias.asname == alias.name, "`X as X` is what makes a checker re-export it"
            seen[alias.name] = node.module
    (homes,) = (
        ast.literal_eval(node.value)
        for node in block.orelse
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    assert seen == homes
    assert list(homes) == sorted(homes, key=str.lower)


@pytest.mark.parametrize("name", sorted(PROMISED - TO_COME))
def test_the_home_of_a_name_is_where_it_is_defined(name: str) -> None:
    """A home is the file itself, not a package that imports the file and everything beside it."""
    value = getattr(rx_sse, name)
    if isinstance(value, type):
        assert value.__module__ == "rx_sse" or "__annotations__" in vars(value)
        assert typing.get_type_hints(value) is not None
    home = vars(rx_sse)["_HOMES"][name]
    module = importlib.import_module(f"rx_sse.{home}")
    assert getattr(module, name) is value
    if callable(value) and not isinstance(value, type):
        assert value.__module__ == module.__name__


def test_users_see_the_public_name_in_tracebacks_and_pickles() -> None:
    assert repr(rx_sse.StreamError) == "<class 'rx_sse.StreamError'>"
    assert b"rx_sse.errors" not in pickle.dumps(rx_sse.StreamError)
    assert pickle.loads(pickle.dumps(rx_sse.StreamError)) is rx_sse.StreamError


def imported_by(statement: str) -> set[str]:
    """The top-level modules in a new interpreter after `statement`.

    OpenTelemetry cannot be imported there: redis-py takes it, and all that its SDK brings, where it is
    installed, and nothing of ours may need it.
    """
    program = (
        f"import sys, json\nsys.modules['opentelemetry'] = None\n{statement}\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout))


HEAVY = {"aiohttp", "reactivex", "redis", "jwt", "asyncio", "IPython", "psutil", "msgspec", "pytest"}


def test_importing_the_package_imports_no_room() -> None:
    assert not imported_by("import rx_sse; dir(rx_sse)") & HEAVY


# What of HEAVY a name may bring. A worker that publishes pays for no aiohttp, a parser for no event loop.
COSTS: dict[str, set[str]] = {
    "ServerSentEvent": {"msgspec"},
    "EventParser": {"msgspec"},
    "StreamError": set(),
    "Overflow": {"asyncio", "msgspec"},
    "LoopScheduler": {"asyncio", "reactivex", "msgspec"},
    "as_events": {"asyncio", "reactivex", "msgspec"},
    "topic_name": {"msgspec"},
    "MemoryBus": {"asyncio", "reactivex", "msgspec"},
    "SQLitePublisher": {"msgspec"},
    "publish_in": {"msgspec"},
    "SQLiteBus": {"asyncio", "reactivex", "msgspec"},
    "RedisPublisher": {"asyncio", "msgspec", "redis"},
    "RedisBus": {"asyncio", "reactivex", "msgspec", "redis"},
}


@pytest.mark.parametrize("name", sorted(COSTS.keys() - TO_COME))
def test_a_name_costs_what_it_needs(name: str) -> None:
    assert imported_by(f"from rx_sse import {name}") & HEAVY <= COSTS[name]


# -- what a user holds ---------------------------------------------------------------------------------------

BUS = {
    "run",
    "find_run",
    "stop",
    "runs",
    "topic",
    "events",
    "position",
    "history",
    "retain",
    "publish",
    "end",
    "revoke",
    "presence",
    "errors",
    "ready",
    "stats",
    "start",
    "close",
}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_a_bus_shows_what_the_documentation_names() -> None:
    assert public(rx_sse.MemoryBus()) == BUS
    assert public(rx_sse.RedisBus("redis://localhost")) == BUS
    assert public(rx_sse.SQLiteBus("app.db")) == BUS


async def test_a_page_of_history_shows_what_the_documentation_names() -> None:
    async with rx_sse.MemoryBus() as bus:
        await bus.publish("t", 1)
        page = await bus.history("t")
    assert public(page) - public(()) == {"topic", "entries", "position", "next", "gap"}
    assert public(page[0]) == {"id", "event", "data", "time", "json"}


def test_a_topic_shows_its_name_and_what_a_subject_has() -> None:
    own = public(rx_sse.MemoryBus().topic("t")) - public(reactivex.Observable())
    assert own == {
        "as_events",
        "name",
        "on_completed",
        "on_error",
        "on_next",
        "scheduled",
        "subscribe_observer",
    }
