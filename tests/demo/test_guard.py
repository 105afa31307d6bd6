"""Who may talk to the demo, and what it takes from them."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from yarl import URL

from rx_sse.demo.application import make_app
from rx_sse.testing import open_stream, serve
from tests.demo.viewer import SAME, Viewer, demo

OWN = {"Host": "localhost:1", "Origin": "http://localhost:1", "Sec-Fetch-Site": "same-origin"}
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
REBOUND = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


@pytest.mark.parametrize(
    ("headers", "page", "push"),
    [
        ({}, 200, 200),
        (OWN, 200, 200),
        ({"Host": "127.0.0.1:1"}, 200, 200),
        ({"Host": "[::1]:1"}, 200, 200),
        ({"Host": "demo.localhost"}, 200, 200),
        ({"Sec-Fetch-Site": "none"}, 200, 200),
        (REBOUND, 421, 421),
        ({"Host": "localhost.evil.example"}, 421, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421, 421),
        ({"Host": "evil.example"}, 421, 421),
        (CROSS, 403, 403),
        ({"Origin": "null"}, 403, 403),
        ({"Origin": "http://localhost:9"}, 403, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        (LINK, 200, 403),
    ],
)
async def test_only_the_demos_own_pages_may_use_it(headers: dict[str, str], page: int, push: int) -> None:
    async with demo() as url, aiohttp.ClientSession(headers=headers) as session:
        async with session.get(url + "/") as answer:
            assert answer.status == page
        async with session.post(url + "/say", json={"text": "hello"}) as answer:
            assert answer.status == push
        async with session.post(url + "/viewers") as answer:
            assert answer.status == push and (push == 200) is ("Set-Cookie" in answer.headers)


async def test_a_link_from_elsewhere_begins_no_stream() -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        async with viewer.stream(**LINK) as stream:
            assert stream.status == 403


@pytest.mark.parametrize(
    "folder", ["/no/such/folder", "~nobody-here/x", "\0", "a" * 5000, 7, "/", "/etc", "..", "~", "wire/../.."]
)
async def test_a_folder_that_is_none_or_outside_of_the_one_is_a_problem(folder: Any) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        assert "is no folder in" in await viewer.post("job", {"folder": folder}, status=404)


@pytest.mark.parametrize("body", [None, {}, [], "text", 1])
async def test_a_body_without_its_fields_is_a_bad_request(body: Any) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        for route in ("settings", "marble", "job", "send", "/say"):
            await viewer.post(route, body, status=400)


async def test_a_text_that_utf8_cannot_carry_is_a_bad_request() -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        body = dict.fromkeys(("from", "to", "text", "name", "value", "folder", "process"), "\ud800")
        for route in ("settings", "marble", "job", "send", "/say"):
            await viewer.post(route, body, status=400)


@pytest.mark.parametrize(
    "path", ["/nothing.html", "/..%2fapplication.py", "/..%2fstatic%2fpage.js", "/page.py", "/people.css"]
)
async def test_nothing_but_the_page_is_served(path: str) -> None:
    async with open_stream(make_app(), path) as stream:
        assert stream.status == 404


async def test_without_signing_in_a_page_neither_reads_nor_writes() -> None:
    async with demo() as url:
        stranger = Viewer(url, "0" * 32, "")
        async with stranger.stream() as stream:
            assert stream.status == 401
        for route in ("settings", "marble", "job", "send", "cut"):
            await stranger.post(route, {}, status=401)
        await stranger.post("token", {"seconds": 5}, status=401)


async def test_a_browser_is_one_viewer_and_keeps_its_token_until_that_is_replaced() -> None:
    async with (
        demo() as url,
        aiohttp.ClientSession(headers=SAME, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        cookies: dict[str, str] = {}

        async def post(path: str, body: Any = None, status: int = 200) -> Any:
            sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            async with http.post(url + path, json=body, headers=sent) as answer:
                assert answer.status == status, await answer.text()
                cookies.update({name: morsel.value for name, morsel in answer.cookies.items()})
                assert {morsel["path"] for morsel in answer.cookies.values()} <= {"/viewers"}
                return await answer.json() if status == 200 else None

        first = await post("/viewers")
        viewer, token = cookies["rx_sse_demo_viewer"], cookies["rx_sse_demo"]
        assert first == {"viewer": viewer, "seconds": 60}
        assert (await post("/viewers"))["viewer"] == viewer and cookies["rx_sse_demo"] == token, "it is good"
        for seconds, status in ((5, 200), (2, 400), (61, 400), ("5", 400), (None, 400), (True, 400)):
            await post(f"/viewers/{viewer}/token", {"seconds": seconds}, status)
        assert cookies["rx_sse_demo"] != token and 1 < (await post("/viewers"))["seconds"] <= 5
        cookies["rx_sse_demo"] = "no token"
        assert await post("/viewers") == first, "the same viewer has a new token"
        token = cookies["rx_sse_demo"]
        cookies.clear()
        assert (await post("/viewers"))["viewer"] != viewer
        cookies["rx_sse_demo_viewer"] = viewer
        assert await post("/viewers") == first, "and not the one that the token names"
        cookies["rx_sse_demo_viewer"] = "../" + viewer
        assert (await post("/viewers"))["viewer"] not in (viewer, "../" + viewer)


async def test_documents_of_a_clone_are_served_and_nothing_beside_them() -> None:
    async with serve(make_app()) as url, aiohttp.ClientSession(headers=SAME) as session:
        for name, status in (("index.md", 200), ("demo.png", 404), ("no.md", 404), ("..%2fREADME.md", 404)):
            async with session.get(URL(f"{url}/docs/{name}", encoded=True)) as answer:
                assert answer.status == status, name
                if status == 200:
                    assert answer.content_type == "text/html"
                    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                    assert '<a href="/docs/quick-start.md">Quick start</a>' in await answer.text()
        async with session.get(f"{url}/admin/") as answer:
            assert answer.status == 200 and 'data-act="yes"' in await answer.text()


async def test_a_message_goes_only_from_and_to_people_that_exist() -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        await viewer.post("send", {"from": "eve", "to": "ben", "text": "hello"}, status=403)
        await viewer.post("send", {"from": "ada", "to": "eve", "text": "hello"}, status=404)
