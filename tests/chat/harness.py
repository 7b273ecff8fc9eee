"""A page, as the daemon sees one: a WebSocket of somebody who has logged in, and what came over it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import users
from tests.gateway.harness import Running
from tests.gateway.ready_made import client_of, hashed

PASSWORD = "correct horse battery"
MODEL = "llama3.2"
_refs = itertools.count(1)

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has logged in."""

    id: str
    name: str
    token: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


async def log_in(gateway: Running, name: str = "ann", *, level: int | None = None) -> Person:
    """Log in, as a new user if need be."""
    async with gateway.services.database.begin() as tx:
        known = [user for user in await users.page(tx) if user.name == name]
        if not known:
            password = await hashed(PASSWORD)
            made = await users.create(tx, name=name, password_hash=password, role=Role.USER, level=level)
            known = [made]
    async with client_of(gateway.url) as client:
        answer = await client.post("/gate/auth/login", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        me = (await client.get("/gate/auth/me", headers={"authorization": f"Bearer {token}"})).json()
    return Person(known[0].id, name, token, me["session_id"])


@asynccontextmanager
async def http_of(gateway: Running, person: Person) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP of this person."""
    async with client_of(gateway.url) as client:
        client.headers.update(person.headers)
        yield client


def start(content: str = "Hello", **changes: Any) -> Frame:
    """A question, as a page asks it."""
    frame: Frame = {
        "type": "start",
        "ref": f"ref-{next(_refs)}",
        "conversation": None,
        "parent": None,
        "mode": "send",
        "content": content,
        "images": [],
        "model": MODEL,
        "system": None,
        "parameters": {},
        "keep": True,
        "history": [],
    }
    return {**frame, **changes}


class Page:
    """One socket. ``frames`` are all that have come."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []

    async def send(self, frame: Mapping[str, Any] | str) -> None:
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def next(self, *types: str, timeout: float = 5.0) -> Frame:
        """The next frame of one of these types; those before it are passed over."""
        async with asyncio.timeout(timeout):
            while True:
                frame = json.loads(await self.socket.recv())
                self.frames.append(frame)
                if not types or frame["type"] in types:
                    return dict(frame)

    async def ask(self, content: str = "Hello", **changes: Any) -> Frame:
        """Ask, and wait until it is accepted."""
        await self.send(start(content, **changes))
        return await self.next("accepted")

    async def answer(self, content: str = "Hello", **changes: Any) -> Frame:
        """Ask, and wait for the last frame."""
        await self.ask(content, **changes)
        return await self.next("done")

    async def until_text(self, text: str, timeout: float = 5.0) -> str:
        """Read until the answer's text holds this; all of it."""
        while text not in text_of(self.frames):
            await self.next("token", "snapshot", timeout=timeout)
        return text_of(self.frames)

    async def closed(self, timeout: float = 5.0) -> int:
        """Read until the daemon has closed it; with which code."""
        with suppress(ConnectionClosed):
            while True:
                await self.next(timeout=timeout)
        assert self.socket.protocol.close_rcvd is not None, "it was cut, and not closed"
        return self.socket.protocol.close_rcvd.code

    async def lose(self) -> None:
        """The network is gone, without a good-bye."""
        self.socket.transport.abort()
        await self.socket.wait_closed()

    async def leave(self, code: int = 1000) -> None:
        await self.socket.close(code)


@asynccontextmanager
async def open_page(gateway: Running, person: Person, **options: Any) -> AsyncIterator[Page]:
    """A page that has been greeted."""
    url = gateway.url.replace("http://", "ws://") + "/gate/ws"
    headers = options.pop("headers", person.headers)
    options = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None, **options}
    async with connect(url, additional_headers=headers, **options) as socket:
        page = Page(socket)
        await page.next("hello")
        yield page


def text_of(frames: list[Frame], kind: str = "token") -> str:
    """The answer as a page puts it together; each frame must be the next one."""
    text, seq = "", 0
    for frame in frames:
        if "seq" not in frame:
            continue
        if frame["type"] == "snapshot":
            text = frame["content" if kind == "token" else "thinking"]
        else:
            assert frame["seq"] == seq + 1, f"{frame} does not follow {seq}"
            if frame["type"] == kind:
                text += frame["text"]
        seq = frame["seq"]
    return text


async def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Wait until it is true; nobody tells when, so look often."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.002)
