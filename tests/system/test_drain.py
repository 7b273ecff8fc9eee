"""What SIGTERM does to a daemon that is busy, as its clients and its supervisor see it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.fakes import FakeOllama, Script
from tests.system.processes import START_SECONDS
from tests.system.strangers import Line, Site, site

WAITING = 20


async def busy(there: Site, upstream: FakeOllama) -> tuple[Line, list[Line]]:
    """One who gets an answer, of which a part is there, and some who wait."""
    running = await there.connect(there.asking(stream=True))
    await running.until(b'"Hello"')
    seen = upstream.requests[0]
    assert not seen.ended.is_set()
    waiting = [await there.connect(there.asking()) for _ in range(WAITING)]
    await there.until(lambda: in_line(there), WAITING)
    return running, waiting


async def in_line(there: Site) -> int:
    head = f"GET /gate/queue HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.token}\r\nConnection: close\r\n\r\n"
    return (await (await there.connect(head.encode())).rest()).count(b'"ticket_id"')


def is_told_to_come_back(answer: bytes) -> bool:
    head = answer.partition(b"\r\n\r\n")[0].lower()
    return answer.startswith(b"HTTP/1.1 503") and b"retry-after: " in head and b"connection: close" in head


@pytest.mark.slow
async def test_who_waits_is_told_at_once_and_who_is_answered_gets_all_of_it(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with FakeOllama() as upstream, site(tmp_path, upstream.url) as there:
        upstream.script(Script(token_gates={1: "go"}))
        running, waiting = await busy(there, upstream)
        silent = await there.connect()
        kept = await there.connect(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await kept.until(b"live")
        began = loop.time()
        there.command.signal(signal.SIGTERM)
        answers = await asyncio.gather(*(line.rest() for line in waiting))
        took = loop.time() - began
        assert all(map(is_told_to_come_back, answers))
        assert took < 10  # one second, on a machine that has the time
        assert len(upstream.requests) == 1
        with pytest.raises(ConnectionRefusedError):
            await there.connect()
        upstream.release("go")
        last = (await running.rest()).decode()
        assert '"done":true' in last.replace(" ", "")
        assert last.endswith("0\r\n\r\n")
        assert await silent.rest() == b""
        assert await there.command.ended() == 0
    assert "Traceback" not in "\n".join(there.command.err.seen)


@pytest.mark.long
async def test_an_answer_that_outlives_the_drain_is_ended_with_an_error(tmp_path: Path) -> None:
    async with FakeOllama() as upstream, site(tmp_path, upstream.url, "drain_seconds = 0.5") as there:
        upstream.script(Script(hang_after=1))
        running, _ = await busy(there, upstream)
        there.command.signal(signal.SIGTERM)
        assert_ends_in_error(await running.rest())
        await asyncio.wait_for(upstream.requests[0].disconnected.wait(), START_SECONDS)
        assert await there.command.ended() == 0


@pytest.mark.slow
async def test_a_second_signal_does_not_wait_for_anybody(tmp_path: Path) -> None:
    async with FakeOllama() as upstream, site(tmp_path, upstream.url, "drain_seconds = 3600") as there:
        upstream.script(Script(hang_after=1))
        running, waiting = await busy(there, upstream)
        await there.connect(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        there.command.signal(signal.SIGTERM)
        assert all([is_told_to_come_back(await line.rest()) for line in waiting])
        there.command.signal(signal.SIGTERM)
        assert_ends_in_error(await running.rest())
        assert await there.command.ended() == 0


@pytest.mark.long
async def test_a_chat_is_told_that_the_daemon_goes(tmp_path: Path) -> None:
    async with FakeOllama() as upstream, site(tmp_path, upstream.url) as there:
        address = there.url.replace("http://", "ws://") + "/gate/ws"
        async with connect(address, additional_headers={"authorization": f"Bearer {there.token}"}, proxy=None) as chat:
            await chat.recv()
            there.command.signal(signal.SIGTERM)
            async with asyncio.timeout(START_SECONDS):
                await chat.wait_closed()
            assert chat.close_code in {1001, 1012}
        assert await there.command.ended() == 0


def assert_ends_in_error(heard: bytes) -> None:
    """A last line that is an error, in the dialect of the route, and a whole end."""
    assert heard.endswith(b"0\r\n\r\n")
    last = [line for line in heard.decode().splitlines() if line.startswith("{")][-1]
    assert "shutting down" in json.loads(last)["error"]
