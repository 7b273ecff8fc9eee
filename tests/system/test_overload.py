"""With a thousand clients in line, whoever is refused is refused at once, and told when to come back."""

from __future__ import annotations

import asyncio
import signal
import statistics
from pathlib import Path

import pytest

from tests.fakes import FakeOllama, Script
from tests.system.strangers import Site, site

IN_LINE = 1000
"""As many as one caller may have there."""
ASKED = 100


async def refusals(there: Site, status: int) -> list[float]:
    """Seconds until each of so many further ones has the whole of its answer, one after the other."""
    loop, took = asyncio.get_running_loop(), list[float]()
    for _ in range(ASKED):
        began = loop.time()
        answer = await (await there.connect(there.asking(connection="close"))).rest()
        took.append(loop.time() - began)
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        assert b"retry-after: " in answer.lower()
    return took


async def is_full(there: Site) -> int:
    """Whether one more is refused; else it has found a place in line, and stays there."""
    line = await there.connect(there.asking(connection="close"))
    try:
        async with asyncio.timeout(1):
            return (await line.reader.read(65_536)).startswith(b"HTTP/1.1 429")
    except TimeoutError:
        return False


@pytest.mark.long
@pytest.mark.alone
async def test_who_is_refused_is_refused_at_once(tmp_path: Path) -> None:
    async with FakeOllama() as upstream, site(tmp_path, upstream.url, "max_connections = 2000") as there:
        upstream.script(Script(gate="go"))
        await there.connect(there.asking())
        await upstream.request(0)
        for _ in range(IN_LINE):
            await there.connect(there.asking())
        await there.until(lambda: is_full(there), 1)
        found = {"limit_exceeded": await refusals(there, 429)}
        config = tmp_path / "llmgate.toml"
        config.write_text(config.read_text().replace("max_connections = 2000", "max_connections = 900"))
        there.command.signal(signal.SIGHUP)
        await there.command.err.have("settings_reloaded")
        found["overloaded"] = await refusals(there, 503)
        for code, took in found.items():
            cuts = statistics.quantiles(took, n=100)
            print(f"{code}: p50 {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms")  # noqa: T201 - a measurement
            assert cuts[49] < 0.1
        assert len(upstream.requests) == 1
