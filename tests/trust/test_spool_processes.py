"""A daemon that is ended while the database is away: what it has served is written once by the next one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.outages import BreakableServer, Kind, breakable, eventually
from tests.trust.single import WHOLE, names, single, until_written

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[BreakableServer]:
    server = BreakableServer()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param("frozen", signal.SIGTERM, id="stopped, frozen"),
        pytest.param("stopped", signal.SIGTERM, id="stopped, gone", marks=pytest.mark.long),
        pytest.param("blackholed", signal.SIGTERM, id="stopped, blackholed", marks=pytest.mark.long),
        pytest.param("stopped", signal.SIGKILL, id="killed, gone", marks=pytest.mark.long),
        pytest.param("blackholed", signal.SIGKILL, id="killed, blackholed", marks=pytest.mark.long),
    ],
)
async def test_each_request_is_written_once(
    kind: Kind, number: signal.Signals, tmp_path: Path, server: BreakableServer
) -> None:
    name = f"ended{abs(hash(str(tmp_path)))}"
    async with (
        breakable(server, name) as outages,
        single(tmp_path, outages.direct, seen_as=outages.url) as gate,
    ):
        await gate.daemon.start()
        for _ in range(3):
            assert (await gate.ask()).status_code == 200
        async with outages.strike(kind):
            for _ in range(20):
                assert (await gate.ask()).status_code == 200
            if number is signal.SIGTERM:
                assert await gate.daemon.stop() == 0
            else:
                await eventually(lambda: len(gate.spool()) >= 20)
                await gate.daemon.kill()
            found = gate.spool()
            assert 20 <= len(found) == len(set(names(found))) <= gate.served
            # Nothing that was said, and nothing to log in with.
            for secret in (gate.key, gate.admin, WHOLE["messages"][0]["content"]):
                assert all(secret.encode() not in line for line in found)
        await gate.daemon.start()
        await until_written(gate)
        await eventually(lambda: gate.spool() == [])
        assert (await gate.ask()).status_code == 200
        assert await gate.daemon.stop() == 0
        await until_written(gate)
