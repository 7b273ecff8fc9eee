"""What takes long ends when its caller loses the right to it: also exports, pictures, tables and pulls, and also for
one who reads slowly. Each kind of answer that there is is covered, or short."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route, WebSocketRoute

import llmgate.daemon
from llmgate.daemon import outgoing
from llmgate.daemon.admin import spreadsheet
from llmgate.daemon.app import Application
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.auth.tokens import AccessTokens
from llmgate.daemon.catalogue import ReadRoute
from llmgate.daemon.chat.websocket import ChatEndpoint
from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.http import GatewayProtocol
from llmgate.daemon.management import ManagementRoute
from llmgate.daemon.store import keys, usage_sums, users
from llmgate.errors import AuthenticationFailed
from tests.admin.harness import PASSWORD, Site, run_site
from tests.chat.keeping import begun, exchange
from tests.fakes import Script
from tests.gateway.harness import CHAT, lines_of

PROMISED = 5.0
PICTURE = 4_000_000
EXPORT = "/gate/conversations/export"

Headers = dict[str, str]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("llmgate.daemon.revocation.POLL_SECONDS", 1000.0)  # its first look takes nothing for granted
    async with run_site(tmp_path / "state") as running:
        yield running


class SlowReader:
    """A client that takes a little, and later, if anything, the rest."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def taken(self, size: int = 20_000) -> bytes:
        return await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """All that still comes, to the end of the connection, whatever that is."""
        found = b""
        try:
            while piece := await self._reader.read(1 << 16):
                found += piece
        except ConnectionResetError:
            pass
        return found


