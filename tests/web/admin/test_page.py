"""The page in Chromium: what it shows, what it does, and how it fits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from tests.devtools import Tab, browsing
from tests.pictures import photograph, show
from tests.web.admin.scene import application, busy, progress

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LIVE = "!document.querySelector('#state').textContent && document.querySelectorAll('#streams tr').length > 1"
WIDE = """[...document.querySelectorAll('body *')]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 200))"""
NARROW = """document.documentElement.scrollWidth <= innerWidth"""
TEXT = "document.querySelector('%s').textContent"


@asynccontextmanager
async def opened(
    chromium: str, app: web.Application, path: str = "/admin/"
) -> AsyncIterator[tuple[str, Tab]]:
    async with serve(app) as url, browsing(chromium) as browser:
        tab = await browser.open(url + path)
        await tab.until(LIVE)
        yield url, tab


async def press(tab: Tab, key: str, code: int = 0, text: str = "") -> None:
    options = {"key": key, "windowsVirtualKeyCode": code}
    await tab.call("Input.dispatchKeyEvent", type="keyDown", text=text, **options)
    await tab.call("Input.dispatchKeyEvent", type="keyUp", **options)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [390, 1280])
async def test_a_busy_application_fits_the_window_in_both_themes(
    width: int, chromium: str, tmp_path: Path
) -> None:
    bus = rx_sse.MemoryBus()
    async with busy(application(bus, scope=None), bus) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        shots: set[bytes] = set()
        for theme in ("light", "dark"):
            await show(tab, f"{url}/admin/", width=width, theme=theme)
            await tab.until("document.querySelectorAll('#streams tbody tr').length == 25")
            await tab.until("document.querySelectorAll('#streams .badge.bad:not([hidden])').length >= 3")
            await tab.until("document.querySelector('#tiles path.line').getAttribute('d')")
            await tab.run("[...document.querySelectorAll('#topics [data-part=follow]')][0].click()")
            await tab.until("document.querySelectorAll('#entries li').length > 20")
            assert await tab.run(WIDE) == [] and await tab.run(NARROW)
            await photograph(tab, tmp_path / "page.png", width)
            shots.add((tmp_path / "page.png").read_bytes())
        assert len(shots) == 2 and all(shot.startswith(b"\x89PNG") for shot in shots)
        assert await tab.run("document.querySelectorAll('#runs tbody tr').length") == 4
        assert await tab.run("document.querySelectorAll('#topics tbody tr').length") >= 6


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [390, 1280])
async def test_names_that_are_long_or_hostile_are_text_and_do_not_widen_the_page(
    width: int, chromium: str
) -> None:
    bus = rx_sse.MemoryBus()
    name = '<img src=x onerror="document.title=1">' + "W" * 180
    topic = "orders:" + "w" * 240
    async with serve(application(bus, scope=None)) as url, browsing(chromium) as browser:
        async with open_stream(url, f"/orders/{'w' * 240}?user={quote(name)}"):
            tab = await browser.open("about:blank")
            await show(tab, f"{url}/admin/", width=width)
            await tab.until(LIVE + " && document.querySelectorAll('#topics tbody tr').length == 1")
            await tab.run("document.querySelector('#topics [data-part=follow]').click()")
            await tab.until(TEXT % "#debugger-note" + ".includes('0 entries')")
            data = "<script>document.title=2</script>" + "\u202e" + "W" * 5_000
            await bus.publish(topic, data, event="<b>" + "e" * 200)
            await tab.until("document.querySelectorAll('#entries li').length == 1")
            assert "\\u202e" in await tab.run(TEXT % "#entries pre")
            assert name[:60] in await tab.run(TEXT % "#streams")
            assert (
                await tab.run(
                    "document.querySelectorAll('table img, #entries script, #entries p b b').length"
                )
                == 0
            )
            assert await tab.run("document.title") == "rx_sse admin"
            assert await tab.run(WIDE) == [] and await tab.run(NARROW)


async def test_the_policy_of_the_page_refuses_nothing_that_the_page_needs(chromium: str) -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, scope=None)) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        await tab.call(
            "Page.addScriptToEvaluateOnNewDocument",
            source="globalThis.refused = []; addEventListener('securitypolicyviolation', "
            "(event) => refused.push(event.violatedDirective + ' ' + event.blockedURI));"
            "addEventListener('error', (event) => refused.push(String(event.message)));",
        )
        await tab.call("Page.enable")
        await show(tab, f"{url}/admin/", width=1280)
        await tab.until(LIVE)
        await tab.run("document.querySelector('#follow [name=topic]').value = 'news'")
        await tab.run("document.querySelector('#follow button').click()")
        await tab.until(TEXT % "#debugger-note" + ".includes('entries')")
        assert await tab.run("refused") == []


async def test_a_stream_is_ended_by_the_keyboard_alone_and_the_focus_stays(chromium: str) -> None:
    app = application(rx_sse.MemoryBus(), scope=None)
    async with opened(chromium, app) as (url, tab), open_stream(url, "/orders/a?user=ada") as stream:
        await press(tab, "/", 191, "/")
        assert await tab.run("document.activeElement.name") == "find"
        await tab.call("Input.insertText", text="ada")
        rows = "document.querySelectorAll('#streams tbody tr').length"
        await tab.until(f"{rows} == 1 && {TEXT % '#streams'}.includes('ada')")
        await tab.run("document.querySelector('#streams [data-part=end]').focus()")
        before = await tab.run(TEXT % "#streams tbody td.number")
        await tab.until(f"{TEXT % '#streams tbody td.number'} != '{before}'")
        assert await tab.run("document.activeElement.dataset.part") == "end", "a look does not take the focus"
        await press(tab, "Enter", 13, "\r")
        await tab.until("document.querySelector('#ask').open")
        assert "of ada" in await tab.run(TEXT % "#ask-text")
        await press(tab, "Escape", 27)
        await tab.until("!document.querySelector('#ask').open")
        assert not await stream_ended(app)
        await press(tab, "Enter", 13, "\r")
        await tab.until("document.querySelector('#ask').open && document.activeElement.value == 'yes'")
        await press(tab, "Enter", 13, "\r")
        await tab.until(f"{TEXT % '#said'}.includes('ended GET /orders/a of ada')")
        assert await stream.ended()
        await tab.until(TEXT % "#streams caption" + ".includes('No open stream fits')")


async def stream_ended(app: web.Application) -> int:
    return app[REGISTRY].stats().ended.get("operator", 0)


async def test_a_run_is_stopped_and_a_user_revoked_from_the_page(chromium: str) -> None:
    bus = rx_sse.MemoryBus()
    app = application(bus, scope=None)
    async with opened(chromium, app) as (url, tab), open_stream(url, "/orders/a?user=ada") as stream:
        await bus.run("long", lambda: progress(10_000, 0.2))
        await tab.until("document.querySelectorAll('#runs [data-part=stop]:not([hidden])').length == 1")
        await tab.run("document.querySelector('#runs [data-part=stop]').click()")
        await tab.run("document.querySelector('#ask .strong').click()")
        await tab.until(TEXT % "#runs" + ".includes('stopped')")
        await tab.until(
            "[...document.querySelectorAll('#streams tbody tr')].some(tr => tr.row.user == 'ada')"
        )
        await tab.run(
            "[...document.querySelectorAll('#streams tbody tr')].find(tr => tr.row.user == 'ada')"
            ".querySelector('[data-part=revoke]').click()"
        )
        await tab.run("document.querySelector('#ask .strong').click()")
        await tab.until(TEXT % "#said" + ".includes('revoked ada')")
        assert await stream.ended()


async def test_a_topic_is_followed_paused_and_published_to(chromium: str) -> None:
    bus = rx_sse.MemoryBus()
    async with opened(chromium, application(bus, scope=None)) as (_, tab):
        await bus.publish("news", "kept")
        await tab.run("document.querySelector('#follow [name=topic]').value = 'news'")
        await tab.run("document.querySelector('#follow button').click()")
        entries = "[...document.querySelectorAll('#entries pre')].map(pre => pre.textContent)"
        await tab.until(f"{entries}.length == 1")
        await tab.run("document.querySelector('#publish [name=event]').value = 'test'")
        await tab.run("document.querySelector('#publish > button').click()")
        await tab.until(f"{entries}.length == 2")
        assert await tab.run(entries) == ['{\n  "test": true\n}', "kept"]
        await tab.run("document.querySelector('#pause').click()")
        await bus.publish("news", "while it was paused")
        await tab.until(TEXT % "#debugger-note" + ".includes('1 held back')")
        assert len(await tab.run(entries)) == 2
        await tab.run("document.querySelector('#pause').click()")
        await tab.until(f"{entries}[0] == 'while it was paused'")
        await tab.run("document.querySelector('#publish [name=text]').value = '{'")
        await tab.run("document.querySelector('#publish > button').click()")
        await tab.until(TEXT % "#said" + ".includes('publish failed (400): the data is not JSON')")
        assert await tab.run("document.querySelector('#said').className") == "failed"
        await bus.end("news")
        await tab.until(TEXT % "#debugger-note" + ".includes('ended')")


async def test_a_route_is_chosen_and_stays_chosen_over_a_reload(chromium: str) -> None:
    app = application(rx_sse.MemoryBus(), scope=None)
    async with opened(chromium, app) as (url, tab), open_stream(url, "/ticks"), open_stream(url, "/ticks"):
        await tab.until(
            "[...document.querySelectorAll('#routes button')].some(b => b.textContent == 'GET /ticks')"
        )
        find = "[...document.querySelectorAll('#routes button')].find(b => b.textContent == 'GET /ticks')"
        await tab.run(f"{find}.click()")
        rows = "[...document.querySelectorAll('#streams tbody tr')].map(tr => tr.row.path)"
        await tab.until(f"{rows}.join() == 'GET /ticks,GET /ticks'")
        await tab.call("Page.reload")
        await tab.until(f"{rows}.join() == 'GET /ticks,GET /ticks'")
        await tab.run("document.querySelector('#route-filter').click()")
        await tab.until(f"{rows}.length == 3")


async def test_the_topic_and_the_user_of_a_stream_are_searched_for_by_a_click(chromium: str) -> None:
    app = application(rx_sse.MemoryBus(), scope=None)
    async with opened(chromium, app) as (url, tab):
        async with open_stream(url, "/orders/a?user=ada"), open_stream(url, "/orders/a?user=ben"):
            users = "[...document.querySelectorAll('#streams tbody tr')].map(tr => tr.row.user).sort().join()"
            await tab.until(f"{users} == 'ada,ben,'")
            await tab.run("document.querySelector('#streams .topics button:not([hidden])').click()")
            await tab.until(f"{users} == 'ada,ben'")
            assert await tab.run("document.querySelector('#search input').value") == "orders:a"
            await tab.run("document.querySelector('#streams .name button:not([hidden])').click()")
            await tab.until(f"['ada', 'ben'].includes({users})")


async def test_a_viewer_without_the_scope_reads_why_and_has_no_buttons(chromium: str) -> None:
    async with opened(chromium, application(rx_sse.MemoryBus())) as (url, tab):
        async with open_stream(url, "/orders/a?user=ada"):
            await tab.until(TEXT % "#streams" + ".includes('ada')")
            assert await tab.run("document.querySelectorAll('td.actions button:not([hidden])').length") == 0
            assert "scope “admin”" in await tab.run(TEXT % "#locked")
            assert await tab.run("document.querySelector('#debugger').hidden")


async def test_a_server_that_is_gone_makes_the_page_old_and_an_action_says_so(chromium: str) -> None:
    async with browsing(chromium) as browser:
        async with serve(application(rx_sse.MemoryBus(), scope=None)) as url:
            tab = await browser.open(f"{url}/admin/")
            await tab.until(LIVE)
        await tab.until("document.body.classList.contains('old')")
        assert "what you see is old" in await tab.run(TEXT % "#stale")
        await tab.run("document.querySelector('#follow [name=topic]').value = 'news'")
        await tab.run("document.querySelector('#publish > button').click()")
        await tab.until(TEXT % "#said" + ".includes('cannot be reached')")
