"""The last moment of a start."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from llmgate.daemon.listening import listen
from llmgate.daemon.server import serve
from llmgate.daemon.services import Services
from llmgate.errors import StoreUnavailable
from tests.fakes import FakeOllama
from tests.gateway.harness import settings_for, upstream_for


async def test_nobody_is_served_by_a_daemon_that_cannot_finish_its_start(ollama: FakeOllama, tmp_path: Path) -> None:
    """The database may go away in the last moment: whoever has connected meanwhile must not be served until it ends."""
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    listener = listen(settings.server)
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answers: list[bytes] = []

    async def announce(_: Services) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                answers.append(await reader.readline())
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await serve(settings, listener, announce)
    writer.close()
    listener.close()
    assert answers == []
