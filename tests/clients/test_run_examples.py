"""The examples whose answers outlive their readers, read by the real clients: `useChat` and AG-UI's agent in
Chromium, on the pages of the examples, and PyPI's `openai`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rx_sse.testing import open_stream, serve

from ..browser import Browser, browsing
from ..node import node_packages
from ..test_examples import EXAMPLES, TEXT, beside_each_other, example, opened

__all__ = ["beside_each_other"]  # a fixture, for these tests too

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = ("ai_chat", "ai_agent")
ENTRY = """
export { createElement } from "react";
export { createRoot } from "react-dom/client";
export { useChat } from "@ai-sdk/react";
export { DefaultChatTransport } from "ai";
export { HttpAgent } from "@ag-ui/client";
"""
CDN = re.compile(r'"https://esm\.sh/((?:@[\w-]+/)?[\w-]+@[\d.]+)[^"]*"')
LONG = "word " * 1000


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages import from a CDN, in the versions that they name, as one module."""
    folder = tmp_path_factory.mktemp("pages")
    names = {name for page in PAGES for name in CDN.findall((EXAMPLES / f"{page}.html").read_text("utf-8"))}
    assert len(names) == 5
    modules = node_packages(folder, *sorted(names), "esbuild@0.28.1")
    (folder / "entry.mjs").write_text(ENTRY, "utf-8")
    made = folder / "npm.js"
    production = '--define:process.env.NODE_ENV="production"'
    options = ("--bundle", "--format=esm", "--log-level=error", production, f"--outfile={made}")
    subprocess.run([modules / ".bin" / "esbuild", "entry.mjs", *options], check=True, timeout=60, cwd=folder)
    return made


@asynccontextmanager
async def pages(
    name: str, bundle: Path, chromium: str
) -> AsyncIterator[tuple[str, Browser, Any, list[tuple[str, int]]]]:
    """An example in a browser: its address, the browser, its module, and what was answered to its pages."""
    module = example(name)
    app: web.Application = module.make_app()
    answered: list[tuple[str, int]] = []

    @web.middleware
    async def local(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == "/npm.js":
            return web.FileResponse(bundle)
        response = await handler(request)
        answered.append((f"{request.method} {request.path}", response.status))
        if request.path == "/" and isinstance(response, web.Response):
            return web.Response(text=CDN.sub('"/npm.js"', str(response.text)), content_type="text/html")
        return response

    app.middlewares.append(local)
    async with serve(app) as url, browsing(chromium) as browser:
        yield url, browser, module, answered


def counted(module: Any) -> tuple[list[str], asyncio.Event]:
    """Every prompt with which the example asks its model from now on; and a gate: until it is set, the model
    says three words."""
    prompts: list[str] = []
    gate = asyncio.Event()
    model = module.model

    async def counting(prompt: str) -> AsyncIterator[str]:
        prompts.append(prompt)
        said = 0
        async for word in model(prompt):
            yield word
            said += 1
            if said == 3:
                await gate.wait()

    module.model = counting
    return prompts, gate


async def broken(prompt: str) -> AsyncIterator[str]:
    yield "one "
    raise RuntimeError("the secret reason")


def words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


def shows(text: str) -> str:
    """A condition: the page shows this once."""
    return f"{TEXT}.split({text!r}).length == 2"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "over", "stopped"), [("ai_chat", "ready", "ready"), ("ai_agent", "finished", "stopped")]
)
async def test_an_answer_survives_a_reload_is_joined_in_a_second_tab_and_stopped_from_it(
    name: str, over: str, stopped: str, bundle: Path, chromium: str
) -> None:
    async with pages(name, bundle, chromium) as (url, browser, module, _):
        prompts, gate = counted(module)
        first = await opened(browser, url)
        asked = words(10)
        await first.until("document.querySelector('button')")
        await first.run(f"document.querySelector('input').value = {asked!r}")
        await first.run("document.querySelector('button').click()")
        await first.until(f"{TEXT}.includes('assistant: w0 w1 w2')")
        await first.run("location.reload()")
        second = await opened(browser, await first.run("location.href"))
        for tab in first, second:
            await tab.until(f"/assistant: w0 w1 w2\\s*\\n/.test({TEXT})")
        gate.set()
        for tab in first, second:
            await tab.until(f"document.querySelector('small').innerText == {over!r}")
            for said in f"user: {asked}", f"assistant: {asked}":
                assert await tab.run(shows(said)), await tab.run(TEXT)
        third = await opened(browser, await first.run("location.href"))
        await third.until(shows(f"assistant: {asked}"))
        assert prompts == [asked]

        await first.run(f"document.querySelector('input').value = {LONG!r}")
        await first.run("document.querySelector('button').click()")
        await first.until(f"{TEXT}.includes('assistant: word word')")
        other = await opened(browser, await first.run("location.href"))
        await other.until(f"{TEXT}.includes('assistant: word word')")
        await other.run("document.querySelectorAll('button')[1].click()")
        for tab in first, other:
            await tab.until(f"document.querySelector('small').innerText == {stopped!r}")
        assert await first.run(TEXT) == await other.run(TEXT), "both show what there was"


