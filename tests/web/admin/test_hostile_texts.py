"""The admin page in Chromium, with texts that would act if they were taken for markup (CWE-79)."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.hostile.texts import TEXTS, hunted, shown, unharmed
from tests.web.admin.scene import user_of

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LIVE = "!document.querySelector('#state').textContent && document.querySelectorAll('#streams tr').length > 1"


def application(bus: rx_sse.Bus) -> web.Application:
    """A stream for each path and user, and the page for all."""
    app = rx_sse.setup(web.Application(), bus=bus)

    @rx_sse.sse(auth=user_of)
    def stream(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        topic = rx_sse.topic_name("t", request.match_info["name"])
        return bus.events(topic, after=rx_sse.last_event_id(request))

    app.router.add_get("/t/{name:.+}", stream)
    app.add_subapp("/admin", rx_sse.admin_app(scope=None))
    return app


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policy", [True, False], ids=["policy", "no policy"])
async def test_what_clients_publishers_and_links_bring_is_text(policy: bool, chromium: str) -> None:
    bus = rx_sse.MemoryBus()
    async with (
        serve(application(bus)) as url,
        hunted(chromium, policy=policy) as tab,
        AsyncExitStack() as stack,
    ):
        for text in TEXTS:  # users and paths of streams, those that have ended included
            path = f"/t/{quote(text, safe='')}?user={quote(text)}"
            async with open_stream(url, path):
                pass
            await stack.enter_async_context(open_stream(url, path))
            with pytest.raises(rx_sse.StreamError):
                failing = rx.throw(rx_sse.StreamError(text, title=text))
                await (await bus.run(rx_sse.topic_name("run", text), failing)).result()
        query = "&".join(f"{name}={quote(TEXTS[0])}" for name in ("route", "sort", "rows", "x"))
        await tab.call("Page.navigate", url=f"{url}/admin/?{query}#{quote(TEXTS[0])}")
        await tab.until("!document.querySelector('#state').textContent")
        assert TEXTS[0] in await tab.run("document.querySelector('#route-filter').textContent")
        await unharmed(tab)
        await tab.call("Page.navigate", url=f"{url}/admin/?rows=100")
        await tab.until(LIVE)
        escaped = [text for text in TEXTS if text.isascii()]
        for table in ("#streams", "#ended"):
            await tab.until(shown(*escaped, where=f"document.querySelector('{table}')"))
        rows, text = "[...document.querySelectorAll('#streams tr')]", json.dumps(TEXTS[0])
        row = f"{rows}.find((row) => row.textContent.includes({text}))"
        await tab.run(f"{row}.querySelector('[data-part=revoke]').click()")
        await tab.until("document.querySelector('#ask').open")  # what it asks has the user's name
        assert TEXTS[0] in await tab.run("document.querySelector('#ask').textContent")
        await tab.run("document.querySelector('#ask button').click()")
        await tab.run("document.querySelector('#follow [name=topic]').value = 'orders'")
        await tab.run("document.querySelector('#follow button').click()")
        await tab.until("document.querySelector('#debugger-note').textContent.includes('0 entries')")
        for text in TEXTS:  # events: names and data
            await bus.publish("orders", text, event=text.replace("\x85", ""))
            await bus.publish("orders", {text: [text]})
        await tab.until(f"document.querySelectorAll('#entries li').length == {2 * len(TEXTS)}")
        await tab.until(shown(TEXTS[0], where="document.querySelector('#entries')"))
        await unharmed(tab)
        for field, text in (
            ("#publish [name=event]", "stream-" + TEXTS[0]),
            ("#follow [name=topic]", TEXTS[0]),
            ("#follow [name=topic]", TEXTS[1]),
        ):
            await tab.run(f"document.querySelector('{field}').value = {json.dumps(text)}")
            await tab.run("document.querySelector('#publish button').click()")  # refused, in words
            await tab.until("document.querySelector('#said').className == 'failed'")
            await tab.until(shown("failed (4", where="document.querySelector('#said')"))
            await unharmed(tab)
