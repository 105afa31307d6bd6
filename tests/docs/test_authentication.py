"""docs/authentication.md: its program and its pages in Chromium, from the form to the stream and back."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import aiohttp
import jwt
import pytest

from .. import browser
from ..conftest import ROOT
from .blocks import RUN, SEEN, Page, running

PAGE = Page(ROOT / "docs" / "authentication.md")
PROGRAM = PAGE.servers[0].stopped_short
SECRET = "32 random bytes, or more of them"

# A page around a block, served by the program itself: same origin, same cookies.
AROUND = """

async def page(request: web.Request) -> web.Response:
    return web.Response(content_type="text/html", text='''<!doctype html>
<form><input name=user value=ada><input name=password value="{password}"><button>Sign in</button></form>
<script type=module>
const show = async (text) => {{
  await fetch("/seen", {{method: "POST", body: text}});
  if (text === "hello") globalThis.onShown?.();
}};
const token = "{token}";
{script}
</script>''')

async def notify(request: web.Request) -> web.Response:
    await bus.publish("user:ada", {{"text": await request.text()}})
    return web.Response()

app.router.add_post("/notify", notify)
"""


def block(name: str) -> str:
    (found,) = [it.text for it in PAGE.blocks if it.info == name]
    return textwrap.indent(found, "    ")


def around(script: str, *, password: str = "correct horse", token: str = "") -> str:
    return AROUND.format(script=script, password=password, token=token) + SEEN + RUN


def access_token() -> str:
    now = int(time.time())
    return jwt.encode({"sub": "ada", "iat": now, "exp": now + 60, "jti": "one"}, SECRET)


async def told(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(f"{address}/seen", timeout=aiohttp.ClientTimeout(total=20)) as answer:
        return await answer.text()


@pytest.mark.browser
async def test_a_user_signs_in_reads_and_signs_out(tmp_path: Path, chromium: str) -> None:
    leave = "\nglobalThis.onShown = () => fetch('/sign-out', {method: 'POST'});"
    more = around(block("sign-in") + leave + "\nform.requestSubmit();")
    async with running(PROGRAM, tmp_path, more=more) as address, aiohttp.ClientSession() as session:
        async with session.post(f"{address}/notify", data="hello"):
            pass
        async with browser.visiting(chromium, address):
            assert [await told(session, address) for _ in range(2)] == ["hello", "signed out"]


@pytest.mark.browser
async def test_a_wrong_password_is_said(tmp_path: Path, chromium: str) -> None:
    more = around(block("sign-in") + "\nform.requestSubmit();", password="wrong")
    async with running(PROGRAM, tmp_path, more=more) as address, aiohttp.ClientSession() as session:
        async with browser.visiting(chromium, address):
            assert await told(session, address) == "wrong user or password"


@pytest.mark.browser
async def test_a_ticket_opens_a_stream_of_an_event_source(tmp_path: Path, chromium: str) -> None:
    script = block("ticket") + "\nsource.onmessage = (event) => show(JSON.parse(event.data).text);"
    more = around(script, token=access_token())
    async with running(PROGRAM, tmp_path, more=more) as address, aiohttp.ClientSession() as session:
        async with session.post(f"{address}/notify", data="hello"):
            pass
        async with browser.visiting(chromium, address):
            assert await told(session, address) == "hello"
