"""Pages of other sites in the browser of somebody who has logged in, or whose address is whitelisted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from llmgate.daemon.auth import credentials
from llmgate.daemon.chat import websocket
from tests.admin.harness import PASSWORD, Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import OWN_ORIGIN, USERS, WHITELISTED, logged_in, name, whitelisted
from tests.gateway.harness import CHAT

METHODS = ("POST", "PUT", "PATCH", "DELETE")
SITES = (None, "cross-site", "same-site", "none, same-origin", "SAME-ORIGIN")
ORIGINS = (
    None, "null", "https://evil.example", f"{OWN_ORIGIN}.evil.example", "http://127.0.0.1:11", "https://127.0.0.1:1",
    f"{OWN_ORIGIN}@evil.example", f"http://evil.example/{OWN_ORIGIN}", "http://localhost.evil.example:1", "",
)  # fmt: skip
CONTENT_TYPES = ("application/json", "text/plain", "application/x-www-form-urlencoded", None)
"""The second and third are what a form can send without being asked whether it may."""


def told(site: str | None, origin: str | None, content_type: str | None) -> dict[str, str]:
    """The headers by which a browser tells whose page asks."""
    headers = {"sec-fetch-site": site, "origin": origin, "content-type": content_type}
    return {key: value for key, value in headers.items() if value is not None}


async def cookie_of(site: Site, who: str = "root") -> dict[str, str]:
    answer = await site.login(who, cookie=True)
    jar = "; ".join(f"{key}={value}" for key, value in answer.cookies.items())
    site.nobody.cookies.clear()  # or the client would send it with everything
    return {"cookie": jar}


async def cross_site_requests(site: Site) -> None:
    """Every method, by every page that is not ours, with every kind of body: with the administrator's cookie."""
    cookie = await cookie_of(site)
    made = name("eve")
    paths = {"POST": USERS, "PUT": f"{USERS}/ada/password", "PATCH": f"{USERS}/ada", "DELETE": f"{USERS}/ada"}
    bodies = {"POST": f'{{"name":"{made}","password":"{PASSWORD}"}}', "PUT": '{"password":"a stranger\'s"}'}
    for method, where, origin, kind in itertools.product(METHODS, SITES, ORIGINS, CONTENT_TYPES):
        headers = {**cookie, **told(where, origin, kind)}
        answer = await site.nobody.request(method, paths[method], content=bodies.get(method, "{}"), headers=headers)
        repelled(answer.status_code == 403, f"{method} with {told(where, origin, kind)}: {answer.status_code}")
    assert (await site.admin.get(f"{USERS}/{made}")).status_code == 404
    answer = await site.nobody.get(USERS, headers={**cookie, **told("cross-site", ORIGINS[2], None)})
    shared = {key for key in answer.headers if key.startswith("access-control-")}
    repelled(not shared, f"another site may read the answer: {shared}")


async def renewal_by_another_page(site: Site) -> None:
    """Who renews a session for its owner ends it, when the owner's page comes with the old token."""
    cookie = await cookie_of(site, "ada")
    for where, origin in itertools.product(SITES, ORIGINS):
        answer = await site.nobody.post("/gate/auth/refresh", headers={**cookie, **told(where, origin, None)})
        repelled(answer.status_code == 403, f"a page of {origin} renewed a session")


async def spending_a_whitelisted_address(site: Site) -> None:
    """An address proves itself by nobody's doing: a page of another site must not spend it."""
    here = {"x-forwarded-for": WHITELISTED}
    async with whitelisted(site):
        answer = await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=here)
        assert answer.status_code == 200, answer.text
        for path, kind in itertools.product(("/api/chat", "/v1/chat/completions"), ("application/json", "text/plain")):
            for page in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
                headers = {**here, **page, "content-type": kind}
                answer = await site.nobody.post(path, json={**CHAT, "stream": False}, headers=headers)
                repelled(answer.status_code == 403, f"{path} with {page}: {answer.status_code}")


async def logging_a_victim_in(site: Site) -> None:
    """A form of another page, whose text happens to be JSON, logs the victim's browser in as the attacker."""
    body = f'{{"name":"ada","cookie":true,"password":"{PASSWORD}"}}'
    for kind in CONTENT_TYPES[1:]:
        headers = told("cross-site", "https://evil.example", kind)
        answer = await site.nobody.post("/gate/auth/login", content=body, headers=headers)
        repelled("set-cookie" not in answer.headers, f"a form with {kind} has logged somebody in")
    assert (await site.login("ada", cookie=True)).headers.get("set-cookie")
    site.nobody.cookies.clear()


