"""The clients that a test of this folder drives, with one interface: the received events, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..conftest import require

DRIVERS = Path(__file__).parent / "drivers"
PATIENCE = 30.0


@dataclass
class Seen:
    """What a client made of a stream.

    Attributes:
        pieces: of the answer, as they came.
        whole: the answer that the client took for complete, if it did.
        error: what it raised, if it did.
        left: whether it left.
    """

    pieces: list[str] = field(default_factory=list)
    whole: str | None = None
    error: str | None = None
    left: bool = False


OnPiece = Callable[[Seen], None]


async def node(
    folder: Path, driver: str, url: str, prompt: str, leave_after: int = 0, on_piece: OnPiece | None = None
) -> Seen:
    """Run one of the drivers in Node, in a folder where its packages are.

    Args:
        folder: with the packages and the drivers.
        driver: its name.
        url: the server.
        prompt: for the model.
        leave_after: the number of pieces after which the client leaves, 0 for never.
        on_piece: called for each piece.
    """
    process = await asyncio.create_subprocess_exec(
        require("node"), str(folder / f"{driver}.mjs"), url, prompt, str(leave_after),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    seen = Seen()
    try:
        async with asyncio.timeout(PATIENCE):
            async for line in process.stdout:
                told: dict[str, Any] = json.loads(line)
                if "piece" in told:
                    seen.pieces.append(told["piece"])
                    if on_piece is not None:
                        on_piece(seen)
                else:
                    vars(seen).update(told)
            trouble = (await process.stderr.read()).decode()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert seen.left or seen.error is not None or seen.whole is not None, f"{driver} said no end: {trouble}"
    return seen


async def python(
    stream: AsyncGenerator[str, None], leave_after: int = 0, on_piece: OnPiece | None = None
) -> Seen:
    """Read the answer that a Python client streams; what it raises is its end."""
    seen = Seen()
    try:
        async with asyncio.timeout(PATIENCE):
            async for text in stream:
                seen.pieces.append(text)
                if on_piece is not None:
                    on_piece(seen)
                if len(seen.pieces) == leave_after:
                    seen.left = True
                    break
            else:
                seen.whole = "".join(seen.pieces)
    except TimeoutError:
        raise
    except Exception as error:
        seen.error = f"{type(error).__name__}: {error}"
    await stream.aclose()
    return seen


async def openai_chat(url: str, prompt: str) -> AsyncGenerator[str, None]:
    """PyPI's `openai`, Chat Completions."""
    import openai

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": prompt}]
        async with await client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
            async for chunk in stream:
                if text := chunk.choices[0].delta.content:
                    yield text


async def anthropic_messages(url: str, prompt: str) -> AsyncGenerator[str, None]:
    """PyPI's `anthropic`, Messages."""
    import anthropic

    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": prompt}]
        async with client.messages.stream(model="m", max_tokens=9, messages=messages) as stream:
            async for text in stream.text_stream:
                yield text
            assert (await stream.get_final_message()).stop_reason == "end_turn"
