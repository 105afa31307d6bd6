"""Texts that would act if a page took them for markup, and a tab in which that is seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..devtools import Tab, browsing

TEXTS = (
    "<img src=x onerror=window.hacked=1>",
    "\"'><script>window.hacked=1</script>",
    "</script></textarea></title><svg onload=window.hacked=1>",
    '<iframe srcdoc="<script>parent.hacked=1</script>"></iframe>',
    "<a href=javascript:window.hacked=1>a</a>",
    "javascript:window.hacked=1//",
    "`${window.hacked=1}` {{constructor.constructor('window.hacked=1')()}}",
    "one\u2028two\u2029three\x85four",
    "\u202edesrever\u2066",
    "&lt;b&gt; &#60;b&#62; %3Cb%3E \\u003cb\\u003e",
)
"""The last is displayed as it is, too: whatever decodes it has made markup of text."""

WATCH = """globalThis.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
addEventListener("error", (event) => refused.push(String(event.message)));
"""
MADE = (
    "[onload], [onerror], img[src=x], iframe, object, embed, base, a[href^='javascript:'], script:not([src])"
)


@asynccontextmanager
async def hunted(chromium: str, *, policy: bool) -> AsyncIterator[Tab]:
    """A tab in which a script that a text would bring may run, without the page's policy; or is seen when the
    policy refuses it."""
    async with browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        await tab.call("Page.enable")
        await tab.call("Page.setBypassCSP", enabled=not policy)
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        yield tab


async def unharmed(tab: Tab) -> None:
    """No text became markup, and no script ran or was refused."""
    assert await tab.run("typeof hacked") == "undefined"
    assert await tab.run(f"document.querySelectorAll({MADE!r}).length") == 0
    assert await tab.run("refused") == []


def shown(*texts: str, where: str = "document.body") -> str:
    """The expression that is true once all texts can be read in a part of the page."""
    return f"{json.dumps(texts)}.every((text) => {where}.textContent.includes(text))"