def every_page_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "may_change_state", lambda *_: True)


def no_page_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "is_foreign_page", lambda *_: False)


def every_body_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What FastAPI did before it looked at the content type."""
    headers = Request.headers.fget  # type: ignore[attr-defined]  # a property's function

    def as_json(self: Request) -> Any:
        found = headers(self)
        return type(found)({**found, "content-type": "application/json"})

    monkeypatch.setattr(Request, "headers", property(as_json))


# -- WebSockets ---------------------------------------------------------------------------------------


async def greeting(site: Site, headers: list[tuple[str, str]], host: str | None = None) -> str:
    """What the daemon says first over a socket that is opened like this; ``host`` is the name that leads there."""
    address, port = "127.0.0.1", int(site.url.rpartition(":")[2])
    url = f"ws://{host or f'{address}:{port}'}/gate/ws"
    try:
        async with connect(url, additional_headers=headers, host=address, port=port, proxy=None) as socket:
            return str(await socket.recv())
    except InvalidStatus as refusal:
        return f"refused with {refusal.response.status_code}"
    except ConnectionClosed as closed:
        return f"closed with {closed.code}"


async def socket_of_another_page(site: Site) -> None:
    cookie = await cookie_of(site, "ada")
    assert "hello" in await greeting(site, [("origin", OWN_ORIGIN), *cookie.items()]), "our own page gets in"
    strange = [[("origin", origin)] for origin in ORIGINS if origin is not None]
    strange += [[("origin", OWN_ORIGIN), ("origin", "https://evil.example")]]
    strange += [[("origin", "https://evil.example"), ("origin", OWN_ORIGIN)]]
    for origins in strange:
        said = await greeting(site, [*origins, *cookie.items()])
        repelled("hello" not in said, f"a page of {origins} has opened a socket")


async def socket_of_a_rebound_name(site: Site) -> None:
    """DNS rebinding: the attacker's name leads here, so that Host and Origin agree with each other."""
    cookie = await cookie_of(site, "ada")
    port = site.url.rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"127.0.0.1.nip.example:{port}",
    ):
        said = await greeting(site, [("origin", f"http://{host}"), *cookie.items()], host)
        repelled("hello" not in said, f"a page of the name {host} has opened a socket")


async def socket_without_a_page(site: Site) -> None:
    """Every browser tells the origin. What does not is no page, and has no business with a cookie."""
    said = await greeting(site, list((await cookie_of(site, "ada")).items()))
    repelled("hello" not in said, "a cookie was enough")
    token = (await logged_in(site, "ada"))["access_token"]
    assert "hello" in await greeting(site, [("authorization", f"Bearer {token}")]), "a program gets in"


def any_page_opens_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "is_our_page", lambda *_: True)


def same_host_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(origins: list[str], headers: credentials.Headers, _server: object) -> bool:
        hosts = [value.decode() for key, value in headers if key == b"host"]
        return origins == [f"http://{hosts[0]}"]

    monkeypatch.setattr(websocket, "is_our_page", same)


def no_origin_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    origins: Callable[[Any], list[str]] = websocket._origins
    monkeypatch.setattr(websocket, "_origins", lambda scope: origins(scope) or [OWN_ORIGIN])


ATTACKS: list[Attack[Site]] = [
    Attack(
        "cross-site requests", cross_site_requests, every_page_is_ours, "Sec-Fetch-Site, else Origin, with a cookie"
    ),
    Attack("renewal by another page", renewal_by_another_page, every_page_is_ours, "the same for the refresh cookie"),
    Attack(
        "spending a whitelisted address", spending_a_whitelisted_address, no_page_is_foreign, "the same for addresses"
    ),
    Attack("logging a victim in", logging_a_victim_in, every_body_is_json, "bodies are JSON by their content type"),
    Attack("socket of another page", socket_of_another_page, any_page_opens_sockets, "the Origin of WebSockets"),
    Attack("socket of a rebound name", socket_of_a_rebound_name, same_host_is_enough, "Origin = public_url, not Host"),
    Attack("socket without a page", socket_without_a_page, no_origin_is_ours, "without Origin no cookie"),
]
