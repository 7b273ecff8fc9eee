"""A daemon that runs out of file descriptors: it serves whom it can, says so in few words, and recovers at once."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from tests.fakes import FakeOllama, Script
from tests.system.strangers import Line, site

DESCRIPTORS = 128
LOG_BYTES = 64 * 1024
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.slow
async def test_a_thousand_connections_are_more_than_it_can_hold(tmp_path: Path) -> None:
    async with FakeOllama() as upstream, site(tmp_path, upstream.url) as there:
        pid = there.command.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        lines: list[Line] = []
        # Those that ask for nothing make room for who does.
        for number in range(1000):
            lines.append(await there.connect())
            if number % 100 == 99:
                assert (await (await there.connect(HEALTH)).rest()).startswith(b"HTTP/1.1 200")
                answer = await (await there.connect(there.asking(connection="close"))).rest()
                assert answer.startswith(b"HTTP/1.1 200")
        assert open_files(pid) < DESCRIPTORS
        # Those that wait for an answer stay; who comes then is refused, but is told that the daemon lives.
        upstream.script(Script(gate="go"))
        first = await there.connect(there.asking(connection="close"))
        await upstream.request(10)
        waiting = [await there.connect(there.asking(connection="close")) for _ in range(300)]
        statuses = await asyncio.gather(*(status_now(line) for line in waiting[-200:]))
        assert statuses.count(503) == 200
        assert (await (await there.connect(HEALTH)).rest()).startswith(b"HTTP/1.1 200")
        assert open_files(pid) < DESCRIPTORS
        # And when they have gone, all is as before.
        upstream.release("go")
        assert (await first.rest()).startswith(b"HTTP/1.1 200")
        for line in [*lines, *waiting]:
            line.drop()
        for _ in range(50):
            answer = await (await there.connect(there.asking(connection="close"))).rest()
            assert answer.startswith(b"HTTP/1.1 200")
        logged = "\n".join(there.command.err.seen)
        assert len(logged.encode()) < LOG_BYTES
        assert "Traceback" not in logged
        assert any("connections_refused" in line for line in there.command.err.seen)


async def status_now(line: Line) -> int:
    """The status that is there, or comes in a moment; 0 where somebody waits."""
    try:
        async with asyncio.timeout(2):
            return int((await line.reader.readexactly(12))[9:])
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionResetError):
        return 0


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