@pytest.mark.browser
async def test_a_chat_whose_answer_failed_says_so_and_not_why(bundle: Path, chromium: str) -> None:
    async with pages("ai_chat", bundle, chromium) as (url, browser, module, _):
        module.model = broken
        tab = await opened(browser, url)
        await tab.until("document.querySelector('button')")
        await tab.run("document.querySelector('button').click()")
        await tab.until("document.querySelector('small').innerText == 'The model failed'")


@pytest.mark.browser
async def test_an_agent_that_failed_says_so_and_not_why(bundle: Path, chromium: str) -> None:
    async with pages("ai_agent", bundle, chromium) as (url, browser, module, _):
        module.model = broken
        tab = await opened(browser, url)
        await tab.run("document.querySelector('button').click()")
        await tab.until("document.querySelector('small').innerText == 'The agent failed'")


@pytest.mark.browser
async def test_a_chat_that_is_over_is_loaded_and_not_streamed(bundle: Path, chromium: str) -> None:
    async with pages("ai_chat", bundle, chromium) as (url, browser, _, answered):
        await send(url, "c1", "one two", [])
        tab = await opened(browser, f"{url}/#c1")
        await tab.until(shows("assistant: one two"))
        async with asyncio.timeout(10):
            while ("GET /api/chat/c1/stream", 204) not in answered:
                await asyncio.sleep(0.02)


async def send(
    url: str, chat: str, prompt: str, before: list[dict[str, Any]], trigger: str = "submit-message"
) -> list[Any]:
    """Ask as `useChat` does; gives the parts of the answer."""
    message = {"id": f"u{len(before)}", "role": "user", "parts": [{"type": "text", "text": prompt}]}
    body = {"id": chat, "trigger": trigger, "messages": [*before, message]}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/chat", json=body) as answer:
            assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
            return re.findall(r"^data: (.+)$", await answer.text(), re.MULTILINE)


async def test_a_chat_gives_the_answer_that_a_page_lacks_and_204_to_one_that_has_it() -> None:
    module = example("ai_chat")
    prompts, gate = counted(module)
    gate.set()
    async with serve(module.make_app()) as url, aiohttp.ClientSession() as session:
        for path in "/api/chat/c1/stream", "/api/chat/c1/stream?have=0":
            async with session.get(url + path) as answer:
                assert answer.status == 204
        parts = await send(url, "c1", "one two", [])
        assert await send(url, "c1", "one two", []) == parts and prompts == ["one two"], "a repeated POST"
        async with session.get(f"{url}/api/chat/c1") as answer:
            kept = await answer.json()
        assert [(each["role"], each["parts"][0]["text"]) for each in kept] == [
            ("user", "one two"),
            ("assistant", "one two "),
        ]
        for have in "", "?have=2":
            async with session.get(f"{url}/api/chat/c1/stream{have}") as answer:
                assert answer.status == 204
        # A page that was loaded while it ran, and asks for the rest when it has just ended.
        async with open_stream(url, "/api/chat/c1/stream?have=1") as stream:
            assert await stream.ended()
            assert [event.data for event in stream.rest()] == parts
        await send(url, "c1", "three", kept)
        assert prompts == ["one two", "three"]
        await send(url, "c1", "three", kept, "regenerate-message")
        assert prompts == ["one two", "three", "three"]


