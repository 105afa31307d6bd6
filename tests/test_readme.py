"""README.md only claims what is so: its programs run, curl prints what it shows, its tables are the code's.

How the text is read:

- a ``python`` block that calls ``web.run_app`` is a whole program and runs as it stands;
- one with a ``test_`` function in it is handed to pytest;
- any other is a fragment: it goes on from the first program, whose imports and route table it may use;
- a ``console`` block belongs to the last program or fragment above it. ``curl`` is really run against it, and
  what it prints must begin with the lines shown (``…`` stands for anything within a line);
- ``js`` runs in Chromium, ``nginx`` in nginx, in front of the program above it.

Every program is a process of its own, on a port of its own, and is stopped by SIGTERM, as in production.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import jwt
import psutil
import pytest
import reactivex as rx
from aiohttp import web
from reactivex.abc import DisposableBase
from reactivex.disposable import CompositeDisposable

import rx_sse
from rx_sse.testing import serve

from .browser import FLAGS, Page, visiting
from .certificate import self_signed
from .conftest import PROJECT, ROOT
from .redis_server import RedisServer

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")

# What a fragment finds: the imports of a module that has grown past the first program, and its route table.
PREAMBLE = """\
from __future__ import annotations
import asyncio
from collections.abc import AsyncIterator
from typing import Any
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject
import rx_sse
routes = web.RouteTableDef()
"""
# What a fragment leaves out.
ENDING = """
app = rx_sse.setup(web.Application())
app.add_routes(routes)
"""
# Runs a program of the README on a port of our choice, and says when it listens.
RUNNER = """\
import functools, runpy, sys
from aiohttp import web
web.run_app = functools.partial(web.run_app, host="127.0.0.1", port=int(sys.argv[2]))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the README that it begins on."""

    language: str
    text: str
    line: int

    @property
    def id(self) -> str:
        return f"line {self.line}"

    @property
    def kind(self) -> str:
        """``program``, ``test``, ``fragment``, or the language of what is not Python."""
        if self.language != "python":
            return self.language
        if "web.run_app(" in self.text:
            return "program"
        return "test" if re.search(r"def test_", self.text) else "fragment"

    @property
    def module(self) -> str:
        """The block as a module that runs by itself."""
        if self.kind != "fragment":
            return self.text
        ending = "" if re.search(r"^app = ", self.text, re.MULTILINE) else ENDING
        return f"{PREAMBLE}\n{self.text}\n{ending}"


def blocks(text: str) -> Iterator[Block]:
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 2)


BLOCKS = list(blocks(TEXT))
PYTHON = [block for block in BLOCKS if block.language == "python"]
SERVERS = [block for block in PYTHON if block.kind != "test"]


def server_above(block: Block) -> Block:
    return [server for server in SERVERS if server.line < block.line][-1]


def sessions() -> Iterator[tuple[Block, str, list[str], str]]:
    """Every command of the console blocks: the block, the command, the lines shown under it, a test id."""
    for block in BLOCKS:
        if block.language == "console":
            for number, part in enumerate(re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]):
                command, *shown = part.rstrip("\n").split("\n")
                yield block, command, shown, f"line {block.line + number}"


def cases(*programs: str) -> list[object]:
    found = [case for case in sessions() if case[1].split()[0] in programs]
    return [pytest.param(*case[:3], id=case[3]) for case in found]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@asynccontextmanager
async def running(
    block: Block, folder: Path, *, more: str = "", python: str = sys.executable
) -> AsyncIterator[str]:
    """Run a program or a fragment as a process of its own, and give its address. It must stop within 2 s."""
    source = block.module + more
    if "web.run_app(" not in source:
        source += "\nweb.run_app(app)\n"
    program, runner = folder / "program.py", folder / "runner.py"
    program.write_text(source, "utf-8")
    runner.write_text(RUNNER, "utf-8")
    port = free_port()
    command = [python, "-u", "-W", "error", str(runner), str(program), str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    assert process.stdout is not None
    output = b""
    try:
        async with asyncio.timeout(20):
            while b"Running on" not in output:
                line = await process.stdout.readline()
                assert line, f"the program of {block.id} did not start:\n{output.decode()}"
                output += line
        yield f"http://localhost:{port}"
        process.terminate()
        async with asyncio.timeout(2):
            output += await process.stdout.read()
            assert await process.wait() == 0, output.decode()
        assert b"Traceback" not in output, output.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def first_lines(command: list[str], count: int) -> list[str]:
    """The first `count` lines that a command prints; fewer if it ends before."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(15):
            while len(lines) < count and (line := await process.stdout.readline()):
                lines.append(line.decode().rstrip("\n").rstrip("\r"))
    except TimeoutError:
        pytest.fail(f"{shlex.join(command)} printed {lines} and then nothing")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    return lines


def same(shown: str, printed: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), printed) is not None


