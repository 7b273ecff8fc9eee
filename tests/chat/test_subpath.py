"""The page below a path, https://llm.example/ai/, behind a proxy that takes the path away and one that does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from llmgate.config import ServerSettings
from llmgate.daemon import page
from llmgate.urls import fault_of_public_url
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.gateway.harness import CHAT

PUBLIC = "https://llm.example/ai/"
OWN_PAGE = {"sec-fetch-site": "same-origin"}
BROWSER = {"accept": "text/html,*/*;q=0.8"}


class Proxy(httpx.AsyncBaseTransport):
    """Hands requests for the public URL on to the gateway; ``strips`` takes the path in front away."""

    def __init__(self, site: Site, *, strips: bool) -> None:
        self._site = site
        self._strips = strips

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raw = request.url.raw_path
        target = raw.removeprefix(b"/ai") if self._strips else raw
        url = httpx.URL(self._site.url).copy_with(raw_path=target)
        sent = httpx.Request(request.method, url, headers=request.headers, content=await request.aread())
        answer = await self._site.nobody.send(sent)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@asynccontextmanager
async def browser_of(site: Site, *, strips: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a cookie jar, as a browser on the public URL has one."""
    async with httpx.AsyncClient(transport=Proxy(site, strips=strips), base_url=PUBLIC, headers=OWN_PAGE) as client:
        yield client


@pytest.fixture(params=[True, False], ids=["strips", "hands on"])
def strips(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "static"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text("<!doctype html><p>page")
    (directory / "assets" / "main-x1.js").write_text("'script'")
    monkeypatch.setattr(page.load, "__defaults__", (directory,))


@pytest.fixture
async def site(tmp_path: Path, built: None) -> AsyncIterator[Site]:
    server = ServerSettings(port=0, drain_seconds=5, public_url=PUBLIC)
    async with run_site(tmp_path / "state", server=server) as running:
        yield running


async def test_a_browser_logs_in_stays_logged_in_and_logs_out(site: Site, strips: bool) -> None:
    async with browser_of(site, strips=strips) as browser:
        body = {"name": "ada", "password": PASSWORD, "cookie": True}
        answer = await browser.post("gate/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        paths = {cookie.name: cookie.path for cookie in browser.cookies.jar}
        assert paths == {"__Host-llmgate": "/", "__Secure-llmgate-refresh": "/ai/gate/auth"}
        assert (await browser.get("gate/auth/me")).json()["name"] == "ada"
        browser.cookies.delete("__Host-llmgate")  # its fifteen minutes are over
        problem(await browser.get("gate/auth/me"), 401, "unauthenticated")
        assert (await browser.post("gate/auth/refresh")).status_code == 200
        assert (await browser.get("gate/auth/me")).json()["name"] == "ada"
        assert (await browser.post("gate/auth/logout")).status_code == 204
        assert len(browser.cookies.jar) == 0


async def test_the_refresh_token_goes_nowhere_else(site: Site, strips: bool) -> None:
    async with browser_of(site, strips=strips) as browser:
        await browser.post("gate/auth/login", json={"name": "ada", "password": PASSWORD, "cookie": True})
        for path, is_sent in (("gate/auth/refresh", True), ("gate/models", False), ("/gate/auth/refresh", False)):
            request = browser.build_request("GET", httpx.URL(PUBLIC).join(path))
            assert ("__Secure-llmgate-refresh" in request.headers.get("cookie", "")) is is_sent, path


async def test_everything_is_found_below_the_path(site: Site, strips: bool) -> None:
    async with browser_of(site, strips=strips) as browser:
        shown = await browser.get("", headers=BROWSER)
        assert (shown.status_code, shown.text) == (200, "<!doctype html><p>page")
        assert (await browser.get("assets/main-x1.js")).text == "'script'"
        assert (await browser.get("gate/about")).json()["cookies"] is True
        assert (await browser.get("health/live")).json() == {"status": "live"}
        key = {"x-api-key": site.gateway.key}
        answer = await browser.post("api/chat", json={**CHAT, "stream": False}, headers=key)
        assert answer.status_code == 200, answer.text
        assert len((await browser.get("v1/models", headers=key)).json()["data"]) == 1
        admin = {"authorization": site.admin.headers["authorization"]}
        assert (await browser.get("admin/v1/users/ada", headers=admin)).json()["name"] == "ada"
        missing = await browser.get("gate/nothing-here")
        problem(missing, 404, "route_not_found")


async def test_a_websocket_opens_below_the_path_with_the_sessions_cookie(site: Site, strips: bool) -> None:
    cookie = (await site.login("ada", cookie=True)).headers.get_list("set-cookie")[0].partition(";")[0]
    url = site.url.replace("http", "ws") + ("/gate/ws" if strips else "/ai/gate/ws")
    headers = {"cookie": cookie}
    async with connect(url, origin=Origin("https://llm.example"), additional_headers=headers, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "hello"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, origin=Origin("https://evil.example"), additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == 403


async def test_without_the_slash_the_page_is_sent_to_it(site: Site) -> None:
    async with browser_of(site, strips=False) as browser:
        answer = await browser.get("/ai", headers=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (307, "/ai/")
        for other in ("/aid", "/aid/gate/about", "/ai/ai/gate/about"):
            assert (await browser.get(httpx.URL(PUBLIC).join(other))).status_code == 404, other


async def test_the_path_in_front_opens_nothing(site: Site, strips: bool) -> None:
    async with browser_of(site, strips=strips) as browser:
        problem(await browser.get("admin/v1/users"), 401, "unauthenticated")
        assert (await browser.post("api/chat", json=CHAT)).status_code == 401
        assert (await browser.get("metrics")).status_code == 401
        for odd in ("../admin/v1/users", "%2e%2e/admin/v1/users", "gate/..%2f../admin/v1/users"):
            assert (await browser.get(odd)).status_code in (401, 404)


@pytest.mark.parametrize("url", ["", "https://a.example", "http://a.example:8080/", "https://a.example/x/y-z_1.~/"])
def test_a_usable_public_url(url: str) -> None:
    settings = ServerSettings(public_url=url)
    assert settings.public_url == url.rstrip("/")
    assert settings.public_path in ("", "/x/y-z_1.~")


@pytest.mark.parametrize(
    "url",
    [
        "llm.example.com",
        "ftp://llm.example.com",
        "https://",
        "https://[::1",
        "https://user:secret@llm.example",
        "https://llm.example/?x=1",
        "https://llm.example/#x",
        "https://llm.example/a;b",
        "https://llm.example/a%20b",
        "https://llm.example/a//b",
        "https://llm.example/../x",
        "https://llm.example/x/.",
        "https://llm.example/v1",
        "https://llm.example/gate/x",
        "https://llm.example/ai\r\nx: y",
    ],
)
def test_what_is_no_public_url_is_refused_at_the_start(url: str) -> None:
    assert fault_of_public_url(url) is not None
    with pytest.raises(ValueError, match="public_url"):
        ServerSettings(public_url=url)
