"""The files of the chat page, as browsers and others get them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from llmgate.daemon import page

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def client_of(directory: Path) -> httpx.AsyncClient:
    built = page.load(directory)
    app = Starlette(routes=[Route("/", built.root), *(Route(f"/{name}", built.file) for name in built.names)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><p>page")
    (tmp_path / "assets" / "main-x1.js").write_text("'plain'")
    (tmp_path / "assets" / "main-x1.js.br").write_bytes(b"brotli")
    (tmp_path / "assets" / "main-x1.js.gz").write_bytes(b"zipped")
    return tmp_path


async def test_who_can_show_a_page_gets_it_and_who_asks_for_a_server_is_told(built: Path) -> None:
    async with client_of(built) as client:
        shown = await client.get("/", headers=BROWSER)
        assert (shown.status_code, shown.text) == (200, "<!doctype html><p>page")
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert shown.headers["cache-control"] == "no-cache"
        assert "script-src 'self';" in shown.headers["content-security-policy"]
        assert "unsafe" not in shown.headers["content-security-policy"]
        assert shown.headers["x-content-type-options"] == "nosniff"
        told = await client.get("/")
        assert (told.status_code, told.text) == (200, "llmgate is running")
        assert "accept" in told.headers["vary"]


async def test_files_named_after_their_content_are_kept_for_good_and_sent_packed(built: Path) -> None:
    async with client_of(built) as client:
        for accepted, encoding in (("gzip, deflate, br", "br"), ("gzip", "gzip"), ("identity", None)):
            async with client.stream("GET", "/assets/main-x1.js", headers={"accept-encoding": accepted}) as answer:
                body = b"".join([part async for part in answer.aiter_raw()])
            assert answer.headers.get("content-encoding") == encoding
            assert body == {"br": b"brotli", "gzip": b"zipped", None: b"'plain'"}[encoding]
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["vary"] == "accept-encoding"


async def test_what_a_browser_has_already_is_not_sent_again(built: Path) -> None:
    async with client_of(built) as client:
        first = await client.get("/", headers=BROWSER)
        again = await client.get("/", headers={**BROWSER, "if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        (built / "index.html").write_text("<!doctype html><p>another")
    async with client_of(built) as client:
        changed = await client.get("/", headers={**BROWSER, "if-none-match": first.headers["etag"]})
        assert changed.status_code == 200


async def test_packed_files_and_what_is_not_there_have_no_path_of_their_own(built: Path) -> None:
    async with client_of(built) as client:
        for path in ("/assets/main-x1.js.gz", "/index.html", "/assets/", "/assets/../index.html", "/%2e%2e/secret"):
            assert (await client.get(path, headers=BROWSER)).status_code == 404, path


async def test_a_copy_without_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        answer = await client.get("/", headers=BROWSER)
        assert answer.status_code == 503
        assert "make page" in answer.text
        assert (await client.get("/")).text == "llmgate is running"
