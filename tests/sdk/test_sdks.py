"""Official SDKs against handlers of a few lines: an answer, a failure, a shutdown, a client that leaves.

What none of them may do is to take a part for the whole, or to fail on what is whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rx_sse.testing import serve
from rx_sse.web.registry import REGISTRY

from ..conftest import require
from .handlers import LEFT, WORDS, application

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

PACKAGES = ("ai@7.0.173", "openai@7.59.0", "@ag-ui/client@1.0.0", "graphql-sse@2.6.1", "graphql@16.12.0")
WHOLE = "".join(WORDS)

Heard = Callable[[str], None]
Sdk = Callable[[str, str, "Heard | None"], Awaitable[str]]
"""Gets the server's URL, what is to become of the answer, and what hears each piece; an exception that this
raises makes the client leave. Returns what the SDK takes for the whole answer."""


class Left(Exception):
    """The client leaves."""


async def openai_python(url: str, how: str, heard: Heard | None) -> str:
    openai = pytest.importorskip("openai")
    text = ""
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="x", max_retries=0, default_query={"how": how}
    ) as client:
        async with await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "?"}], stream=True
        ) as stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                if heard is not None:
                    heard(text)
    return text


async def anthropic_python(url: str, how: str, heard: Heard | None) -> str:
    anthropic = pytest.importorskip("anthropic")
    async with anthropic.AsyncAnthropic(
        base_url=url, api_key="x", max_retries=0, default_query={"how": how}
    ) as client:
        async with client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]
        ) as stream:
            async for text in stream.text_stream:
                if heard is not None:
                    heard(text)
            return str(await stream.get_final_text())


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds the SDKs."""
    folder = tmp_path_factory.mktemp("sdk")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    subprocess.run(
        [require("npm"), "install", *quiet, "--prefix", str(folder), *PACKAGES], check=True, timeout=180
    )
    script = folder / "client.mjs"
    script.write_text((Path(__file__).parent / "client.mjs").read_text("utf-8"), "utf-8")
    return script


def node(sdk: str, modules: Path) -> Sdk:
    async def call(url: str, how: str, heard: Heard | None) -> str:
        leaves = ["leaves"] if how == "waits" and heard is leave else []
        process = await asyncio.create_subprocess_exec(
            require("node"),
            str(modules),
            sdk,
            url,
            how,
            *leaves,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                kind, text = json.loads(line)
                if kind == "whole":
                    return str(text)
                if kind == "error":
                    raise RuntimeError(text)
                if heard is not None and not leaves:
                    heard(text)
        finally:
            await process.wait()
        raise RuntimeError("it said nothing more")

    return call


SDKS = ["openai (Python)", "anthropic (Python)", "openai", "ai", "ag-ui", "graphql-sse"]


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    if request.param == "openai (Python)":
        return openai_python
    if request.param == "anthropic (Python)":
        return anthropic_python
    return node(request.param, request.getfixturevalue("modules"))


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, web.Application]]:
    app = application()
    async with serve(app) as url, asyncio.timeout(30):
        yield url, app


async def test_a_whole_answer_is_whole(sdk: Sdk) -> None:
    async with serving() as (url, _):
        assert await sdk(url, "whole", None) == WHOLE


async def test_a_failure_in_the_middle_is_no_answer(sdk: Sdk) -> None:
    async with serving() as (url, _):
        with pytest.raises(Exception, match="the model is gone"):
            await sdk(url, "fails", None)


async def test_a_shutdown_in_the_middle_is_no_answer(sdk: Sdk) -> None:
    async with serving() as (url, app):
        closing: list[asyncio.Task[Any]] = []

        def shutdown(text: str) -> None:
            if not closing:
                closing.append(asyncio.create_task(app[REGISTRY].shutdown(app)))

        with pytest.raises(Exception, match="the stream was ended: shutdown"):
            await sdk(url, "waits", shutdown)
        assert closing
        await closing[0]


def leave(text: str) -> None:
    raise Left


async def test_a_client_that_leaves_ends_the_generator(sdk: Sdk) -> None:
    async with serving() as (url, app):
        call = asyncio.ensure_future(sdk(url, "waits", leave))
        await app[LEFT].wait()
        await asyncio.wait([call])
        call.exception()
