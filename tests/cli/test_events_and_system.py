"""`llmgate events watch`, `llmgate system show`, and the client behind them when the stream breaks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from httpx_sse import ServerSentEvent

from llmgate import schemas
from llmgate.cli.events import UNASKED, Kind, line_of
from llmgate.client import AdminClient
from llmgate.client import events as client_events
from llmgate.connection import FixedToken
from llmgate.daemon.auth.principals import Role
from llmgate.errors import AuthenticationFailed, DaemonUnreachable, LLMGateError, PermissionDenied, RequestError
from llmgate.text import size
from tests.admin.harness import PASSWORD, Site
from tests.cli.harness import llmgate, on_terminal
from tests.cli.test_watch import end_of, piped
from tests.gateway.harness import CHAT
from tests.services.proxy import FaultProxy


class Listener:
    """What a client has heard so far."""

    def __init__(self, client: AdminClient, types: list[str] | None = None) -> None:
        self.events: list[Any] = []
        self.breaks: list[LLMGateError] = []
        self.task = asyncio.create_task(self._listen(client, types))

    async def _listen(self, client: AdminClient, types: list[str] | None) -> None:
        async for event in client.events.listen(types, on_break=self.breaks.append):
            self.events.append(event)

    async def has(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.events) < count and not self.task.done():
                await asyncio.sleep(0)
        if self.task.done():
            self.task.result()
        return self.events

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def followed(site: Site, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while site.gateway.services.observers.feed.followers != count:
            await asyncio.sleep(0)


async def admin_key(site: Site) -> str:
    return await site.gateway.new_key("watcher", role=Role.ADMIN)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_events, "FIRST_PAUSE", 0.05)


# The client


async def test_a_stream_that_is_ended_goes_on_where_it_was(site: Site) -> None:
    async with AdminClient(site.url, FixedToken(await admin_key(site))) as client:
        listener = Listener(client, ["activity"])
        await followed(site)
        await site.made("users", name="bob", password=PASSWORD)
        assert (await listener.has(1))[0].target_name == "bob"
        for follower in list(site.gateway.services.observers.feed._followers):
            follower.end()
        await followed(site, 0)
        await site.made("users", name="eve", password=PASSWORD)
        _, end, entry = await listener.has(3)
        assert isinstance(end, schemas.FeedEvent)
        assert (end.type, entry.target_name) == ("end", "eve")
        assert [type(why) for why in listener.breaks] == [DaemonUnreachable]
        await listener.stop()


async def test_a_connection_that_breaks_is_made_again(site: Site) -> None:
    key = await admin_key(site)
    async with FaultProxy(urlsplit(site.url).port or 0) as way, AsyncExitStack() as stack:
        client = await stack.enter_async_context(AdminClient(f"http://127.0.0.1:{way.port}", FixedToken(key)))
        listener = Listener(client, ["activity"])
        await followed(site)
        await site.made("users", name="bob", password=PASSWORD)
        await listener.has(1)
        await way.refuse()
        await followed(site, 0)
        await site.made("users", name="eve", password=PASSWORD)
        await way.heal()
        assert [event.target_name for event in await listener.has(2)] == ["bob", "eve"]
        assert listener.breaks
        await listener.stop()


async def test_what_does_not_pass_by_itself_is_raised(site: Site) -> None:
    key = await admin_key(site)
    async with AdminClient(site.url, FixedToken(key)) as client:
        with pytest.raises(RequestError, match="nonsense"):
            await Listener(client, ["nonsense"]).has(1)
        listener = Listener(client, ["activity"])
        await followed(site)
        rows = (await site.admin.get("/admin/v1/keys")).json()["data"]
        watcher = next(row["id"] for row in rows if row["name"] == "watcher")
        await site.admin.post(f"/admin/v1/keys/{watcher}/revoke")
        with pytest.raises(AuthenticationFailed):
            await listener.has(100)
        assert listener.events[-1].code == "unauthenticated"
    async with AdminClient(site.url, FixedToken(site.gateway.key)) as client:
        with pytest.raises(PermissionDenied):
            await Listener(client).has(1)
    async with AdminClient("http://127.0.0.1:9", FixedToken("x")) as client:
        with pytest.raises(DaemonUnreachable):
            await Listener(client).has(1)


async def test_an_event_of_a_newer_daemon_is_still_one() -> None:
    told = {"type": "moon.phase", "at": "2026-01-01T00:00:00Z", "daemon": "d", "phase": "full"}
    sent = ServerSentEvent(event="moon.phase", data=json.dumps(told))
    async with AdminClient("http://127.0.0.1:9") as client:
        event = client.events._read(sent)
        assert (event.type, event.model_dump()["phase"]) == ("moon.phase", "full")
        with pytest.raises(DaemonUnreachable):
            client.events._read(ServerSentEvent(data="nonsense"))


# The commands


async def test_without_a_terminal_events_are_lines_of_json(root: Site) -> None:
    async with piped("events", "watch", "-t", "activity", "-t", "request.finished") as process:
        await followed(root)
        await root.gateway.post("/api/chat", CHAT)
        await root.made("users", name="bob", password=PASSWORD)
        assert process.stdout is not None
        async with asyncio.timeout(15):
            lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
        assert [line["type"] for line in lines] == ["request.finished", "activity"]
        assert lines[1]["target_name"] == "bob"
        process.send_signal(signal.SIGINT)
        assert (await end_of(process))[0] == 130


async def test_on_a_terminal_events_are_lines_for_people(root: Site, home: Path) -> None:
    async with on_terminal("events", "watch", directory=home) as terminal:
        await followed(root)
        await root.gateway.post("/api/chat", CHAT)
        await terminal.shows("completed, level 2, waited 0.00 s")
        await root.made("users", name="bob", password=PASSWORD)
        await terminal.shows("root from 127.0.0.1: user.create bob")
        assert "stats" not in terminal.shown
        terminal.type("\x03")
        assert await terminal.ended() == 130


async def test_a_reader_that_has_seen_enough_ends_it(root: Site) -> None:
    async with piped("events", "watch", "-t", "stats", "--fields", "type,running") as process:
        assert process.stdout is not None
        async with asyncio.timeout(15):
            assert json.loads(await process.stdout.readline()) == {"type": "stats", "running": 0}
        transport: Any = process._transport  # type: ignore[attr-defined]  # there is no other way to hang up
        transport.get_pipe_transport(1).close()
        code, said = await end_of(process)
        assert said == b""
        assert code in (0, 141)


def test_the_kinds_are_those_of_the_api() -> None:
    assert tuple(kind.value for kind in Kind) == get_args(schemas.EventType)
    assert set(UNASKED) == set(get_args(schemas.EventType)) - {"stats"}


def test_a_line_is_harmless_whatever_it_tells() -> None:
    event = schemas.FeedEvent.model_validate({"type": "moon\x1b[2J", "at": datetime.now(UTC), "daemon": "d"})
    assert "\x1b" not in line_of(event)
    event = schemas.FeedEvent.model_validate(
        {
            "type": "request.refused", "at": datetime.now(UTC), "daemon": "d", "route": "/a\x9b\n", "status": 404,
            "error_code": "x",
        }
    )  # fmt: skip
    assert line_of(event).endswith("/a\\u009b\\u000a  x (404)")


async def test_the_system_is_shown_in_sections(root: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA RTX 4090, 87, 24564, 20011, 61'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    await root.login("root", "wrong")
    shown = (await llmgate("system", "show")).ok().out
    titles = [line for line in shown.splitlines() if re.fullmatch(r"[A-Z]\w+( \w+)?", line)]
    assert titles == ["Daemon", "Machine", "GPUs", "Work", "Failed logins"]
    assert re.search(r"^state +ready *$", shown, re.MULTILINE)
    assert re.search(r"^GPU", shown, re.MULTILINE)
    assert "NVIDIA RTX 4090  87 %  19.5 GiB of 24.0 GiB (81 %)" in shown
    assert "1 of 1 usable" in shown
    assert f"pid {os.getpid()}" in shown
    document = (await llmgate("system", "show", "-o", "json")).ok().json
    assert document["machine"]["process"]["pid"] == os.getpid()
    assert (await llmgate("system", "show", "--fields", "version,ready", "-o", "json")).ok().json["ready"] is True


async def test_the_system_can_be_watched(root: Site, home: Path) -> None:
    async with on_terminal("system", "show", "--watch", "--interval", "0.2", directory=home) as terminal:
        await terminal.shows("1 of 1 usable")
        terminal.type("\x03")
        assert await terminal.ended() == 130
    async with piped("system", "show", "--watch", "--interval", "0.2") as process:
        assert process.stdout is not None
        async with asyncio.timeout(15):
            first, second = [json.loads(await process.stdout.readline()) for _ in range(2)]
        assert first["data"]["ready"]
        assert second["at"] > first["at"]
        process.send_signal(signal.SIGINT)
        await end_of(process)


def test_sizes_are_told_as_people_read_them() -> None:
    told = [size(count) for count in (None, 0, 1023, 1024, 1536, 150 * 1024, 3 * 1024**3, 5000 * 1024**4)]
    assert told == [None, "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "150 KiB", "3.0 GiB", "5000 TiB"]
