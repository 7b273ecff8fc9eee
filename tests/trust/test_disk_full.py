"""The disk takes nothing any more, under the database, the spool and the log: the gateway goes on serving, the data
stay whole, and with room again everything is as before, without a restart."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from llmgate.daemon.store.database import sqlite_url
from tests.system.processes import environment
from tests.trust.outages import eventually
from tests.trust.single import Single, single, until_written

pytestmark = pytest.mark.slow
START_SECONDS = 60


async def start(gate: Single, log: Path, *before: str) -> int:
    """The daemon, with its log in a file, and ``before`` in front of its command; its process."""
    command = [*before, sys.executable, "-m", "llmgate", "serve", "--config", str(gate.daemon.config)]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        gate.daemon.process = process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=descriptor, stdin=DEVNULL, env=environment(gate.daemon.home)
        )
    finally:
        os.close(descriptor)
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        assert b"llmgate serves" in await process.stdout.readline()
    return process.pid


async def goes_on_without_a_disk(gate: Single) -> None:
    """While nothing can be written: who is known is served, and nothing is half done."""
    for _ in range(20):
        assert (await gate.ask()).status_code == 200
    for number in range(5):
        refused = await gate.make_key(f"half-{number}")
        assert refused.status_code == 503, refused.text
        assert refused.json()["code"] == "store_unavailable"
        assert (await gate.ask()).status_code == 200


async def is_whole(gate: Single, file: Path, log: Path) -> None:
    """Everything that was served is written, once; the database is sound; each change has its entry."""

    async def changes_again() -> bool:
        return (await gate.make_key("whole")).status_code in (201, 409)

    await eventually(changes_again, START_SECONDS)
    assert (await gate.ask()).status_code == 200
    await until_written(gate)
    await eventually(lambda: gate.spool() == [])
    verdict = await gate.admin_post("/activity/verify")
    assert verdict["ok"] is True, verdict
    found = {row["name"] for row in (await gate.admin_get("/keys"))["data"]}
    assert found == {"load", "admin", "whole"}
    system = await gate.admin_get("/system")
    assert system["usage"]["dropped"] == 0
    await until_written(gate)
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT action FROM activity").fetchall() == [("key.create",)]
    connection.close()
    assert await gate.daemon.stop() == 0
    assert "Traceback" not in text_of(log)


async def test_every_write_fails_and_then_none(tmp_path: Path) -> None:
    """No file of the daemon may grow, nor be written beyond its beginning: database, write-ahead log, spool, log."""
    file, log = tmp_path / "llmgate.db", tmp_path / "serve.log"
    async with single(tmp_path, sqlite_url(file)) as gate:
        pid = await start(gate, log)
        for _ in range(3):
            assert (await gate.ask()).status_code == 200
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
        size = log.stat().st_size
        await goes_on_without_a_disk(gate)
        assert log.stat().st_size == size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        await is_whole(gate, file, log)
        assert '"log_lines_dropped"' in text_of(log)


@pytest.mark.long
async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Everything in a file system of 3 MiB, which only this daemon sees, filled to the last byte and emptied again."""
    file, log = tmp_path / "state" / "llmgate.db", tmp_path / "serve.log"
    async with single(tmp_path, sqlite_url(file)) as gate:
        disk = gate.state
        mount = f'mount -t tmpfs -o size=3m,mode=700 tmpfs {disk} && cp -p {tmp_path}/kept/* {disk} && exec "$@"'
        (tmp_path / "kept").mkdir()
        for made in disk.glob("llmgate.db*"):
            made.rename(tmp_path / "kept" / made.name)
        pid = await start(gate, log, "unshare", "-rm", "sh", "-c", mount, "sh")
        inside = Path(f"/proc/{pid}/root{disk}")
        copy = tmp_path / "copy" / file.name
        copy.parent.mkdir()

        def copied() -> str:
            os.kill(pid, signal.SIGSTOP)
            copy.with_name(f"{copy.name}-shm").unlink(missing_ok=True)
            for made in (copy.name, f"{copy.name}-wal"):
                shutil.copy(inside / made, copy.parent)
            os.kill(pid, signal.SIGCONT)
            return sqlite_url(copy)

        gate.copied = copied
        for _ in range(3):
            assert (await gate.ask()).status_code == 200
        for _ in range(3):
            fill(inside / "filler")
            await goes_on_without_a_disk(gate)
            (inside / "filler").unlink()
            await until_written(gate)
        await is_whole(gate, copy, log)


def text_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def fill(path: Path) -> None:
    """Leave no byte."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.long
async def test_the_write_lock_that_another_process_holds(tmp_path: Path) -> None:
    """SQLite has one writer at a time; whoever reads goes on, and nobody waits longer than the deadline."""
    file, log = tmp_path / "llmgate.db", tmp_path / "serve.log"
    async with single(tmp_path, sqlite_url(file)) as gate:
        await start(gate, log)
        assert (await gate.ask()).status_code == 200
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        await goes_on_without_a_disk(gate)
        await eventually(lambda: len(gate.spool()) >= 20)
        holder.execute("ROLLBACK")
        holder.close()
        await is_whole(gate, file, log)