@pytest.mark.parametrize(("block", "command", "shown"), cases("curl"))
async def test_curl_prints_what_is_shown(
    block: Block, command: str, shown: list[str], tmp_path: Path, curl: str
) -> None:
    async with running(server_above(block), tmp_path) as address:
        words = shlex.split(command.replace("http://localhost:8080", address))
        assert address in command.replace("http://localhost:8080", address), "curl must ask the program above"
        printed = await first_lines([curl, "--silent", "--show-error", *words[1:]], len(shown))
    assert len(printed) == len(shown) and all(map(same, shown, printed)), "\n" + "\n".join(printed)


@pytest.mark.parametrize("block", [b for b in SERVERS if b.kind == "fragment"], ids=lambda block: block.id)
async def test_every_stream_of_a_fragment_opens(block: Block, tmp_path: Path) -> None:
    paths = re.findall(r"@routes\.get\(\"([^\"{]+)\"", block.text)
    async with running(block, tmp_path) as address, aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(address + path, headers={"Accept": "text/event-stream"}) as response:
                assert response.status == 200, await response.text()
                async with asyncio.timeout(5):
                    assert await response.content.readline()


@pytest.mark.parametrize("block", [b for b in PYTHON if b.kind == "test"], ids=lambda block: block.id)
def test_the_tests_shown_pass(block: Block, tmp_path: Path) -> None:
    (tmp_path / "test_shown.py").write_text(PREAMBLE + block.text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    command += ["-W", "error", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def written_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every python block as a module, named after its line."""
    folder = tmp_path_factory.mktemp("readme")
    for block in PYTHON:
        text = PREAMBLE + block.text if block.kind == "test" else block.module
        (folder / f"line_{block.line}.py").write_text(text, "utf-8")
    (folder / "nonsense.py").write_text("import rx_sse\nrx_sse.nonsense\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    "checker",
    [
        ["mypy", "--strict", "--no-incremental", "--config-file="],
        ["pyright", "--pythonpath", sys.executable],
    ],
    ids=lambda checker: checker[0],
)
def test_strict_type_checkers_accept_every_block(checker: list[str], written_out: Path) -> None:
    command = [sys.executable, "-m", *checker, *sorted(map(str, written_out.glob("line_*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=written_out)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_type_checker_refuses_a_name_that_does_not_exist(written_out: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "nonsense.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=written_out)
    assert done.returncode == 1 and 'has no attribute "nonsense"' in done.stdout, done.stdout + done.stderr


# -- the page, and nginx in front ----------------------------------------------------------------------------


PAGE = """

seen: asyncio.Queue[str] = asyncio.Queue()

async def page(request: web.Request) -> web.Response:
    return web.Response(content_type="text/html", text='''<!doctype html><script>
const tell = (text) => fetch("/seen", {{method: "POST", body: text}});
window.onerror = (message) => tell("error " + message);
const show = (value) => tell("shown " + JSON.stringify(value));
{script}
const close = source.close;
source.close = function () {{ tell("closed"); return close.call(this); }};
</script>''')

async def post(request: web.Request) -> web.Response:
    seen.put_nowait(await request.text())
    return web.Response()

async def get(request: web.Request) -> web.Response:
    return web.Response(text=await seen.get())

app.router.add_get("/", page)
app.router.add_post("/seen", post)
app.router.add_get("/seen", get)
"""


@pytest.mark.browser
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "js"], ids=lambda block: block.id)
async def test_the_page_does_in_chromium_what_is_said(block: Block, tmp_path: Path, chromium: str) -> None:
    """It shows what the stream above it sends, and closes when that ends."""
    script = textwrap.indent(block.text, "    ")
    async with running(server_above(block), tmp_path, more=PAGE.format(script=script)) as address:
        browser = await asyncio.create_subprocess_exec(
            chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"{address}/",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        told: list[str] = []
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(30):
                while not told or told[-1] != "closed":
                    async with session.get(f"{address}/seen") as response:
                        told.append(await response.text())
                    assert not told[-1].startswith("error"), told
        finally:
            browser.terminate()
            await browser.wait()
        assert any(line.startswith("shown ") for line in told), told


CLAIMS = [b for b in BLOCKS if b.language == "json"]


@pytest.mark.parametrize("block", CLAIMS, ids=lambda block: block.id)
async def test_a_token_with_the_claims_shown_reads_and_publishes_what_it_grants(
    block: Block, tmp_path: Path
) -> None:
    claims = {**json.loads(block.text), "iat": int(time.time()), "exp": int(time.time()) + 600}
    secret = "32 random bytes, or more of them"

    def headers(**changed: object) -> dict[str, str]:
        payload = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return {"Authorization": f"Bearer {jwt.encode(payload, secret)}", "Accept": "text/event-stream"}

    async with running(server_above(block), tmp_path) as address, aiohttp.ClientSession() as session:
        mount = f"{address}/events"
        async with session.get(f"{mount}?topic=news&topic=team:9&topic=team:7", headers=headers()) as stream:
            assert stream.status == 200
            async with session.post(f"{mount}/topics/team:7", headers=headers(), json=["hello"]) as answer:
                assert answer.status == 201
            async with asyncio.timeout(10):
                while await stream.content.readline() != b'data: ["hello"]\n':
                    pass
        for query in ("?topic=other", "?topic=teams"):
            async with session.get(mount + query, headers=headers()) as answer:
                assert answer.status == 403
        async with session.post(f"{mount}/topics/news", headers=headers(), json=1) as answer:
            assert answer.status == 403
        async with session.post(f"{mount}/topics/team:7", headers=headers(scope=None), json=1) as answer:
            assert (
                answer.status == 403
                and "the scope 'publish'" in (await answer.json(content_type=None))["detail"]
            )


NGINX = [b for b in BLOCKS if b.language == "nginx"]


@asynccontextmanager
async def in_front(nginx: str, block: Block, address: str, folder: Path) -> AsyncIterator[str]:
    """Run nginx as the block says, in front of `address`, with TLS; gives its own address."""
    certificate, key = self_signed(folder)
    port = free_port()
    text = block.text
    for shown, real in {
        r"listen 443 ": f"listen 127.0.0.1:{port} ",
        r"http://127\.0\.0\.1:8080": address.replace("localhost", "127.0.0.1"),
        r"ssl_certificate +[^;]+;": f"ssl_certificate {certificate};",
        r"ssl_certificate_key +[^;]+;": f"ssl_certificate_key {key};",
    }.items():
        text, changes = re.subn(shown, real, text)
        assert changes, f"the nginx block has no {shown}"
    paths = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n",
        "utf-8",
    )
    server = await asyncio.create_subprocess_exec(nginx, "-p", str(folder), "-c", str(configuration))
    try:
        async with asyncio.timeout(10):
            while not listens(port):
                assert server.returncode is None, "nginx refused the configuration"
                await asyncio.sleep(0.02)
        yield f"https://127.0.0.1:{port}"
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.parametrize("block", NGINX, ids=lambda block: block.id)
async def test_events_pass_nginx_at_once(block: Block, tmp_path: Path, nginx: str, curl: str) -> None:
    """As the text says it, over HTTP/2 and TLS: events arrive one by one, not when the stream has ended."""
    async with running(SERVERS[0], tmp_path) as address, in_front(nginx, block, address, tmp_path) as url:
        start = asyncio.get_running_loop().time()
        command = [curl, "--silent", "--no-buffer", "--insecure", "--http2", "--include"]
        printed = await first_lines([*command, f"{url}/ticks"], 14)
        took = asyncio.get_running_loop().time() - start
    assert printed[0].startswith("HTTP/2 200"), printed
    assert [line for line in printed if line.startswith("data:")][:1] == ['data: {"count":0}'], printed
    assert took < 6, f"{printed} took {took:.1f} s: something on the way holds events back"


@pytest.mark.browser
@pytest.mark.parametrize("block", NGINX, ids=lambda block: block.id)
async def test_a_browser_holds_twenty_streams_to_one_origin(
    block: Block, tmp_path: Path, nginx: str, chromium: str
) -> None:
    """HTTP/1.1 would stop at six, over all tabs."""
    page = Page(
        """const alive = new Set();
        for (let n = 0; n < 20; n++) {
            const source = new EventSource(`/ticks?n=${n}`);
            source.onmessage = () => { alive.add(n); if (alive.size == 20) report(alive.size); };
        }"""
    )
    app = rx_sse.setup(web.Application())
    app.router.add_get("/ticks", rx_sse.sse(lambda request: rx.interval(0.2)))
    page.add_to(app)
    async with serve(app) as address, in_front(nginx, block, address, tmp_path) as url:
        async with visiting(chromium, url, "--ignore-certificate-errors"):
            assert await page.seen(30) == [20]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- several processes on one port ---------------------------------------------------------------------------


@asynccontextmanager
async def workers(folder: Path, redis: str) -> AsyncIterator[tuple[str, set[int]]]:
    """What the README's line starts, on a port of our choice: its address, and the processes."""
    (block,) = [block for block in SERVERS if "reuse_port" in block.text]
    (command,) = [command for _, command, _, _ in sessions() if "orders.py" in command]
    port = free_port()
    (folder / "orders.py").write_text(block.text.replace("8080", str(port)), "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{command}\nwait", cwd=folder, env={**os.environ, "PATH": path, "REDIS_URL": redis},
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/orders"
    try:
        processes: set[int] = set()
        async with asyncio.timeout(30):
            while len(processes) < 3:
                try:
                    processes.add(await taken(address, 0))
                except aiohttp.ClientError:  # none of them listens yet
                    await asyncio.sleep(0.05)
        yield address, processes
    finally:
        for process in psutil.Process(shell.pid).children():
            process.terminate()
        await shell.wait()


async def taken(address: str, order: int) -> int:
    """Place an order, over a connection of its own; which process took it."""
    async with aiohttp.ClientSession() as session, session.post(address, data=str(order)) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["taken_by"])


def connections(process: int, address: str) -> int:
    """How many of its clients a process serves."""
    port = urlsplit(address).port
    found = psutil.Process(process).net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.02)


@pytest.mark.redis
async def test_what_one_process_takes_reaches_the_clients_of_all_also_when_theirs_is_gone(
    tmp_path: Path, redis_server: str
) -> None:
    reading = CompositeDisposable()
    readers: list[list[int]] = []
    placed: list[int] = []

    async def place_one_with_each() -> None:
        missing = set(processes)
        while missing:
            placed.append(len(placed) + 1)
            missing.discard(await taken(address, placed[-1]))

    def read() -> DisposableBase:
        readers.append(seen := [])
        orders = rx_sse.EventSource(address).filter(lambda event: not event.is_control)
        numbers = orders.map(lambda event: int(event.json()["order"])).filter(bool)
        return numbers.subscribe(seen.append, scheduler=rx_sse.LoopScheduler())

    with RedisServer() as redis:
        async with workers(tmp_path, redis.url) as (address, processes), asyncio.timeout(40):
            with reading:
                # The kernel deals connections out as it likes: until every process has a client.
                while not all(connections(each, address) for each in processes):
                    reading.add(read())
                    await until(lambda: sum(connections(it, address) for it in processes) == len(readers))
                await place_one_with_each()
                for number in (signal.SIGKILL, signal.SIGTERM):
                    os.kill(leaving := processes.pop(), number)
                    await until(lambda it=leaving: not psutil.pid_exists(it))
                    await place_one_with_each()
                await until(lambda: all(len(seen) >= len(placed) for seen in readers))
                assert all(seen == placed for seen in readers), (placed, readers)


# -- commands, tables, links ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "command", "shown"), cases("python3", "python"))
def test_commands_exist(block: Block, command: str, shown: list[str]) -> None:
    words = shlex.split(command, comments=True)
    if words[1] == "dev.py":
        assert re.search(
            rf"^    python3 dev\.py {words[2]}\b", (ROOT / "dev.py").read_text("utf-8"), re.MULTILINE
        )
        words = words[2:]
    else:
        assert words[1:3] == ["-m", "rx_sse"]
        words = words[3:]
    if words[0] != "test" and words[0] != "run":
        done = subprocess.run(
            [sys.executable, "-m", "rx_sse", words[0], "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for option in (word for word in words if word.startswith("--")):
            assert option in done.stdout


def test_install_lines_name_extras_that_exist() -> None:
    lines = re.findall(r"pip install ([^\n`]+)", TEXT)
    assert lines
    for line in lines:
        for extra in re.findall(r"\[([\w,]+)\]", line):
            assert set(extra.split(",")) <= PROJECT["project"]["optional-dependencies"].keys(), line


def table(heading: str) -> dict[str, list[str]]:
    """The first table below a heading: first cell → the others, code marks taken off."""
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)[2:]]
    return {row[0].strip().strip("`"): [cell.strip().strip("`") for cell in row[1:]] for row in rows}


def test_the_options_table_is_the_code() -> None:
    from rx_sse.web.options import DEFAULTS

    shown = {name: eval(cells[0]) for name, cells in table("Options").items()}
    assert shown == dict(DEFAULTS)


def test_the_policies_table_is_the_code() -> None:
    from rx_sse.delivery.overflow import POLICIES

    assert [name.strip('"') for name in table("When a reader is slow")] == list(POLICIES)


def test_the_operators_take_what_is_shown() -> None:
    shown = table("One source, many readers, any thread")
    assert len(shown) == 5
    for call in shown:
        name, _, arguments = call.partition("(")
        parameters = inspect.signature(getattr(rx_sse, name)).parameters
        for argument in arguments.rstrip(")").split(", "):
            if argument != "…":
                parameter, _, default = argument.partition("=")
                assert not default or parameters[parameter].default == eval(default), call
                assert parameter in parameters, call


def test_the_control_events_are_the_code() -> None:
    from rx_sse.wire import control

    source = Path(control.__file__).read_text("utf-8")
    known = set(re.findall(r"[\"'](stream-[a-z]+)[\"']", source))
    assert set(table("Control events")) == known


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            assert os.path.exists(ROOT / target.split("#")[0]), target


def test_the_first_screen_has_a_server_by_line_12() -> None:
    program = next(block for block in PYTHON if block.kind == "program")
    assert program.line <= 12
