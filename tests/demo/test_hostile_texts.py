"""The demo's page in Chromium, with texts that would act if they were taken for markup (CWE-79)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rx_sse
from rx_sse.demo.application import make_app
from rx_sse.demo.live import EVERYONE
from rx_sse.demo.people import topic_of
from rx_sse.testing import serve

from ..devtools import Tab
from ..hostile.texts import TEXTS, hunted, shown, unharmed

pytestmark = [pytest.mark.slow, pytest.mark.browser]

OPEN = "document.querySelector('#live-state').dataset.state == 'open' && !!document.querySelector('article')"
NAMES = tuple(text for text in TEXTS if "/" not in text)
"""Those that a file may have as its name."""


async def send(tab: Tab, form: str, text: str) -> None:
    """Type a text into a form of the page, and send it."""
    await tab.run(
        f"""(() => {{ const form = document.querySelector({form!r}), [field] = form.elements;
        field.value = {json.dumps(text)}; form.querySelector('button').click(); }})()"""
    )
    await tab.until(f"!document.querySelector({form!r}).querySelector('button').disabled")


@pytest.mark.parametrize("policy", [True, False], ids=["policy", "no policy"])
async def test_what_anyone_writes_publishes_or_calls_a_file_is_text(
    policy: bool, chromium: str, tmp_path: Path
) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("x")
    bus = rx_sse.MemoryBus()
    app = make_app(bus, folder=tmp_path, pause=0.0)
    async with serve(app) as url, hunted(chromium, policy=policy) as tab:
        await tab.call("Page.navigate", url=url + "/")
        await tab.until(OPEN)
        for text in TEXTS:  # by the forms of the page
            await send(tab, "#everyone form", text)
            await send(tab, "article form", text)
        await tab.until(shown(*TEXTS, where="document.querySelector('#said')"))
        await tab.until(shown(*TEXTS, where="document.querySelectorAll('article')[1]"))
        for text in TEXTS:  # by whoever may publish: any value, under any name
            await bus.publish(EVERYONE, {"text": f"1 {text}"}, event="said")
            await bus.publish(EVERYONE, {"text": text}, event=f"said{text[:9]}".replace("\n", ""))
            await bus.publish(topic_of("ada"), {"from": f"2 {text}", "to": text, "text": text}, event="ada")
            await bus.publish(topic_of("ada"), f"3 {text}", event="ada")
        await tab.until(shown(*(f"1 {text}" for text in TEXTS), where="document.querySelector('#said')"))
        await tab.until(shown(*(f"{n} {text}" for n in (2, 3) for text in TEXTS)))
        await send(tab, "#job form", "")  # the names of files
        await tab.until("document.querySelector('#job-line').textContent.includes('done')")
        await tab.until(shown(*NAMES, where="document.querySelector('#files')"))
        for text in TEXTS:  # and the text of an error
            await send(tab, "#job form", text)
            await tab.until("!document.querySelector('#failed').hidden")
        await unharmed(tab)
        # What turns the direction of writing does so up to its own end.
        assert await tab.run(
            "[...document.querySelectorAll('#said li')].every((li) => li.firstChild.tagName == 'BDI')"
        )
        await tab.call("Page.reload")  # the same from the history
        await tab.until(OPEN)
        await tab.until(shown(TEXTS[-1], f"3 {TEXTS[-1]}"))
        await unharmed(tab)