async def test_an_agent_without_a_message_joins_and_starts_nothing() -> None:
    module = example("ai_agent")
    prompts, gate = counted(module)
    gate.set()
    asked: dict[str, Any] = {"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "one"}]}
    async with serve(module.make_app()) as url, aiohttp.ClientSession() as session:
        for method, path in ("POST", "/agent"), ("DELETE", "/agent/t/r"):
            async with session.request(method, url + path, json=asked | {"messages": []}) as answer:
                assert answer.status == 404
        said: list[str] = []
        for body in asked, asked | {"messages": []}:
            async with session.post(f"{url}/agent", json=body) as answer:
                said.append(await answer.text())
        assert said[0] == said[1] and "RUN_FINISHED" in said[0] and prompts == ["one"]


# -- OpenAI's Responses -----------------------------------------------------------------------------------


@asynccontextmanager
async def responses() -> AsyncIterator[tuple[Any, Any]]:
    """The SDK's client, and the module of the example that it asks."""
    openai = pytest.importorskip("openai")
    module = example("ai_responses")
    async with serve(module.make_app()) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            yield client, module


async def left_after(client: Any, prompt: str, number: int) -> str:
    """Ask, and leave after the event with this number; gives the response's id."""
    found = ""
    async with await client.responses.create(model="m", input=prompt, background=True, stream=True) as stream:
        async for event in stream:
            if event.type == "response.created":
                found = event.response.id
            if event.sequence_number == number:
                break
    return found


@pytest.mark.parametrize("moment", ["while it runs", "when it is over"])
async def test_a_response_goes_on_without_its_client_which_comes_back_to_where_it_was(moment: str) -> None:
    async with responses() as (client, module), asyncio.timeout(30):
        (prompts, gate), asked = counted(module), words(10)
        response = await left_after(client, asked, 4)
        state = await client.responses.retrieve(response)
        assert state.status == "in_progress"
        gate.set()
        while moment == "when it is over" and state.status != "completed":
            await asyncio.sleep(0.05)
            state = await client.responses.retrieve(response)
        events = [e async for e in await client.responses.retrieve(response, stream=True, starting_after=4)]
        assert [event.sequence_number for event in events] == list(range(5, 13))
        assert "".join(e.delta for e in events[:-1]) == words(10).removeprefix("w0 w1 w2 ") + " "
        assert events[-1].type == "response.completed" and events[-1].response.output_text == asked + " "
        again = [event async for event in await client.responses.retrieve(response, stream=True)]
        assert [event.sequence_number for event in again] == list(range(13))
        whole = await client.responses.retrieve(response)
        assert (whole.status, whole.output_text, prompts) == ("completed", asked + " ", [asked])


async def test_a_response_is_cancelled_for_every_reader() -> None:
    async with responses() as (client, _), asyncio.timeout(30):
        response = await left_after(client, LONG, 3)
        reader = await client.responses.retrieve(response, stream=True, starting_after=3)
        assert (await client.responses.cancel(response)).status == "cancelled"
        assert [event.type async for event in reader].count("response.completed") == 0
        cancelled = await client.responses.retrieve(response)
        assert cancelled.status == "cancelled" and cancelled.output_text.startswith("word word ")


async def test_a_response_that_failed_says_so_and_not_why_and_one_that_never_was_is_not_found() -> None:
    openai = pytest.importorskip("openai")
    async with responses() as (client, module), asyncio.timeout(30):
        module.model = broken
        with pytest.raises(openai.APIError, match="The model failed") as told:
            await left_after(client, "prompt", 99)
        assert "secret" not in str(told.value)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("none")