@asynccontextmanager
async def slowly(site: Site, path: str, headers: Headers) -> AsyncIterator[SlowReader]:
    """Ask for this, with as little room for what is not read yet as a system gives."""
    url = httpx.URL(site.url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (url.host, url.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=32 * 1024)
    lines = [f"GET {path} HTTP/1.1", "host: llmgate", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        yield SlowReader(reader, writer)
    finally:
        writer.close()


async def ends(site: Site) -> None:
    """Wait until nothing is under way, as far as the daemon knows."""
    async with asyncio.timeout(PROMISED):
        while len(site.gateway.services.gateway.answers):
            await asyncio.sleep(0)


# -- answers of the two APIs -----------------------------------------------------------------------


async def logged_in(site: Site, name: str) -> tuple[Headers, str]:
    headers = {"authorization": f"Bearer {(await site.login(name)).json()['access_token']}"}
    me = (await site.nobody.get("/gate/auth/me", headers=headers)).json()
    return headers, str(me["session_id"])


async def key_of_boss(site: Site) -> Headers:
    """An administrator's key of another administrator."""
    await site.made("users", name="boss", password=PASSWORD, role="admin")
    made = await site.made("keys", name="victim", role="admin", user="boss")
    return {"authorization": f"Bearer {made['key']}"}


async def conversation(site: Site, pictures: int = 3) -> tuple[str, str]:
    """A large one of Ada's: its id, and the id of one of its pictures."""
    database = site.gateway.services.database
    async with database.begin() as tx:
        ada = (await users.by_name(tx, "ada")).id
    one = await begun(database, ada)
    for _ in range(pictures):
        await exchange(database, one, "x" * 1_000_000, "y" * 1_000_000, ("image/png", b"\x89PNG" + os.urandom(PICTURE)))
    shown = (await site.user.get(f"/gate/conversations/{one.id}")).json()
    return one.id, shown["messages"][0]["images"][0]["id"]


@pytest.mark.parametrize("path", [EXPORT, "/gate/conversations/{one}/export", "/gate/conversations/{one}",
                                  "/gate/images/{picture}"])  # fmt: skip
async def test_who_reads_slowly_gets_no_more_of_an_answer_after_its_session_was_revoked(site: Site, path: str) -> None:
    one, picture = await conversation(site)
    headers, session = await logged_in(site, "ada")
    async with slowly(site, path.format(one=one, picture=picture), headers) as reader:
        head = await reader.taken()
        assert head.startswith(b"HTTP/1.1 200")
        assert (await site.admin.post(f"/admin/v1/sessions/{session}/revoke")).status_code == 200
        await ends(site)
        rest = await reader.rest()
    assert len(rest) < PICTURE - 40_000  # that is less than the smallest of them
    assert not rest.endswith(b"0\r\n\r\n")


async def test_a_long_table_is_cut_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no stream: a whole answer that is made in one piece."""
    monkeypatch.setattr(spreadsheet, "usage", lambda *_: "x" * 3 * PICTURE)
    headers = await key_of_boss(site)
    async with slowly(site, "/admin/v1/usage?format=csv", headers) as reader:
        await reader.taken()
        assert (await demoted(site)).status_code == 200
        await ends(site)
        assert len(await reader.rest()) < PICTURE


async def test_whoever_takes_nothing_of_a_long_table_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "usage", lambda *_: "x" * 3 * PICTURE)
    monkeypatch.setattr(outgoing, "STALL_SECONDS", 0.1)
    headers = {"authorization": site.admin.headers["authorization"]}
    async with slowly(site, "/admin/v1/usage?format=csv", headers) as reader:
        await reader.taken()
        await ends(site)
        assert len(await reader.rest()) < PICTURE


async def test_who_reads_slowly_but_steadily_takes_something_within_half_a_minute(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself the system keeps megabytes for one reader, and takes nothing more until a third has been read."""
    monkeypatch.setattr(spreadsheet, "usage", lambda *_: "x" * 8 * PICTURE)
    resumed, resume = [], GatewayProtocol.resume_writing

    def counted(connection: GatewayProtocol) -> None:
        resumed.append(connection)
        resume(connection)

    monkeypatch.setattr(GatewayProtocol, "resume_writing", counted)
    (listener,) = site.gateway.server.servers[0].sockets
    loop, known = asyncio.get_running_loop(), set(site.gateway.server.server_state.connections)
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # else it grows while we read in haste
        own.setblocking(False)
        await loop.sock_connect(own, listener.getsockname())
        lines = ["GET /admin/v1/usage?format=csv HTTP/1.1", "host: x"]
        lines += [f"authorization: {site.admin.headers['authorization']}", "", ""]
        await loop.sock_sendall(own, "\r\n".join(lines).encode())
        await loop.sock_recv(own, 1)
        (connection,) = cast("set[GatewayProtocol]", site.gateway.server.server_state.connections - known)
        async with asyncio.timeout(PROMISED):
            while not connection.flow.write_paused:
                await asyncio.sleep(0)
        for _ in range(4):
            before, read = len(resumed), 0
            while read < 30 * 13 * 1024:
                read += len(await loop.sock_recv(own, 16 * 1024))
            async with asyncio.timeout(PROMISED):
                while len(resumed) == before:
                    await asyncio.sleep(0)


async def test_a_session_that_is_revoked_while_its_answer_is_made_gets_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, session = await logged_in(site, "root")
    answers = site.gateway.services.gateway.answers
    making, made = asyncio.Event(), asyncio.Event()

    async def summary(*_: Any, **__: Any) -> list[Any]:
        making.set()
        await made.wait()
        return []

    monkeypatch.setattr(usage_sums, "summary", summary)
    monkeypatch.setattr(spreadsheet, "usage", lambda *_: "x" * PICTURE)
    asked = asyncio.create_task(site.nobody.get("/admin/v1/usage?format=csv", headers=headers))
    await making.wait()
    assert len(answers) == 1
    assert (await site.admin.post(f"/admin/v1/sessions/{session}/revoke")).status_code == 200
    changed = site.gateway.services.authenticator.changed
    async with asyncio.timeout(PROMISED):
        while not any(entry._refusal for entry in map(_outgoing, answers._entered)) or changed.is_set():
            await asyncio.sleep(0)
    made.set()
    with pytest.raises(httpx.HTTPError):
        await asked


async def test_what_comes_with_a_question_is_no_defect_of_the_answer(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await site.user.request("GET", EXPORT, content=b"x" * 600_000)
    assert answer.status_code == 200
    assert "request_broke" not in capsys.readouterr().out


def _outgoing(entry: Any) -> Any:
    return entry.end.__self__


async def test_nobody_else_is_cut_and_neither_is_who_has_an_old_access_token(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is good for minutes, a download may take hours. That somebody else was revoked must not end it."""
    await conversation(site, 2)
    headers, _ = await logged_in(site, "ada")
    judged = asyncio.Event()
    again = Authenticator.again

    async def spied(self: Authenticator, *args: Any, **more: Any) -> Principal:
        try:
            return await again(self, *args, **more)
        finally:
            judged.set()

    monkeypatch.setattr(Authenticator, "again", spied)
    async with slowly(site, EXPORT, {**headers, "connection": "close"}) as reader:
        await reader.taken()
        monkeypatch.setattr(AccessTokens, "read", _expired)
        site.gateway.services.rights_changed()
        async with asyncio.timeout(PROMISED):
            await judged.wait()
        assert (await reader.rest()).endswith(b"]}\r\n0\r\n\r\n")


def _expired(*_: Any) -> Any:
    raise AuthenticationFailed


async def test_who_ends_its_own_session_is_told_that_it_is_done(site: Site) -> None:
    headers, session = await logged_in(site, "ada")
    assert (await site.nobody.post(f"/gate/auth/sessions/{session}/revoke", headers=headers)).status_code == 200
    headers, _ = await logged_in(site, "ada")
    assert (await site.nobody.post("/gate/auth/logout", headers=headers)).status_code == 204


# -- pulls -------------------------------------------------------------------------------------------


Taken = Callable[[Site], Awaitable[httpx.Response]]


def deleted(site: Site) -> Awaitable[httpx.Response]:
    return site.admin.delete("/admin/v1/keys/victim")


def demoted(site: Site) -> Awaitable[httpx.Response]:
    return site.admin.patch("/admin/v1/users/boss", json={"role": "user"})


def bound(site: Site) -> Awaitable[httpx.Response]:
    return site.admin.patch("/admin/v1/keys/victim", json={"routes": ["chat"]})


@pytest.mark.parametrize("take", [deleted, demoted, bound])
@pytest.mark.parametrize("path", ["/admin/v1/models/pull", "/api/pull"])
async def test_a_pull_ends_with_an_error_and_nothing_more_is_loaded(site: Site, path: str, take: Taken) -> None:
    headers = await key_of_boss(site)
    site.ollama.script(Script(token_gates={2: "never"}), path="/api/pull")
    async with asyncio.timeout(PROMISED), site.nobody.stream(
        "POST", path, json={"model": "new:1b"}, headers=headers
    ) as answer:  # fmt: skip
        lines = answer.aiter_lines()
        await anext(lines)
        assert (await take(site)).status_code < 300
        last = [json.loads(line) async for line in lines][-1]
        await next(seen for seen in site.ollama.reads if seen.path == "/api/pull").disconnected.wait()
    if path == "/api/pull":
        assert list(last) == ["error"]
    else:
        assert (last["upstream"], last["status"], last["done"]) == ("fake", "failed", True)
    assert last["error"]
    await site.gateway.until(lambda: _states(site) == ["begun", "cancelled"])
    await ends(site)


def _states(site: Site) -> list[str]:
    entries = [event for event in site.gateway.events if isinstance(event, ActivityRecorded)]
    return [json.loads(entry.detail)["state"] for entry in entries if entry.action == "model.pull"]


async def test_a_pull_that_is_only_told_the_end_of_is_a_401(site: Site) -> None:
    headers = await key_of_boss(site)
    site.ollama.script(Script(token_gates={2: "never"}), path="/api/pull")
    body = {"model": "new:1b", "stream": False}
    pulling = asyncio.create_task(site.nobody.post("/api/pull", json=body, headers=headers))
    await site.ollama.wait_for(lambda: any(seen.path == "/api/pull" for seen in site.ollama.reads))
    await deleted(site)
    async with asyncio.timeout(PROMISED):
        assert (await pulling).status_code == 401


async def test_only_the_pull_of_who_was_revoked_ends(site: Site) -> None:
    headers = await key_of_boss(site)
    site.ollama.script(Script(token_gates={2: "go"}), path="/api/pull", times=2)
    mine = asyncio.create_task(site.admin.post("/admin/v1/models/pull", json={"model": "new:1b"}))
    await site.ollama.wait_for(lambda: sum(seen.path == "/api/pull" for seen in site.ollama.reads) == 1)
    async with asyncio.timeout(PROMISED):
        theirs = asyncio.create_task(
            site.nobody.post("/admin/v1/models/pull", json={"model": "new:1b"}, headers=headers)
        )
        await site.ollama.wait_for(lambda: sum(seen.path == "/api/pull" for seen in site.ollama.reads) == 2)
        await deleted(site)
        assert lines_of((await theirs).text)[-1]["error"]
        site.ollama.release("go")
        assert lines_of((await mine).text)[-1] == {"upstream": "fake", "status": "success", "done": True}


# -- what begins while somebody is revoked -----------------------------------------------------------


async def test_what_was_let_in_at_the_very_moment_is_found_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credential is read, then revoked, then everything under way is looked through, then the request begins."""
    made = await site.made("keys", name="victim")
    services = site.gateway.services
    site.ollama.script(Script(token_gates={1: "never"}))
    verify = Authenticator._verify
    is_first = True

    async def raced(self: Authenticator, secret: bytes) -> Any:
        nonlocal is_first
        found = await verify(self, secret)
        if is_first:
            is_first = False
            async with services.database.begin() as tx:
                await keys.revoke(tx, made["id"])
            services.rights_changed()
            while services.authenticator.changed.is_set():
                await asyncio.sleep(0)
        return found

    monkeypatch.setattr(Authenticator, "_verify", raced)
    async with asyncio.timeout(PROMISED):
        answer = await site.nobody.post("/api/chat", json=CHAT, headers={"authorization": f"Bearer {made['key']}"})
    assert answer.status_code == 401 or "error" in lines_of(answer.text)[-1]


# -- nothing is forgotten ----------------------------------------------------------------------------


SHORT = {
    "/health/live": "a line",
    "/health/ready": "a line",
    "/metrics": "one line for each of a bounded number of labels",
}
"""Routes beside the two APIs whose answers go out in one piece, and so are over before anybody could be revoked."""
SENDERS = {
    "exchange.py": "requests for models and pulls: those that are open are entered in OpenAnswers",
    "outgoing.py": "what cuts the answers of the two APIs",
    "gate/sending.py": "a route of the two APIs",
    "admin/events.py": "a route of the two APIs",
    "chat/hearing.py": "sends nothing: it is the client of a request that the daemon makes itself",
    "chat/stream.py": "a route of the two APIs",
    "chat/websocket.py": "a refused WebSocket, in one piece",
}
"""Who sends the body of an answer by hand."""


def test_each_route_is_of_a_kind_that_is_cut_or_short(site: Site) -> None:
    """All of the two APIs, and all requests for models, are covered without thinking of it. What else there is stands
    here: a new route that is none of those must be put to it, with the reason why it needs nothing."""
    others = Application(site.gateway.services)._others.routes
    unknown = []
    for route in others:
        match route:
            case Mount(app=FastAPI() as app) if "_Edge" in str(app.user_middleware):
                pass
            case WebSocketRoute(app=ChatEndpoint()):
                pass  # chat/connections.py
            case Route(endpoint=ManagementRoute() as managed):
                assert managed.answers is site.gateway.services.gateway.answers
            case Route(endpoint=ReadRoute()):
                pass  # lists of models, in one piece
            case Route(path=path) if path in SHORT:
                pass
            case Route(path=path) if "Page" in getattr(route.endpoint, "__qualname__", ""):
                pass  # what is public
            case _:
                unknown.append(route)
    assert unknown == []


def test_nobody_else_sends_pieces_of_an_answer() -> None:
    root = Path(llmgate.daemon.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        if strings & {"http.response.body", "websocket.http.response.body", "more_body"}:
            found.add(str(path.relative_to(root)))
    assert found == set(SENDERS)
